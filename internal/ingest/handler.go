package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

const (
	// MaxHeaderBytes is the limit for the headers of a request, for the server
	// that the handler runs in.
	MaxHeaderBytes = 16 << 10

	// answerWithin is the time that looking up and writing may take. Answers are
	// promised within 2.5 s.
	answerWithin = 2300 * time.Millisecond

	// unauthorizedAfter is the least time that a 401 takes from the end of its body,
	// and unauthorizedEach what each MiB of the body adds: longer than a quiet machine
	// works on one, sixteen MACs included, so that what was found can't be told from it.
	unauthorizedAfter = 25 * time.Millisecond
	unauthorizedEach  = 20 * time.Millisecond

	// bodiesInFlight is how much of bodies may be held at a time, in bytes, and
	// largeBody from when on parsing waits for a place: it takes many times the body.
	bodiesInFlight = 64 << 20
	largeBody      = 64 << 10
)

// Config is what a Handler must be told.
type Config struct {
	DocsURL        string         // base of the problem types, no slash at the end
	MaxBody        int64          // of a request's body, bytes
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
}

// A Handler answers the webhook endpoints. It must see raw paths: see Prefixed.
type Handler struct {
	config  Config
	keys    *keyring.Cache
	caps    *caps
	proxies forwards
	budget  budget
	parsers chan struct{} // a place for each large body that is parsed
	writer  *Writer
	metrics *Metrics
	log     *slog.Logger

	dummy       signature.Presented // a signature that no sender made, with a secret that
	dummySecret string              // none has, for work that must take its time
}

// NewHandler returns a Handler that looks keys up in keys, whose store must be on
// the ingestion pool, and stores through writer.
func NewHandler(config Config, keys *keyring.Cache, writer *Writer, metrics *Metrics, log *slog.Logger) *Handler {
	h := &Handler{
		config: config, keys: keys, writer: writer, metrics: metrics, log: log,
		caps: newCaps(time.Now, log), parsers: make(chan struct{}, 2), dummySecret: keyring.NewSecret().Reveal(),
	}
	h.dummy, _ = generic.Read(http.Header{"X-Webhook-Signature": {strings.Repeat("0", 64)}})
	h.budget.limit = max(bodiesInFlight, 8*config.MaxBody)
	return h
}

// ServeHTTP answers every request with X-Request-ID, and never with a redirect.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // no randomness: the program can't go on
	}
	w.Header().Set("X-Request-ID", id.String())
	route, found := routeOf(r.URL.EscapedPath())
	if !found {
		h.finish(w, id, began, answer{problem: notFound})
		return
	}
	switch r.Method {
	case http.MethodPost:
		h.finish(w, id, began, h.receive(w, r, id, began, route))
	case http.MethodGet, http.MethodHead:
		h.document(w, route)
	case http.MethodOptions:
		w.Header().Set("Allow", allowedMethods)
		w.WriteHeader(http.StatusNoContent)
	default:
		h.finish(w, id, began, answer{problem: methodNotAllowed, allow: allowedMethods})
	}
}

const allowedMethods = "GET, HEAD, OPTIONS, POST"

// finish counts and writes an answer.
func (h *Handler) finish(w http.ResponseWriter, id uuid.UUID, began time.Time, a answer) {
	h.metrics.answered(a, began)
	h.write(w, id.String(), a)
}

// receive reads a webhook and finds its answer. Each step has the deadline of
// the answer. What is committed behind it, a sender's retry will find.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, id uuid.UUID, began time.Time, route route) answer {
	rq, err := h.read(w, r, id, began, route)
	held := int64(cap(rq.body))
	if errors.Is(err, errOverBudget) {
		h.budget.give(held)
		h.metrics.overBudget.Inc()
		return answer{problem: unavailable}
	}
	read := time.Now()
	rq.deadline = read.Add(answerWithin)
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), rq.deadline)
	h.writer.inFlight.Add(1)
	a := h.guard(ctx, rq)
	h.writer.inFlight.Add(-1)
	cancel()
	h.budget.give(held)
	if a.problem.status == http.StatusUnauthorized {
		time.Sleep(time.Until(read.Add(unauthorizedAfter + time.Duration(float64(rq.bodySize)/(1<<20)*float64(unauthorizedEach)))))
	}
	return a
}

// guard turns a panic into a 503: the sender learns nothing of it.
func (h *Handler) guard(ctx context.Context, rq *request) (a answer) {
	defer func() {
		if cause := recover(); cause != nil {
			h.log.Error("ingestion panicked", "endpoint", rq.route.endpoint, "panic", cause, "stack", string(debug.Stack()))
			a = answer{problem: unavailable}
		}
	}()
	a, err := h.decide(ctx, rq)
	if err != nil {
		h.log.ErrorContext(ctx, "webhook not stored", "endpoint", rq.route.endpoint, "request_id", rq.id, "err", err)
		return answer{problem: unavailable}
	}
	return a
}

// A request is a webhook that was read.
type request struct {
	id         uuid.UUID
	began      time.Time
	receivedAt time.Time
	route      route
	header     http.Header
	address    netip.Addr
	forwarder  netip.Addr // who said so without being trusted; not valid: nobody
	body       []byte
	bodySize   int64        // more than body holds, if it was too large
	unreadable inbox.Reason // why there is no body to look at
	why        string       // instead of that reason's detail
	deadline   time.Time    // of the answer
}

// read takes the body, as far as it may go. Its error says that there was no room.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, id uuid.UUID, began time.Time, route route) (*request, error) {
	rq := &request{
		id: id, began: began, receivedAt: time.Now().UTC().Truncate(time.Microsecond), route: route,
		header: r.Header, address: ClientAddr(r, h.config.TrustedProxies), forwarder: forwarder(r, h.config.TrustedProxies),
		bodySize: r.ContentLength,
	}
	if r.ContentLength > h.config.MaxBody {
		rq.unreadable = inbox.BodyTooLarge
		return rq, nil
	}
	if encodings := r.Header.Values("Content-Encoding"); len(encodings) > 1 || (len(encodings) == 1 && !isIdentity(encodings[0])) {
		rq.unreadable = inbox.BodyEncoded
	}
	body, err := h.budget.read(http.MaxBytesReader(w, r.Body, h.config.MaxBody), r.ContentLength, h.config.MaxBody)
	rq.body, rq.bodySize = body, int64(len(body))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
	case errors.Is(err, errOverBudget):
		return rq, err
	case tooLarge:
		rq.unreadable, rq.bodySize = inbox.BodyTooLarge, rq.bodySize+1
	case errors.Is(err, os.ErrDeadlineExceeded):
		rq.unreadable, rq.why = inbox.BodyUnreadable, "The body took too long to arrive. Send it again, faster."
	default:
		rq.unreadable = inbox.BodyUnreadable
	}
	return rq, nil
}
