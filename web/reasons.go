package web

import (
	"cmp"
	"slices"

	"keyhook/internal/inbox"
	"keyhook/views"
)

// reasonNames are the reasons in a few words, in the order in which requests are
// checked.
var reasonNames = []struct {
	reason inbox.Reason
	name   string
	check  check
}{
	{inbox.BodyTooLarge, "Body too large", checkBody},
	{inbox.BodyEncoded, "Body compressed", checkBody},
	{inbox.BodyUnreadable, "Body incomplete", checkBody},
	{inbox.NoCredentials, "No credentials", checkCredentials},
	{inbox.MalformedAPIKey, "API key incomplete", checkCredentials},
	{inbox.WorkspaceMissing, "Workspace id missing", checkCredentials},
	{inbox.SignatureFormat, "Proof unreadable", checkCredentials},
	{inbox.UnknownKey, "Unknown key id", checkKey},
	{inbox.UnknownWorkspace, "Unknown workspace", checkKey},
	{inbox.SecretMissing, "Key has no secret yet", checkKey},
	{inbox.SignatureMissing, "Proof missing", checkProof},
	{inbox.TimestampStale, "Timestamp too old", checkProof},
	{inbox.SignatureWrong, "Signature mismatch", checkProof},
	{inbox.TooManySecrets, "Too many secrets to try", checkProof},
	{inbox.UnknownAPIKey, "Unknown API key", checkProof},
	{inbox.KeyMismatch, "Credentials of different keys", checkProof},
	{inbox.KeyInactive, "Key inactive", checkState},
	{inbox.KeyExpired, "Key expired", checkState},
	{inbox.CredentialEnded, "Old credential, stopped", checkState},
	{inbox.CredentialExpired, "Old credential, overlap over", checkState},
	{inbox.NotInURL, "API key in the URL", checkState},
	{inbox.SignatureRequired, "Signature required", checkRules},
	{inbox.AddressForbidden, "Address not allowed", checkRules},
	{inbox.InvalidJSON, "Invalid JSON", checkPayload},
	{inbox.InvalidField, "Invalid field", checkPayload},
	{inbox.SourceForbidden, "Source not allowed", checkPayload},
	{inbox.RateLimited, "Rate limited", checkLimits},
	{inbox.QuotaUsed, "Daily quota used up", checkLimits},
}

// shortReason is a reason in a few words; one that a later release made is itself.
func shortReason(reason inbox.Reason) string {
	for _, r := range reasonNames {
		if r.reason == reason {
			return r.name
		}
	}
	return string(reason)
}

func reasonOptions() (options []views.Option) {
	for _, r := range reasonNames {
		options = append(options, views.Option{Value: string(r.reason), Label: r.name})
	}
	slices.SortFunc(options, func(a, b views.Option) int { return cmp.Compare(a.Label, b.Label) })
	return options
}

// A check is a step of what every request goes through, in this order.
type check int

const (
	checkBody check = iota
	checkCredentials
	checkKey
	checkProof
	checkState
	checkRules
	checkPayload
	checkLimits
	checkRepeats
)

var checkNames = [...]string{
	checkBody: "Body readable", checkCredentials: "Credentials came", checkKey: "Key found", checkProof: "Proof holds",
	checkState: "Key and credentials valid", checkRules: "Allowed by the key’s rules", checkPayload: "Payload understood",
	checkLimits: "Within rate and quota", checkRepeats: "Looked for repetitions",
}

// traceOf tells which checks a request passed, which one it failed and which it
// did not reach. note says more of the failed one.
func traceOf(d inbox.Delivery, keyName, note string) (trace []views.TraceStep) {
	failed := checkRepeats + 1
	for _, r := range reasonNames {
		if r.reason == d.Reason {
			failed = r.check
		}
	}
	for step, name := range checkNames {
		s := views.TraceStep{State: "ok", Label: name, Note: passed(check(step), d, keyName)}
		switch {
		case check(step) == failed:
			s.State, s.Note = "bad", cmp.Or(note, shortReason(d.Reason))
		case check(step) > failed:
			s.State, s.Note = "skip", "not reached"
		case d.Outcome == inbox.Refused && failed > checkRepeats: // a reason of a later release
			s.State, s.Note = "skip", "not known"
		}
		trace = append(trace, s)
	}
	return trace
}

// passed says what a check that held found.
func passed(step check, d inbox.Delivery, keyName string) string {
	switch step {
	case checkKey:
		return cmp.Or(keyName, "deleted, or one of several")
	case checkProof:
		return methodShort[d.Method]
	case checkRules:
		return d.Address
	case checkRepeats:
		return map[inbox.Outcome]string{inbox.Accepted: "new", inbox.Duplicate: "seen before"}[d.Outcome]
	}
	return ""
}

var methodShort = map[inbox.Method]string{
	inbox.ByAPIKey: "API key", inbox.ByBearer: "API key as bearer", inbox.ByURL: "API key in the URL", inbox.BySignature: "signature",
	inbox.ByToken: "secret as it is", inbox.ByBasic: "basic",
}
