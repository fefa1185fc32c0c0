package web

import (
	"net/http"

	"keyhook/internal/account"
	"keyhook/static"
)

// A route is an address of the console with who may use it. Exactly one of its
// handlers is set.
type route struct {
	Pattern    string
	Permission account.Permission // of a member's route
	poll       bool               // asked by an open page again and again: nobody's doing, so no sign of life
	upload     bool               // may be sent a file
	stays      bool               // asked by a page that must not be left because a session has ended
	fresh      string             // what it does, if who does it must have said lately who they are; never for stopping something: a key, or what a person may do

	raw    http.Handler   // files
	public handler        // anybody
	user   userHandler    // whoever is signed in
	own    sessionHandler // the same, about their session too
	member memberHandler  // members of the workspace whose role has the permission
}

// routes is the whole console: every address, and who may use it.
func (s *Server) routes() []route {
	return []route{
		{Pattern: "GET /static/", raw: static.Handler()},
		{Pattern: "POST /csp-report", public: s.noteViolation},
		{Pattern: "POST /preferences/theme", public: s.chooseTheme},

		{Pattern: "GET /docs/send", public: s.showSendDocs},
		{Pattern: "GET /docs/errors", public: s.showErrorDocs},
		{Pattern: "GET /docs/read", public: s.showReadDocs},
		{Pattern: "GET /docs", public: s.goToDocs},

		{Pattern: "GET /setup", public: s.showSetUp},
		{Pattern: "POST /setup", public: s.setUp},
		{Pattern: "GET /password", public: s.showPasswordLink},
		{Pattern: "POST /password", public: s.choosePassword},
		{Pattern: "GET /handover/{link}", public: s.showHanded},
		{Pattern: "POST /handover/{link}", public: s.takeHandover},
		{Pattern: "GET /handover/{link}/first", public: s.showHandedFirst},
		{Pattern: "POST /handover/{link}/saved", public: s.confirmHandedOver},
		{Pattern: "GET /invitation", public: s.showInvitation},
		{Pattern: "POST /invitation", public: s.join},
		{Pattern: "GET /sign-in", public: s.showSignIn},
		{Pattern: "POST /sign-in", public: s.signIn},
		{Pattern: "GET /forgot-password", public: s.showForgot},
		{Pattern: "POST /forgot-password", public: s.askReset},
		{Pattern: "GET /sign-in/code", public: s.showEnterCode},
		{Pattern: "POST /sign-in/code", public: s.enterCode},
		{Pattern: "POST /sign-out", public: s.signOut},

		{Pattern: "GET /{$}", user: s.goHome},
		{Pattern: "GET /account/password", user: s.showChangePassword},
		{Pattern: "POST /account/password", user: s.changePassword},
		{Pattern: "GET /account", own: s.showAccount},
		{Pattern: "POST /account/profile", own: s.editProfile},
		{Pattern: "POST /account/preferences", own: s.editPreferences},
		{Pattern: "POST /account/sessions/end", own: s.endOwnSessions},
		{Pattern: "GET /account/confirm", user: s.goToAccount},
		{Pattern: "POST /account/confirm", user: s.confirmSignIn},
		{Pattern: "GET /account/second-factor", user: s.showSecondFactor},
		{Pattern: "POST /account/second-factor", user: s.beginSecondFactor, fresh: "set up a second factor"},
		{Pattern: "POST /account/second-factor/confirm", user: s.confirmSecondFactor, fresh: "set up a second factor"},
		{Pattern: "POST /account/second-factor/codes", user: s.renewRecoveryCodes, fresh: "make new recovery codes"},
		{Pattern: "POST /account/second-factor/remove", user: s.removeSecondFactor, fresh: "remove your second factor"},
		{Pattern: "GET /account/delete", user: s.askToDeleteAccount},
		{Pattern: "POST /account/delete", user: s.deleteAccount, fresh: "delete your account"},
		{Pattern: "GET /workspaces", user: s.showWorkspaces},
		{Pattern: "GET /workspaces/new", user: s.showNewWorkspace},
		{Pattern: "POST /workspaces", user: s.createWorkspace},

		{Pattern: "GET /w/{workspace}/{$}", Permission: account.ViewKeys, member: s.goToKeys},
		{Pattern: "GET /w/{workspace}/overview", Permission: account.ViewKeys, member: s.showOverview},
		{Pattern: "GET /w/{workspace}/keys", Permission: account.ViewKeys, member: s.showKeys},
		{Pattern: "GET /w/{workspace}/keys/new", Permission: account.CreateKeys, member: s.showNewKey},
		{Pattern: "POST /w/{workspace}/keys", Permission: account.CreateKeys, member: s.issueKey},
		{Pattern: "GET /w/{workspace}/keys/import", Permission: account.ImportKeys, member: s.showImport},
		{Pattern: "POST /w/{workspace}/keys/import", Permission: account.ImportKeys, member: s.importKeys, upload: true},
		{Pattern: "POST /w/{workspace}/keys/export", Permission: account.ViewKeys, member: s.exportKeys, fresh: "export keys"},
		{Pattern: "POST /w/{workspace}/batches", Permission: account.EditKeys, member: s.chooseKeys},
		{Pattern: "GET /w/{workspace}/batches/{batch}", Permission: account.EditKeys, member: s.showBatch},
		{Pattern: "POST /w/{workspace}/batches/{batch}", Permission: account.EditKeys, member: s.runBatch},
		{Pattern: "POST /w/{workspace}/batches/{batch}/undo", Permission: account.EditKeys, member: s.undoBatch},
		{Pattern: "GET /w/{workspace}/keys/{key}", Permission: account.ViewKeys, member: s.showKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/passport", Permission: account.ViewKeyTrail, member: s.showPassport},
		{Pattern: "GET /w/{workspace}/keys/{key}/passport.json", Permission: account.ViewKeyTrail, member: s.exportPassport, fresh: "export the passport"},
		{Pattern: "GET /w/{workspace}/keys/{key}/deliveries", Permission: account.ViewKeys, member: s.showDeliveries, poll: true},
		{Pattern: "GET /w/{workspace}/keys/{key}/first", Permission: account.ViewKeys, member: s.showFirst, poll: true, stays: true},
		{Pattern: "POST /w/{workspace}/keys/{key}/saved", Permission: account.CreateKeys, member: s.confirmSaved},
		{Pattern: "POST /w/{workspace}/keys/{key}/secret", Permission: account.EditKeys, member: s.pasteSecret},
		{Pattern: "GET /w/{workspace}/keys/{key}/edit", Permission: account.EditKeys, member: s.showEditKey},
		{Pattern: "POST /w/{workspace}/keys/{key}/edit", Permission: account.EditKeys, member: s.editKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/deactivate", Permission: account.EditKeys, member: s.askToDeactivate},
		{Pattern: "GET /w/{workspace}/keys/{key}/deactivate/dialog", Permission: account.EditKeys, member: s.askInDialog},
		{Pattern: "POST /w/{workspace}/keys/{key}/deactivate", Permission: account.EditKeys, member: s.deactivateKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/rotate", Permission: account.EditKeys, member: s.askToRotate},
		{Pattern: "GET /w/{workspace}/keys/{key}/rotate/dialog", Permission: account.EditKeys, member: s.askToRotateInDialog},
		{Pattern: "POST /w/{workspace}/keys/{key}/rotate", Permission: account.EditKeys, member: s.rotateKey, fresh: "rotate a key"},
		{Pattern: "GET /w/{workspace}/keys/{key}/overlap", Permission: account.ViewKeys, member: s.showOverlap, poll: true},
		{Pattern: "GET /w/{workspace}/keys/{key}/overlap/end", Permission: account.EditKeys, member: s.askToEndOverlap},
		{Pattern: "POST /w/{workspace}/keys/{key}/overlap/end", Permission: account.EditKeys, member: s.endOverlap},
		{Pattern: "POST /w/{workspace}/keys/{key}/overlap/move", Permission: account.EditKeys, member: s.moveOverlapEnd},
		{Pattern: "POST /w/{workspace}/keys/{key}/overlap/undo", Permission: account.EditKeys, member: s.undoRotation},
		{Pattern: "GET /w/{workspace}/keys/{key}/from", Permission: account.ViewKeys, member: s.showFrom},
		{Pattern: "GET /w/{workspace}/keys/{key}/suspect", Permission: account.MarkSuspect, member: s.showSuspect},
		{Pattern: "POST /w/{workspace}/keys/{key}/suspect", Permission: account.MarkSuspect, member: s.markSuspect},
		{Pattern: "POST /w/{workspace}/keys/{key}/suspect/end", Permission: account.MarkSuspect, member: s.endSuspect},
		{Pattern: "GET /w/{workspace}/keys/{key}/leak", Permission: account.EditKeys, member: s.askIfLeaked},
		{Pattern: "GET /w/{workspace}/keys/{key}/leak/dialog", Permission: account.EditKeys, member: s.askIfLeakedInDialog},
		{Pattern: "POST /w/{workspace}/keys/{key}/leak", Permission: account.EditKeys, member: s.reportLeaked},
		{Pattern: "GET /w/{workspace}/keys/{key}/leaked", Permission: account.ViewKeys, member: s.showLeaked},
		{Pattern: "GET /w/{workspace}/keys/{key}/leaked/attempts", Permission: account.ViewKeys, member: s.showAttempts, poll: true},
		{Pattern: "POST /w/{workspace}/keys/{key}/leaked/renew", Permission: account.EditKeys, member: s.renewKey, fresh: "make new credentials"},
		{Pattern: "POST /w/{workspace}/keys/{key}/reactivate", Permission: account.EditKeys, member: s.reactivateKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/handover", Permission: account.HandOverKeys, member: s.askToHandOver},
		{Pattern: "POST /w/{workspace}/keys/{key}/handover", Permission: account.HandOverKeys, member: s.handOverKey, fresh: "make a hand-over link"},
		{Pattern: "POST /w/{workspace}/keys/{key}/handover/withdraw", Permission: account.HandOverKeys, member: s.withdrawHandover},

		{Pattern: "GET /w/{workspace}/deliveries", Permission: account.ViewKeys, member: s.showLog},
		{Pattern: "GET /w/{workspace}/deliveries/look-up", Permission: account.ViewKeys, member: s.lookUp},
		{Pattern: "GET /w/{workspace}/deliveries/{request}", Permission: account.ViewKeys, member: s.showDelivery},
		{Pattern: "GET /w/{workspace}/deliveries/{request}/drawer", Permission: account.ViewKeys, member: s.showDrawer},
		{Pattern: "GET /w/{workspace}/deliveries/{request}/body", Permission: account.ViewPayloads, member: s.downloadDelivery},
		{Pattern: "GET /w/{workspace}/deliveries/export", Permission: account.ViewKeys, member: s.exportDeliveries, fresh: "export deliveries"},
		{Pattern: "GET /w/{workspace}/deliveries/chart", Permission: account.ViewKeys, member: s.showLogChart, poll: true},
		{Pattern: "GET /w/{workspace}/deliveries/tail", Permission: account.ViewKeys, member: s.tailDeliveries, poll: true},
		{Pattern: "GET /w/{workspace}/usage", Permission: account.ViewKeys, member: s.showUsage},

		{Pattern: "GET /w/{workspace}/audit", Permission: account.ViewTrail, member: s.showTrail},
		{Pattern: "GET /w/{workspace}/audit/verification", Permission: account.ViewTrail, member: s.showVerification, poll: true},
		{Pattern: "POST /w/{workspace}/audit/verify", Permission: account.ViewTrail, member: s.verifyTrail},
		{Pattern: "POST /w/{workspace}/audit/outside", Permission: account.ViewTrail, member: s.noteOutside},
		{Pattern: "POST /w/{workspace}/audit/checkpoint", Permission: account.ViewTrail, member: s.signCheckpoint},
		{Pattern: "POST /w/{workspace}/audit/export", Permission: account.ViewTrail, member: s.exportTrail, fresh: "export the audit trail"},

		{Pattern: "GET /w/{workspace}/signals", Permission: account.ViewKeys, member: s.showSignals},
		{Pattern: "GET /w/{workspace}/signals/{signal}", Permission: account.ViewKeys, member: s.showSignal},
		{Pattern: "GET /w/{workspace}/signals/{signal}/body", Permission: account.ViewPayloads, member: s.downloadBody},
		{Pattern: "GET /w/{workspace}/signals/erase", Permission: account.ErasePayloads, member: s.showErasures},
		{Pattern: "GET /w/{workspace}/signals/erase/list", Permission: account.ErasePayloads, member: s.showErasureList, poll: true},
		{Pattern: "POST /w/{workspace}/signals/erase", Permission: account.ErasePayloads, member: s.erasePayloads},
		{Pattern: "GET /w/{workspace}/signals/retention", Permission: account.ManageWorkspace, member: s.showRetention},
		{Pattern: "POST /w/{workspace}/signals/retention", Permission: account.ManageWorkspace, member: s.setRetention},

		{Pattern: "GET /w/{workspace}/tokens", Permission: account.ManageTokens, member: s.showTokens},
		{Pattern: "GET /w/{workspace}/tokens/new", Permission: account.ManageTokens, member: s.showNewToken},
		{Pattern: "POST /w/{workspace}/tokens", Permission: account.ManageTokens, member: s.issueToken},
		{Pattern: "GET /w/{workspace}/tokens/{token}", Permission: account.ManageTokens, member: s.showToken},
		{Pattern: "POST /w/{workspace}/tokens/{token}/saved", Permission: account.ManageTokens, member: s.confirmTokenSaved},
		{Pattern: "GET /w/{workspace}/tokens/{token}/deactivate", Permission: account.ManageTokens, member: s.askToDeactivateToken},
		{Pattern: "POST /w/{workspace}/tokens/{token}/deactivate", Permission: account.ManageTokens, member: s.deactivateToken},
		{Pattern: "POST /w/{workspace}/tokens/{token}/reactivate", Permission: account.ManageTokens, member: s.reactivateToken},

		{Pattern: "GET /w/{workspace}/reviews", Permission: account.ViewKeys, member: s.showReviews},
		{Pattern: "POST /w/{workspace}/reviews", Permission: account.ReviewAccess, member: s.makeReview},
		{Pattern: "GET /w/{workspace}/reviews/{review}", Permission: account.ViewKeys, member: s.showReview},
		{Pattern: "GET /w/{workspace}/reviews/{review}/file", Permission: account.ReviewAccess, member: s.exportReview, fresh: "export the review"},
		{Pattern: "GET /w/{workspace}/reviews/{review}/answer", Permission: account.EditKeys, member: s.askForAnswer},
		{Pattern: "POST /w/{workspace}/reviews/{review}/answer", Permission: account.EditKeys, member: s.answerReview},
		{Pattern: "GET /w/{workspace}/members", Permission: account.ViewMembers, member: s.showMembers},
		{Pattern: "POST /w/{workspace}/members/{member}/role", Permission: account.ManageMembers, member: s.changeRole, fresh: "change a role"},
		{Pattern: "GET /w/{workspace}/members/{member}/remove", Permission: account.ManageMembers, member: s.askToRemove},
		{Pattern: "POST /w/{workspace}/members/{member}/remove", Permission: account.ManageMembers, member: s.removeMember},
		{Pattern: "GET /w/{workspace}/members/leave", Permission: account.ViewMembers, member: s.askToLeave},
		{Pattern: "POST /w/{workspace}/members/leave", Permission: account.ViewMembers, member: s.leave},
		{Pattern: "GET /w/{workspace}/members/handover", Permission: account.DeleteWorkspace, member: s.askToGive},
		{Pattern: "POST /w/{workspace}/members/handover", Permission: account.DeleteWorkspace, member: s.give, fresh: "hand over the workspace"},
		{Pattern: "GET /w/{workspace}/invitations/new", Permission: account.ManageMembers, member: s.showInvite},
		{Pattern: "POST /w/{workspace}/invitations", Permission: account.ManageMembers, member: s.invite, fresh: "invite people"},
		{Pattern: "POST /w/{workspace}/invitations/{invitation}/resend", Permission: account.ManageMembers, member: s.resendInvitation, fresh: "make an invitation link"},
		{Pattern: "POST /w/{workspace}/invitations/{invitation}/withdraw", Permission: account.ManageMembers, member: s.withdrawInvitation},

		{Pattern: "GET /w/{workspace}/settings", Permission: account.ManageWorkspace, member: s.showSettings},
		{Pattern: "POST /w/{workspace}/settings", Permission: account.ManageWorkspace, member: s.editWorkspace},
		{Pattern: "GET /w/{workspace}/settings/delete", Permission: account.DeleteWorkspace, member: s.askToDeleteWorkspace},
		{Pattern: "POST /w/{workspace}/settings/delete", Permission: account.DeleteWorkspace, member: s.deleteWorkspace, fresh: "delete the workspace"},
		{Pattern: "GET /w/{workspace}/sign-in-rule", Permission: account.ManageWorkspace, member: s.showSignInRule},
		{Pattern: "POST /w/{workspace}/sign-in-rule", Permission: account.ManageWorkspace, member: s.setSignInRule, fresh: "change who needs a second factor"},
		{Pattern: "POST /w/{workspace}/members/{user}/sessions/end", Permission: account.ManageMembers, member: s.endMemberSessions},

		{Pattern: "/", public: s.notFound},
	}
}
