package web

import (
	"net/http"
	"net/url"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

// A sessionHandler answers somebody who is signed in, and is told by which session.
type sessionHandler func(http.ResponseWriter, *http.Request, account.Session) error

// member lets the route answer those whose role in the workspace includes its
// permission. To everybody else the workspace does not exist.
func (s *Server) member(route route) handler {
	return s.session(route, func(w http.ResponseWriter, r *http.Request, session account.Session) error {
		r, m, err := s.letIn(r, session.User)
		if err != nil {
			return err
		}
		if m.Workspace.RequireSecondFactor && !m.User.SecondFactor {
			return s.leadTo(w, r, route, secondFactorFor(m))
		}
		if !m.Can(route.Permission) {
			return fault.New(fault.Forbidden, "Your role in this workspace does not allow that.")
		}
		if route.fresh != "" && !session.Fresh {
			return s.askFresh(w, r, session.User, route.fresh)
		}
		return route.member(w, r, m)
	})
}

// enter finds out who a user is in the workspace of the path, and confines the
// request to it.
func (s *Server) enter(r *http.Request, user account.User) (*http.Request, account.Member, error) {
	m, err := s.accounts.Member(r.Context(), user.ID, r.PathValue("workspace"))
	if err != nil {
		return r, m, err
	}
	return r.WithContext(m.Inside(r.Context())), m, nil
}

// user lets the route answer somebody who is signed in.
func (s *Server) user(route route) handler {
	return s.session(route, func(w http.ResponseWriter, r *http.Request, session account.Session) error {
		if route.fresh != "" && !session.Fresh {
			return s.askFresh(w, r, session.User, route.fresh)
		}
		if route.own != nil {
			return route.own(w, r, session)
		}
		return route.user(w, r, session.User)
	})
}

// session lets h answer somebody who is signed in, and sends others to sign in. Times
// are theirs from here on.
func (s *Server) session(route route, h sessionHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		find := s.accounts.Session
		if route.poll || asksForTail(r) {
			find = s.accounts.SessionUnseen
		}
		session, err := find(r.Context(), s.cookies.token(r))
		if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Unauthenticated {
			return s.askToSignIn(w, r, route)
		}
		if err != nil {
			return err
		}
		return h(w, r.WithContext(views.InZone(r.Context(), session.User.Location())), session)
	}
}

// askToSignIn remembers where the reader was going. What was posted is not
// posted again, so that goes back to the page that the form was on.
//
// Here alone it matters that htmx asks, which would follow a redirect and put the
// sign-in page into a part of the open one: that page must go as a whole, or stay
// where it shows what can't be shown again.
func (s *Server) askToSignIn(w http.ResponseWriter, r *http.Request, route route) error {
	next := r.URL.RequestURI()
	if asksByScript(r) {
		next = pathOf(r.Header.Get("HX-Current-URL"))
	} else if r.Method != http.MethodGet {
		next = cameFrom(r)
	}
	return s.leadTo(w, r, route, signInPath(next))
}

func asksByScript(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// leadTo sends the reader to another page, or has htmx do so with the whole page.
func (s *Server) leadTo(w http.ResponseWriter, r *http.Request, route route, path string) error {
	if !asksByScript(r) {
		return redirect(w, r, path)
	}
	if !route.stays {
		w.Header().Set("HX-Redirect", path)
	}
	w.WriteHeader(http.StatusUnauthorized)
	return nil
}

// cameFrom is the page of ours that a form was on, "" if that is not known.
func cameFrom(r *http.Request) string {
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
		return from.RequestURI()
	}
	return ""
}

// pathOf is the path and query of an address.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.RequestURI()
}

// signInPath is the address of the sign-in page that leads on to next.
func signInPath(next string) string {
	return withNext("/sign-in", safeNext(next))
}

// withNext is a path that leads on to next.
func withNext(path, next string) string {
	if next == "/" {
		return path
	}
	return path + "?next=" + url.QueryEscape(next)
}
