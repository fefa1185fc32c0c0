package inbox

// A Reason is why a request was refused, as a word for machines.
type Reason string

// The reasons. They are stored, so their text is fixed for ever.
const (
	NoCredentials     Reason = "no_credentials"
	MalformedAPIKey   Reason = "malformed_api_key"
	UnknownAPIKey     Reason = "unknown_api_key"
	UnknownKey        Reason = "unknown_key"
	KeyMismatch       Reason = "key_mismatch"
	NotInURL          Reason = "not_in_url"
	KeyInactive       Reason = "key_inactive"
	KeyExpired        Reason = "key_expired"
	CredentialEnded   Reason = "credential_ended"
	CredentialExpired Reason = "credential_expired"
	CredentialLeaked  Reason = "credential_leaked"
	SecretErased      Reason = "secret_erased"
	SignatureMissing  Reason = "signature_missing"
	SignatureFormat   Reason = "signature_format"
	TimestampStale    Reason = "timestamp_stale"
	SignatureWrong    Reason = "signature_wrong"
	SecretMissing     Reason = "secret_missing"
	WorkspaceMissing  Reason = "workspace_missing"
	UnknownWorkspace  Reason = "unknown_workspace"
	TooManySecrets    Reason = "too_many_secrets"
	SignatureRequired Reason = "signature_required"
	AddressForbidden  Reason = "address_forbidden"
	SourceForbidden   Reason = "source_forbidden"
	RateLimited       Reason = "rate_limited"
	QuotaUsed         Reason = "quota_used"
	BodyTooLarge      Reason = "body_too_large"
	BodyEncoded       Reason = "body_encoded"
	BodyUnreadable    Reason = "body_unreadable"
	InvalidJSON       Reason = "invalid_json"
	InvalidField      Reason = "invalid_field"
)

// explanations say what happened and what to change, for whoever looks after
// the key.
var explanations = map[Reason]string{
	NoCredentials:     "No credentials came with the request. Let the sender add X-API-Key, or sign the body with X-Webhook-Signature.",
	MalformedAPIKey:   "The API key is not complete: its length or its checksum is wrong. Copy it into the sender again.",
	UnknownAPIKey:     "The API key is not known here. Check that the sender has this key's API key and not another system's.",
	UnknownKey:        "The key id in the URL or in X-Webhook-Key-ID is not known. Copy the URL from the key's page again.",
	KeyMismatch:       "The credentials belong to different keys. Let the sender use the URL, API key and secret of one key.",
	NotInURL:          "The API key came in the URL, which this key does not allow. Send it in the X-API-Key header, or allow it in the key's settings.",
	KeyInactive:       "The key was deactivated. Reactivate it, or remove it from the sender.",
	KeyExpired:        "The key has expired. Set a later date, or give the sender another key.",
	CredentialEnded:   "The sender still uses an older API key or secret that was stopped. Give it the newest one.",
	CredentialExpired: "The sender still uses an older API key or secret whose overlap has ended. Give it the newest one.",
	CredentialLeaked:  "The API key or secret was reported as leaked and works no more. This is the old sender, or whoever else has it: compare the address. The sender needs the new one.",
	SecretErased:      "The key’s secret was reported as leaked and is erased, so nobody can tell who made this signature: the old sender, or whoever else has the secret. Give the key and its sender new credentials.",
	SignatureMissing:  "The request lacks the proof that the key asks for.",
	SignatureFormat:   "The proof that the key asks for can't be read.",
	TimestampStale:    "The signature is more than 5 minutes old, or from the future: an old request was sent again, or one of the clocks is wrong.",
	SignatureWrong:    "The proof does not hold: another secret made it, or the body changed on the way.",
	SecretMissing:     "The key has no secret yet. Paste the sender’s on the key’s page; until then it refuses.",
	WorkspaceMissing:  "The signature came without X-Workspace-ID. Add the header, or send to /hooks/ and the key's id.",
	UnknownWorkspace:  "The id in X-Workspace-ID is not known, or has no key that could check a signature.",
	TooManySecrets:    "The workspace has more than 16 secrets to try. Let the sender add X-Webhook-Key-ID.",
	SignatureRequired: "This key demands a signature, and only the API key came. Let the sender sign, or stop demanding it in the key's settings.",
	AddressForbidden:  "The request came from an address that the key does not allow. Add the sender's network to the key's settings.",
	SourceForbidden:   "The payload names a source that the key may not use. Add it to the key's other sources, or leave it out of the payload.",
	RateLimited:       "The key's own rate limit was reached. Let the sender slow down, or raise the limit.",
	QuotaUsed:         "The key's daily quota is used up. Wait for the next day, or raise the quota.",
	BodyTooLarge:      "The body is larger than this instance takes. Let the sender send less at once.",
	BodyEncoded:       "The body is compressed. Let the sender send it without Content-Encoding.",
	BodyUnreadable:    "The connection ended before the whole body arrived, or it took too long to come.",
	InvalidJSON:       "The body is not the strict JSON that is expected: look for trailing data, a repeated name, or bytes that are not UTF-8.",
	InvalidField:      "A field of the payload, or the reference of the event, is missing or wrong.",
}

// Explain says what happened and what to change. It returns "" for a reason
// that this program does not know.
func (r Reason) Explain() string { return explanations[r] }

// Reasons returns every reason with its explanation.
func Reasons() map[Reason]string {
	all := make(map[Reason]string, len(explanations))
	for reason, text := range explanations {
		all[reason] = text
	}
	return all
}
