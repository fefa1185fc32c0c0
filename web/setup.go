package web

import (
	"net/http"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/views"
)

// linkLife is how long a one-time link's token stays in the browser, in seconds:
// as long as somebody may take to fill in a form.
const linkLife = 3600

// takeToken moves the token of a one-time link out of the address, where it would
// be seen over a shoulder and stay in the history. It reports whether it answered.
func (s *Server) takeToken(w http.ResponseWriter, r *http.Request) bool {
	token := r.URL.Query().Get("token")
	if token == "" || len(token) > 200 {
		return false
	}
	s.cookies.set(w, linkCookie, token, linkLife)
	http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
	return true
}

func (s *Server) linkToken(r *http.Request) string {
	if cookie, err := r.Cookie(linkCookie); err == nil {
		return cookie.Value
	}
	return ""
}

func (s *Server) showSetUp(w http.ResponseWriter, r *http.Request) error {
	if s.takeToken(w, r) {
		return nil
	}
	token := s.linkToken(r)
	if _, err := s.accounts.CheckLink(r.Context(), account.PurposeSetUp, token); err != nil {
		return s.setUpGone(w, r, err)
	}
	return render(w, r, http.StatusOK, views.SetUp(views.SetUpPage{Page: s.bare(w, r, "Set up Keyhook")}))
}

// setUpGone tells that the link is used up, or passes on what else went wrong.
func (s *Server) setUpGone(w http.ResponseWriter, r *http.Request, err error) error {
	if f, ok := fault.Of(err); !ok || f.Kind != fault.NotFound && f.Kind != fault.Conflict {
		return err
	}
	return render(w, r, http.StatusNotFound, views.SetUpGone(views.GonePage{Page: s.bare(w, r, "This link no longer works")}))
}

// setUp makes the first user and workspace, and signs the user in.
func (s *Server) setUp(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	owner := account.NewUser{Name: r.PostFormValue("name"), Email: r.PostFormValue("email"), Password: r.PostFormValue("password")}
	name := r.PostFormValue("workspace")
	token, workspace, err := s.accounts.SetUp(r.Context(), s.visitor(r), s.linkToken(r), owner, name, r.UserAgent())
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		p := views.SetUpPage{Page: s.bare(w, r, "Error: Set up Keyhook"), Name: owner.Name, Email: owner.Email, WorkspaceName: name, Errors: f.Fields()}
		return render(w, r, f.Status(), views.SetUp(p))
	}
	if err != nil {
		return s.setUpGone(w, r, err)
	}
	s.cookies.set(w, linkCookie, "", -1)
	if err := s.cookies.begin(w, r, token); err != nil {
		return err
	}
	return redirect(w, r, keysPath(account.Member{Workspace: workspace}))
}

func (s *Server) showPasswordLink(w http.ResponseWriter, r *http.Request) error {
	if s.takeToken(w, r) {
		return nil
	}
	user, err := s.accounts.CheckLink(r.Context(), account.PurposePassword, s.linkToken(r))
	if err != nil {
		return s.passwordLinkGone(w, r, err)
	}
	p := views.PasswordLinkPage{Page: s.bare(w, r, "Choose a password"), Email: user.Email}
	return render(w, r, http.StatusOK, views.PasswordLink(p))
}

func (s *Server) passwordLinkGone(w http.ResponseWriter, r *http.Request, err error) error {
	if f, ok := fault.Of(err); !ok || f.Kind != fault.NotFound {
		return err
	}
	return render(w, r, http.StatusNotFound, views.PasswordLinkGone(views.GonePage{Page: s.bare(w, r, "This link no longer works")}))
}

func (s *Server) choosePassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	link := s.linkToken(r)
	user, err := s.accounts.CheckLink(r.Context(), account.PurposePassword, link)
	if err != nil {
		return s.passwordLinkGone(w, r, err)
	}
	by := s.visitor(r)
	by.Kind = audit.Link
	_, err = s.accounts.ChoosePassword(r.Context(), by, link, r.PostFormValue("password"))
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		p := views.PasswordLinkPage{Page: s.bare(w, r, "Error: Choose a password"), Email: user.Email, Errors: f.Fields()}
		return render(w, r, f.Status(), views.PasswordLink(p))
	}
	if err != nil {
		return s.passwordLinkGone(w, r, err)
	}
	s.cookies.set(w, linkCookie, "", -1)
	s.flash(w, views.Flash{Text: "Your password is set. Sign in with it."})
	return redirect(w, r, "/sign-in")
}

func (s *Server) showChangePassword(w http.ResponseWriter, r *http.Request, user account.User) error {
	p, err := s.signedIn(w, r, user, "Change password")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.ChangePassword(views.ChangePasswordPage{Page: p}))
}

func (s *Server) changePassword(w http.ResponseWriter, r *http.Request, user account.User) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	token, err := s.accounts.ChangePassword(r.Context(), s.person(r, user), user, r.PostFormValue("current"), r.PostFormValue("password"), r.UserAgent())
	if f, ok := fault.Of(err); err != nil && ok {
		p, pageErr := s.signedIn(w, r, user, "Error: Change password")
		if pageErr != nil {
			return pageErr
		}
		page := views.ChangePasswordPage{Page: p, Errors: f.Fields()}
		if f.Field == "" {
			page.Message = f.Message
		}
		return render(w, r, f.Status(), views.ChangePassword(page))
	}
	if err != nil {
		return err
	}
	if err := s.cookies.begin(w, r, token); err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Your password is changed. All other sessions have ended."})
	return redirect(w, r, "/account/password")
}
