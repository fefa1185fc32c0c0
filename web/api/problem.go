package api

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
)

// timeFormat is how answers write times.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// A problem is a kind of refusal, with its section on /docs/read.
type problem struct {
	status int
	code   string
	title  string
	detail string
}

func (p problem) Error() string { return p.detail }

var (
	invalidCursor    = problem{400, "INVALID_CURSOR", "The cursor cannot be used", ""}
	validationError  = problem{400, "VALIDATION_ERROR", "A parameter is wrong", ""}
	unauthorized     = problem{401, "UNAUTHORIZED", "The token does not hold", "The token is missing or does not hold. Send it as Authorization: Bearer kht_…"}
	forbidden        = problem{403, "FORBIDDEN", "The token does not allow that", "The token lacks the scope read-signals."}
	notFound         = problem{404, "NOT_FOUND", "There is nothing here", "There is no such signal, or no such address."}
	methodNotAllowed = problem{405, "METHOD_NOT_ALLOWED", "The method is not GET", "Signals are read with GET."}
	cursorExpired    = problem{410, "CURSOR_EXPIRED", "The cursor is older than what is kept", "Signals behind this cursor are gone. Go on from oldestCursor, behind which everything is kept."}
	erased           = problem{410, "ERASED", "The body was erased", "The body and the headers of this signal were erased. Its erased member says when and why."}
	bodyNotKept      = problem{410, "BODY_NOT_KEPT", "The body is not kept", "Every named reader has read this signal, and the key's log keeps no bodies. Its hash is there."}
	tooMany          = problem{429, "RATE_LIMITED", "The token has too much open", "This token has as many streams or waiting requests open as it may. Close some."}
	unavailable      = problem{503, "UNAVAILABLE", "Try again", "The signals could not be read now. Try again after the time in Retry-After."}
)

func withDetail(p problem, detail string) problem {
	p.detail = detail
	return p
}

// problemBody is an RFC 9457 problem.
type problemBody struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	RequestID    string `json:"requestId"`
	ServerTime   string `json:"serverTime"`
	Code         string `json:"code"`
	OldestCursor string `json:"oldestCursor,omitempty"` // of CURSOR_EXPIRED
}

// An expired is a cursor that is too old, with the oldest one that is not.
type expired struct {
	problem
	oldest string
}

// problemOf says how an error is told. What is not a program's doing is a 503: it
// is to try again.
func problemOf(err error) (p problem, oldest string, known bool) {
	if old, ok := errors.AsType[expired](err); ok {
		return old.problem, old.oldest, true
	}
	if p, ok := errors.AsType[problem](err); ok {
		return p, "", true
	}
	f, _ := fault.Of(err)
	switch f.Kind {
	case fault.Unauthenticated:
		return unauthorized, "", true
	case fault.NotFound:
		return notFound, "", true
	case fault.Invalid:
		return withDetail(invalidCursor, f.Message), "", true
	}
	return unavailable, "", false
}

// fail answers with a problem, and logs one that is ours.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // nobody is left to tell
		return
	}
	p, oldest, known := problemOf(err)
	if !known {
		s.log.ErrorContext(r.Context(), "reading failed", "route", r.Pattern, "request", w.Header().Get("X-Request-ID"), "err", err)
	}
	h := w.Header()
	switch p.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="keyhook"`)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(1+rand.IntN(5))) // spread, so that readers don't return at once
	}
	text, err := json.Marshal(problemBody{
		Type: s.config.DocsURL + "/docs/read#" + strings.ToLower(strings.ReplaceAll(p.code, "_", "-")), Title: p.title, Status: p.status, Detail: p.detail,
		RequestID: h.Get("X-Request-ID"), ServerTime: time.Now().UTC().Format(timeFormat), Code: p.code, OldestCursor: oldest,
	})
	if err != nil {
		panic(err) // only for types that are not ours
	}
	s.write(w, r, "application/problem+json", p.status, text)
}

// write sends a whole answer, and gives up on who takes nothing of it.
func (s *Server) write(w http.ResponseWriter, r *http.Request, contentType string, status int, text []byte) {
	deadline(w, time.Duration(1+len(text)>>20)*s.config.StallAfter)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		s.log.DebugContext(r.Context(), "an answer was not taken", "err", err)
	}
}

// deadline lets what is written next take so long, whatever the server's own
// limits are: they are for short answers.
func deadline(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // a recorder in a test has none
}

// stay lifts the limit on how long a request may last. Without that the server
// would take a client that waits for one that went away.
func stay(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// asProblem turns what inbox says of a cursor into an answer.
func asProblem(err error, cursor func(inbox.Position) string) error {
	if old, ok := errors.AsType[*inbox.ExpiredError](err); ok {
		return expired{cursorExpired, cursor(old.Oldest)}
	}
	return err
}
