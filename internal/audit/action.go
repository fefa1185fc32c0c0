package audit

// An Action names a sort of change. Actions are stored and hashed: once used, a
// name is fixed for ever.
type Action string

// The actions.
const (
	InstanceSetUp Action = "instance.set_up"

	UserCreated     Action = "user.created"
	UserDisabled    Action = "user.disabled"
	UserDeleted     Action = "user.deleted"
	UserReset       Action = "user.reset"
	PasswordChanged Action = "user.password_changed"
	SignedIn        Action = "user.signed_in"
	SignedOut       Action = "user.signed_out"
	SignInRefused   Action = "user.sign_in_refused"
	SignInConfirmed Action = "user.sign_in_confirmed" // said again who they are, for what asks for that

	UserEdited          Action = "user.edited"
	PreferencesChanged  Action = "user.preferences_changed"
	SessionsEnded       Action = "user.sessions_ended"
	ResetAsked          Action = "user.reset_asked" // a link to choose another password
	SecondFactorAdded   Action = "user.second_factor_added"
	SecondFactorRemoved Action = "user.second_factor_removed"
	RecoveryCodesMade   Action = "user.recovery_codes_made"
	RecoveryCodeUsed    Action = "user.recovery_code_used"

	WorkspaceCreated Action = "workspace.created"
	WorkspaceEdited  Action = "workspace.edited"
	WorkspaceDeleted Action = "workspace.deleted" // its rows may still be there for a while
	WorkspaceErased  Action = "workspace.erased"  // now they are gone
	MemberAdded      Action = "member.added"
	RoleChanged      Action = "member.role_changed"
	MemberRemoved    Action = "member.removed"

	InvitationMade      Action = "invitation.made" // a link by which its recipient becomes a member
	InvitationRenewed   Action = "invitation.renewed"
	InvitationUsed      Action = "invitation.used"
	InvitationWithdrawn Action = "invitation.withdrawn"
	MemberSessionsEnded Action = "member.sessions_ended"
	SignInRuleChanged   Action = "workspace.sign_in_changed" // whether members need a second factor

	KeyCreated       Action = "key.created"
	KeyImported      Action = "key.imported"
	KeysImported     Action = "keys.imported" // a whole table of them, or one by the same way
	KeyEdited        Action = "key.edited"
	KeysExported     Action = "keys.exported" // what is known of many keys; never their credentials
	KeyDeactivated   Action = "key.deactivated"
	KeyReactivated   Action = "key.reactivated"
	KeyRotated       Action = "key.rotated"
	OverlapMoved     Action = "key.overlap_moved" // it ends at another time
	OverlapEnded     Action = "key.overlap_ended"
	RotationUndone   Action = "key.rotation_undone"
	KeyLeaked        Action = "key.leaked"  // its credentials were reported as leaked, and stopped
	KeyRenewed       Action = "key.renewed" // new ones after that
	CredentialsShown Action = "key.credentials_shown"
	SecretPasted     Action = "key.secret_pasted"     // a secret that was made elsewhere
	CredentialsSaved Action = "key.credentials_saved" // the person confirmed having saved them

	HandoverMade      Action = "key.handover_made" // a link by which its recipient makes the credentials
	HandoverUsed      Action = "key.handover_used"
	HandoverWithdrawn Action = "key.handover_withdrawn"

	TokenCreated     Action = "token.created"
	TokenShown       Action = "token.shown"
	TokenSaved       Action = "token.saved" // the person confirmed having saved it
	TokenDeactivated Action = "token.deactivated"
	TokenReactivated Action = "token.reactivated"

	TrailExported    Action = "audit.exported"
	PassportExported Action = "key.passport_exported" // all that the trail and the counts tell of a key

	ReviewMade      Action = "review.made" // an access review, with its signed file
	ReviewExported  Action = "review.exported"
	ReviewAnswered  Action = "review.answered"        // of one key: keep or deactivate
	TrailVerified   Action = "audit.verified"         // here, with what was found
	VerifiedOutside Action = "audit.verified_outside" // somebody says so, of an entry whose hash they know
	CheckpointAsked Action = "audit.checkpoint_asked" // before it is signed, so that it covers this entry

	RetentionChanged Action = "workspace.retention_changed"
	PayloadViewed    Action = "signal.payload_viewed"
	DeliveryViewed   Action = "delivery.payload_viewed" // a request's body, refused or not
	UnreadDeleted    Action = "signals.deleted_unread"  // a reader was too slow for the hard limit

	ExportBegun Action = "deliveries.export_begun" // before its first byte
	ExportEnded Action = "deliveries.export_ended" // whole or cut off

	SignalsMarked   Action = "signals.marked_suspect"
	SignalsUnmarked Action = "signals.unmarked"
	ErasureAsked    Action = "payloads.erasure_asked"
	PayloadsErased  Action = "payloads.erased" // the erasure is over
)
