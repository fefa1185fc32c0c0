package web

import (
	"errors"
	"io"
	"net/http"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request) error {
	next := safeNext(r.URL.Query().Get("next"))
	if _, err := s.accounts.Session(r.Context(), s.cookies.token(r)); err == nil {
		return redirect(w, r, next)
	}
	return render(w, r, http.StatusOK, views.SignIn(views.SignInPage{CanMail: s.config.Mail != nil, Page: s.bare(w, r, "Sign in"), Next: next}))
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	email, next := r.PostFormValue("email"), safeNext(r.PostFormValue("next"))
	token, _, err := s.accounts.SignIn(r.Context(), s.visitor(r), email, r.PostFormValue("password"), r.UserAgent(), s.cookies.token(r))
	if needed, ok := errors.AsType[*account.CodeNeeded](err); ok {
		s.cookies.setAt(w, stepCookie, needed.Token, stepPath, stepLife)
		return redirect(w, r, withNext(codePath, next))
	}
	if f, ok := fault.Of(err); err != nil && ok {
		p := views.SignInPage{CanMail: s.config.Mail != nil, Page: s.bare(w, r, "Error: Sign in"), Email: email, Next: next, Message: f.Message}
		return render(w, r, f.Status(), views.SignIn(p))
	}
	if err != nil {
		return err
	}
	if err := s.cookies.begin(w, r, token); err != nil {
		return err
	}
	return redirect(w, r, next)
}

// The token of a right password that waits for its code is kept for these pages, for
// these seconds.
const (
	stepPath = "/sign-in"
	codePath = "/sign-in/code"
	stepLife = 600
)

func (s *Server) step(r *http.Request) string {
	if cookie, err := r.Cookie(stepCookie); err == nil {
		return cookie.Value
	}
	return ""
}

func (s *Server) showEnterCode(w http.ResponseWriter, r *http.Request) error {
	next := safeNext(r.URL.Query().Get("next"))
	if err := s.accounts.CheckStep(r.Context(), s.step(r)); err != nil {
		return s.beginAgain(w, r, next, err)
	}
	return render(w, r, http.StatusOK, views.EnterCode(views.EnterCodePage{Page: s.bare(w, r, "Enter a code"), Next: next}))
}

func (s *Server) enterCode(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	next := safeNext(r.PostFormValue("next"))
	token, err := s.accounts.EnterCode(r.Context(), s.visitor(r), s.step(r), r.PostFormValue("code"), r.UserAgent(), s.cookies.token(r))
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		p := views.EnterCodePage{Page: s.bare(w, r, "Error: Enter a code"), Next: next, Errors: f.Fields()}
		return render(w, r, f.Status(), views.EnterCode(p))
	}
	if err != nil {
		return s.beginAgain(w, r, next, err)
	}
	s.cookies.setAt(w, stepCookie, "", stepPath, -1)
	if err := s.cookies.begin(w, r, token); err != nil {
		return err
	}
	return redirect(w, r, next)
}

// beginAgain asks for the password of somebody whose step is over, or passes on what
// else went wrong.
func (s *Server) beginAgain(w http.ResponseWriter, r *http.Request, next string, err error) error {
	f, ok := fault.Of(err)
	if !ok || f.Kind != fault.Unauthenticated {
		return err
	}
	p := views.SignInPage{CanMail: s.config.Mail != nil, Page: s.bare(w, r, "Sign in"), Next: next, Message: f.Message}
	return render(w, r, f.Status(), views.SignIn(p))
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := s.accounts.SignOut(r.Context(), s.visitor(r), s.cookies.token(r)); err != nil {
		return err
	}
	w.Header().Set("Clear-Site-Data", `"cookies", "storage"`)
	if err := s.cookies.end(w, r); err != nil {
		return err
	}
	return redirect(w, r, "/sign-in")
}

// goHome leads to the only workspace, to the choice between several, or to
// making the first.
func (s *Server) goHome(w http.ResponseWriter, r *http.Request, user account.User) error {
	members, err := s.accounts.WorkspacesOf(r.Context(), user.ID)
	if err != nil {
		return err
	}
	if len(members) == 1 {
		return redirect(w, r, keysPath(members[0]))
	}
	return redirect(w, r, "/workspaces")
}

func (s *Server) goToKeys(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return redirect(w, r, keysPath(m))
}

// chooseTheme remembers light or dark, or to follow the system.
func (s *Server) chooseTheme(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	switch choice := r.PostFormValue("theme"); choice {
	case "light", "dark":
		s.cookies.set(w, themeCookie, choice, 365*24*3600)
	case "":
		s.cookies.set(w, themeCookie, "", -1)
	default:
		return fault.New(fault.Invalid, "A theme is light, dark, or the system's.")
	}
	return redirect(w, r, safeNext(r.PostFormValue("next")))
}

func (s *Server) notFound(http.ResponseWriter, *http.Request) error {
	return fault.New(fault.NotFound, "There is no such page.")
}

// maxReport is how much is read of what a browser says about a page.
const maxReport = 8 << 10

// noteViolation logs what a browser refused to do on one of our pages. Anybody
// can send one, so it is a line of the debug log, and short.
func (s *Server) noteViolation(w http.ResponseWriter, r *http.Request) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxReport))
	if err != nil {
		return badForm(err)
	}
	s.log.WarnContext(r.Context(), "a browser refused part of a page", "report", readViolation(text))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func badForm(err error) error {
	if _, ok := asTooLarge(err); ok {
		return err
	}
	return fault.New(fault.Invalid, "The form could not be read. Open the page again.")
}
