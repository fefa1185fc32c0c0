package ingest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// timeFormat is how answers write times.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// A problem is a kind of refusal. Its title is that of its section of
// /docs/errors.
type problem struct {
	status int
	code   string
	title  string
	detail string // unless the case has one of its own
}

var (
	invalidPayload     = problem{400, "INVALID_PAYLOAD", "The body cannot be read", "The body could not be read."}
	validationError    = problem{400, "VALIDATION_ERROR", "A field is missing or wrong", "A field is missing or wrong."}
	unauthorized       = problem{401, "UNAUTHORIZED", "The credentials do not hold", "The credentials are missing or do not hold."}
	forbidden          = problem{403, "FORBIDDEN", "The key’s rules do not allow the request", "The key's rules do not allow this request."}
	notFound           = problem{404, "NOT_FOUND", "There is no such address", "There is no such address. Webhooks go to /hooks/{key id} or /api/webhooks/signals."}
	methodNotAllowed   = problem{405, "METHOD_NOT_ALLOWED", "The method is not POST", "Send webhooks with POST."}
	bodyTooLarge       = problem{413, "BODY_TOO_LARGE", "The body is too large", "The body is larger than this instance takes."}
	unsupportedEncoded = problem{415, "UNSUPPORTED_ENCODING", "The body is compressed", "Content-Encoding must be identity."}
	rateLimited        = problem{429, "RATE_LIMITED", "Over the key’s own limit", "The key's own limit is reached. Try again after the time in Retry-After."}
	unavailable        = problem{503, "UNAVAILABLE", "Try again", "The request could not be stored now. Try again after the time in Retry-After."}
)

// section returns the problem's place on /docs/errors.
func (p problem) section() string {
	return "/docs/errors#" + strings.ToLower(strings.ReplaceAll(p.code, "_", "-"))
}

// problemOf is the answer to each reason. Everything that tells whether a key or
// a workspace exists is the one 401.
var problemOf = map[inbox.Reason]problem{
	inbox.SignatureRequired: withDetail(forbidden, "The key demands a signature. Sign the body, as its scheme says."),
	inbox.AddressForbidden:  withDetail(forbidden, "The key does not allow requests from this address."),
	inbox.SourceForbidden:   withDetail(forbidden, "The key may not send events of the source that the payload names."),
	inbox.RateLimited:       rateLimited,
	inbox.QuotaUsed:         rateLimited,
	inbox.BodyTooLarge:      bodyTooLarge,
	inbox.BodyEncoded:       unsupportedEncoded,
	inbox.BodyUnreadable:    withDetail(invalidPayload, "The connection ended before the whole body arrived."),
	inbox.InvalidJSON:       invalidPayload,
	inbox.InvalidField:      validationError,
}

func withDetail(p problem, detail string) problem {
	p.detail = detail
	return p
}

// problemFor returns the problem that a reason is answered with.
func problemFor(reason inbox.Reason) problem {
	if p, ok := problemOf[reason]; ok {
		return p
	}
	return unauthorized
}

// An answer is what is sent back: a problem, or what was accepted.
type answer struct {
	problem   problem // code "": accepted
	detail    string  // instead of the problem's
	hints     []string
	accepted  inbox.Result
	handshake *handshake         // accepted, and answered with what the provider asks for
	allowance *keyring.Allowance // of a key with a limit
	allow     string             // for 405
}

func refusal(reason inbox.Reason, detail string, hints []string) answer {
	return answer{problem: problemFor(reason), detail: detail, hints: hints}
}

// status is the answer's HTTP status.
func (a answer) status() int {
	if a.problem.code == "" {
		return http.StatusOK
	}
	return a.problem.status
}

// problemBody is an RFC 9457 problem. error and code are what the origin's
// senders read.
type problemBody struct {
	Type       string   `json:"type"`
	Title      string   `json:"title"`
	Status     int      `json:"status"`
	Detail     string   `json:"detail"`
	RequestID  string   `json:"requestId"`
	ServerTime string   `json:"serverTime"`
	Error      string   `json:"error"`
	Code       string   `json:"code"`
	Hints      []string `json:"hints,omitempty"`
}

type acceptedBody struct {
	Success    bool   `json:"success"`
	Message    string `json:"message"`
	SignalID   string `json:"signalId"`
	Duplicate  bool   `json:"duplicate"`
	ReceivedAt string `json:"receivedAt"`
	RequestID  string `json:"requestId"`
}

// write sends a. It sets no header that could tell one 401 from another.
func (h *Handler) write(w http.ResponseWriter, id string, a answer) {
	header := w.Header()
	if a.allowance != nil {
		header.Set("RateLimit-Limit", strconv.Itoa(a.allowance.Limit))
		header.Set("RateLimit-Remaining", strconv.Itoa(a.allowance.Remaining))
		header.Set("RateLimit-Reset", seconds(a.allowance.Reset))
	}
	if a.handshake != nil {
		h.writeJSON(w, "application/json", http.StatusOK, map[string]string{a.handshake.name: a.handshake.value})
		return
	}
	if a.problem.code == "" {
		h.writeJSON(w, "application/json", http.StatusOK, acceptedBody{
			Success: true, Message: "Signal received", SignalID: a.accepted.SignalID.String(),
			Duplicate:  a.accepted.Outcome == inbox.Duplicate,
			ReceivedAt: a.accepted.ReceivedAt.UTC().Format(timeFormat), RequestID: id,
		})
		return
	}
	switch a.problem.status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="keyhook"`)
	case http.StatusMethodNotAllowed:
		header.Set("Allow", a.allow)
	case http.StatusTooManyRequests:
		header.Set("Retry-After", seconds(a.allowance.Reset))
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(1+rand.IntN(5))) // spread, so that senders don't return at once
	}
	detail := a.problem.detail
	if a.detail != "" {
		detail = a.detail
	}
	h.writeJSON(w, "application/problem+json", a.problem.status, problemBody{
		Type: h.config.DocsURL + a.problem.section(), Title: a.problem.title, Status: a.problem.status,
		Detail: detail, RequestID: id, ServerTime: time.Now().UTC().Format(timeFormat),
		Error: detail, Code: a.problem.code, Hints: a.hints,
	})
}

// seconds writes a duration in whole seconds, rounded up, at least 1.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

func (h *Handler) writeJSON(w http.ResponseWriter, contentType string, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("encode an answer: %v", err)) // only for types that are not ours
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	w.Write(text) // there is nobody left to tell
}
