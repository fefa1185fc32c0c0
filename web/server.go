// Package web is the console: pages for people who are signed in, and the pages
// for senders that anybody may read. It owns no table.
//
// Who may do what is asked in one place, routes.go; which workspace a thing
// belongs to is asked again by each statement. Handlers return errors, and one
// function turns an error into a page.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/mail"
)

// A Config is what a Server must be told.
type Config struct {
	PublicURL  string       // base of the console's addresses, no slash at the end
	HooksURL   string       // base of the addresses that senders are given
	MaxBody    string       // largest body that ingestion takes, for people: "1 MiB"
	Secure     bool         // people use https: Secure cookies and HSTS
	Operator   bool         // only who operates the instance may make workspaces
	FixedHost  bool         // PublicURL was set by hand: other host names are refused
	Mail       *mail.Sender // nil: links are copied, not mailed
	ClientAddr func(*http.Request) netip.Addr
	Evidence   Evidence
	TailCheck  time.Duration // how often it is asked whether a live tail's reader may still see it; 0: 5 s
}

// Evidence is what proves audit trails apart from the database.
type Evidence struct {
	KeyID, PublicKey string                      // of the key that signs checkpoints; PEM
	Sign             func(context.Context) error // a checkpoint, now
}

// A Server answers the console's requests.
type Server struct {
	config   Config
	accounts *account.Store
	keys     *keyring.Store
	events   *inbox.Store
	trail    *audit.Store
	evidence *evidence.Store
	log      *slog.Logger
	cookies  *cookieStore
	handler  http.Handler
	letIn    func(*http.Request, account.User) (*http.Request, account.Member, error) // enter
	mux      *http.ServeMux                                                           // behind the guards
	pages    map[string]bool                                                          // the paths of routes that can be asked for and are no part of a page
	exports  chan struct{}                                                            // one for each that runs
	resets   chan struct{}                                                            // one for each that is being mailed
	tails    *tailHub

	drain    sync.Once
	draining chan struct{}
}

// NewServer returns a Server.
func NewServer(config Config, accounts *account.Store, keys *keyring.Store, events *inbox.Store, trail *audit.Store, evidence *evidence.Store, log *slog.Logger) *Server {
	s := &Server{config: config, accounts: accounts, keys: keys, events: events, trail: trail, evidence: evidence, log: log, cookies: newCookieStore(config.Secure)}
	s.letIn = s.enter
	s.exports, s.draining = make(chan struct{}, exportsAtOnce), make(chan struct{})
	s.resets = make(chan struct{}, resetsAtOnce)
	s.tails = newTailHub(events, keys, log)
	s.mux, s.pages = http.NewServeMux(), map[string]bool{}
	for _, route := range s.routes() {
		s.mux.Handle(route.Pattern, s.serve(route))
		if path, found := strings.CutPrefix(route.Pattern, "GET "); found && !route.poll {
			s.pages[strings.TrimSuffix(path, "/{$}")] = true
		}
	}
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(s.handle(s.denyCrossOrigin))
	s.handler = s.identify(s.dropCredentials(s.checkHost(guard.Handler(s.mux))))
	return s
}

// ServeHTTP answers one request of the console.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// A handler answers a request, or says why not.
type handler func(http.ResponseWriter, *http.Request) error

// A memberHandler answers a member of the workspace in the path.
type memberHandler func(http.ResponseWriter, *http.Request, account.Member) error

// A userHandler answers somebody who is signed in.
type userHandler func(http.ResponseWriter, *http.Request, account.User) error

// serve is a route's handler with its gate.
func (s *Server) serve(route route) http.Handler {
	switch {
	case route.raw != nil:
		return route.raw
	case route.public != nil:
		return s.handle(route.public)
	case route.user != nil || route.own != nil:
		return s.handleUpTo(2*maxForm, s.user(route)) // what is held of a form is longer than that
	}
	if route.upload {
		return s.handleUpTo(maxUpload, s.member(route))
	}
	return s.handle(s.member(route))
}

// handle adapts h to net/http. Every error in the console ends up here.
func (s *Server) handle(h handler) http.Handler { return s.handleUpTo(maxForm, h) }

// handleUpTo is handle for forms of a size.
func (s *Server) handleUpTo(limit int64, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		r = r.WithContext(withPolicy(r.Context(), newPolicy()))
		s.setHeaders(w, r)
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p) // the answer is cut off on purpose
			} else if p != nil {
				s.log.ErrorContext(r.Context(), "panic", "route", r.Pattern, "panic", p, "stack", string(debug.Stack()))
				s.fail(w, r, fault.New(0, ""))
			}
		}()
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// maxForm is the largest form that the console reads, in bytes.
const maxForm = 1 << 20

// fail logs an error that is ours, and draws the page that says so.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // nobody is left to tell
		return
	}
	if _, ok := asTooLarge(err); ok {
		err = fault.New(fault.TooLarge, "The form is larger than Keyhook reads.")
	}
	f, known := fault.Of(err)
	if !known || f.Status() >= http.StatusInternalServerError {
		s.log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "request", requestID(r), "err", err)
	}
	if err := render(w, r, f.Status(), s.problem(r, f)); err != nil {
		http.Error(w, f.Message, f.Status())
	}
}

// render draws a page into a buffer first, so that a page that can't be drawn is
// never sent in half.
func render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	buffer := templ.GetBuffer()
	defer templ.ReleaseBuffer(buffer)
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	if err := page.Render(ctx, buffer); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(buffer.Bytes())
	if err != nil && r.Context().Err() != nil {
		return nil
	}
	return err
}

// redirect answers a POST that worked: the page to go on with.
func redirect(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

type requestIDKey struct{}

// identify gives each request an id, which the answer carries and the log and
// the audit trail name.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.NewV7()
		if err != nil {
			id = uuid.New()
		}
		w.Header().Set("X-Request-ID", id.String())
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id.String())))
	})
}

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

// actor is who makes a change in a workspace.
func (s *Server) actor(r *http.Request, m account.Member) audit.Actor {
	by := s.visitor(r)
	by.WorkspaceID, by.Kind, by.UserID, by.Label, by.Role = m.Workspace.ID, audit.User, m.User.ID, m.User.Name, string(m.Role)
	return by
}

// person is who makes a change outside any workspace.
func (s *Server) person(r *http.Request, user account.User) audit.Actor {
	by := s.visitor(r)
	by.Kind, by.UserID, by.Label = audit.User, user.ID, user.Name
	return by
}

// visitor is somebody who has not said yet who they are.
func (s *Server) visitor(r *http.Request) audit.Actor {
	return audit.Actor{Kind: audit.System, Address: s.config.ClientAddr(r).String(), RequestID: requestID(r)}
}
