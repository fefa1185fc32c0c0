// Package api is what programs use: they read what arrived, with a token, each
// signal once and in order. It owns no table.
//
// Its invariant: a cursor is handed out only for a place in front of which nothing
// can appear any more. inbox decides that; here no signal gets around it.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

// A Config is what a Server must be told. What is zero has a default.
type Config struct {
	DocsURL    string        // base of the addresses that explain errors
	Secure     bool          // https: HSTS
	StallAfter time.Duration // how long a reader may take nothing off us
	Heartbeat  time.Duration // between signs of life on a quiet stream
	Streams    int           // open at once
	PerToken   int           // streams, and waiting requests, of one token
	Waiting    int           // requests that wait for signals
}

func (c Config) withDefaults() Config {
	for value, normal := range map[*time.Duration]time.Duration{&c.StallAfter: 10 * time.Second, &c.Heartbeat: 15 * time.Second} {
		if *value == 0 {
			*value = normal
		}
	}
	for value, normal := range map[*int]int{&c.Streams: 512, &c.PerToken: 128, &c.Waiting: 2048} {
		if *value == 0 {
			*value = normal
		}
	}
	return c
}

// A Server answers programs.
type Server struct {
	config   Config
	keys     *keyring.Store
	events   *inbox.Store
	activity *activity
	hub      *hub
	readers  *readers
	places   *places
	log      *slog.Logger
	mux      *http.ServeMux
	letIn    func(*http.Request) (*http.Request, keyring.Token, error) // authenticate

	drain    sync.Once
	draining chan struct{}
}

// NewServer returns a Server. db, keys and events must be on one pool.
func NewServer(config Config, db *postgres.DB, keys *keyring.Store, events *inbox.Store, log *slog.Logger) *Server {
	config = config.withDefaults()
	s := &Server{
		config: config, keys: keys, events: events, activity: newActivity(db, log), hub: newHub(events, log), readers: newReaders(config, keys, log),
		places: newPlaces(), log: log, mux: http.NewServeMux(), draining: make(chan struct{}),
	}
	s.letIn = s.authenticate
	for _, route := range s.routes() {
		s.mux.Handle(route.pattern, s.serve(route.handler(s)))
	}
	return s
}

// A route is an address of the API. Exactly one of its handlers is set.
type route struct {
	pattern string
	open    handler      // anybody
	token   tokenHandler // programs with a token that may read
}

// routes is the whole API.
func (s *Server) routes() []route {
	nothing := func(http.ResponseWriter, *http.Request) error { return notFound }
	return []route{
		{pattern: "/api/v1/openapi.json", open: s.showDescription},
		{pattern: "/api/v1/signals", token: s.listSignals},
		{pattern: "/api/v1/signals/stream", token: s.streamSignals},
		{pattern: "/api/v1/signals/{id}", token: s.showSignal},
		{pattern: "/api/v1/signals/{id}/body", token: s.showBody},
		{pattern: "/api/v1/changes", token: s.listChanges},
		{pattern: "/api/v1/marks/{mark}/signals", token: s.listMarked},
		{pattern: "/api/v1/", open: nothing},
	}
}

func (r route) handler(s *Server) handler {
	if r.open != nil {
		return r.open
	}
	return s.withToken(r.token)
}

// Run looks for new signals while somebody waits for them, ends what tokens that
// stopped working have open, and keeps how far each token has read, until ctx is
// done.
func (s *Server) Run(ctx context.Context) {
	ctx = postgres.Everywhere(ctx)
	var workers sync.WaitGroup
	workers.Go(func() { s.hub.run(ctx) })
	workers.Go(func() { s.readers.run(ctx) })
	workers.Go(func() { s.activity.run(ctx) })
	workers.Wait()
}

// Drain ends the streams and answers the requests that wait: they are to go on
// with another instance.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// ServeHTTP answers one request below /api/v1/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// A handler answers a request, or says why not.
type handler func(http.ResponseWriter, *http.Request) error

// A tokenHandler answers a program that holds a token.
type tokenHandler func(http.ResponseWriter, *http.Request, keyring.Token) error

// serve adapts h to net/http. Every error ends up here.
func (s *Server) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.ErrorContext(r.Context(), "panic", "route", r.Pattern, "panic", p, "stack", string(debug.Stack()))
				s.fail(w, r, unavailable)
			}
		}()
		err := error(methodNotAllowed)
		if r.Method == http.MethodGet {
			err = h(w, r)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *Server) setHeaders(w http.ResponseWriter) {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	h := w.Header()
	h.Set("X-Request-ID", id.String())
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	if s.config.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}
