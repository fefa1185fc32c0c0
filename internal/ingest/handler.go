package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

const (
	// MaxHeaderBytes is the limit for the headers of a request, for the server
	// that the handler runs in.
	MaxHeaderBytes = 16 << 10

	// answerWithin is the time that looking up and writing may take. Answers are
	// promised within 2.5 s.
	answerWithin = 2300 * time.Millisecond

	// unauthorizedAfter is the least time that a 401 takes: longer than a quiet
	// machine works on one, so that what was found can't be told from it.
	unauthorizedAfter = 25 * time.Millisecond
)

// Config is what a Handler must be told.
type Config struct {
	DocsURL        string         // base of the problem types, no slash at the end
	MaxBody        int64          // of a request's body, bytes
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
}

// A Handler answers the webhook endpoints. It must see raw paths: see Prefixed.
type Handler struct {
	config   Config
	keys     *keyring.Store
	writer   *Writer
	metrics  *Metrics
	log      *slog.Logger
	dummy    string // a secret that no sender has, for work that must take its time
	draining atomic.Bool
}

// NewHandler returns a Handler that looks keys up in keys, which must be on the
// ingestion pool, and stores through writer.
func NewHandler(config Config, keys *keyring.Store, writer *Writer, metrics *Metrics, log *slog.Logger) *Handler {
	return &Handler{
		config: config, keys: keys, writer: writer, metrics: metrics, log: log,
		dummy: keyring.NewSecret().Reveal(),
	}
}

// Drain makes the handler refuse webhooks from now on with a 503, so that
// senders turn to another instance or come back.
func (h *Handler) Drain() { h.draining.Store(true) }

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
	if a.problem.status == http.StatusUnauthorized {
		time.Sleep(time.Until(began.Add(unauthorizedAfter)))
	}
	h.metrics.answered(a, began)
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	h.write(w, id.String(), a)
}

// receive reads a webhook and finds its answer. The work goes on behind an
// answer that the clock demanded: what it commits, a sender's retry will find.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, id uuid.UUID, began time.Time, route route) answer {
	if h.draining.Load() {
		return answer{problem: unavailable}
	}
	rq := h.read(w, r, id, began, route)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), answerWithin)
	answers := make(chan answer, 1)
	go func() {
		defer cancel()
		answers <- h.guard(ctx, rq)
	}()
	select {
	case a := <-answers:
		return a
	case <-ctx.Done():
	}
	select { // both may be ready
	case a := <-answers:
		return a
	default:
		return answer{problem: unavailable}
	}
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
	body       []byte
	bodySize   int64        // more than body holds, if it was too large
	unreadable inbox.Reason // why there is no body to look at
}

// read takes the body, as far as it may go.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, id uuid.UUID, began time.Time, route route) *request {
	rq := &request{
		id: id, began: began, receivedAt: time.Now().UTC().Truncate(time.Microsecond), route: route,
		header: r.Header, address: ClientAddr(r, h.config.TrustedProxies), bodySize: r.ContentLength,
	}
	if r.ContentLength > h.config.MaxBody {
		rq.unreadable = inbox.BodyTooLarge
		return rq
	}
	if encodings := r.Header.Values("Content-Encoding"); len(encodings) > 1 || (len(encodings) == 1 && !isIdentity(encodings[0])) {
		rq.unreadable = inbox.BodyEncoded
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.config.MaxBody))
	rq.body, rq.bodySize = body, int64(len(body))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		rq.unreadable, rq.bodySize = inbox.BodyTooLarge, rq.bodySize+1
	} else if err != nil {
		rq.unreadable = inbox.BodyUnreadable
	}
	return rq
}
