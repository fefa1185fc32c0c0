package web

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

const accountPath = "/account"

func (s *Server) goToAccount(w http.ResponseWriter, r *http.Request, _ account.User) error {
	return redirect(w, r, accountPath)
}

func (s *Server) showAccount(w http.ResponseWriter, r *http.Request, session account.Session) error {
	return s.renderAccount(w, r, session, views.AccountPage{Name: session.User.Name, TimeZone: session.User.TimeZone}, nil)
}

// renderAccount shows the account with what was typed, and what is wrong with it.
func (s *Server) renderAccount(w http.ResponseWriter, r *http.Request, session account.Session, page views.AccountPage, f *fault.Error) (err error) {
	title, status := "Your account", http.StatusOK
	if f != nil {
		title, status, page.Errors = "Error: "+title, f.Status(), f.Fields()
	}
	if page.Page, err = s.signedIn(w, r, session.User, title); err != nil {
		return err
	}
	page.Zones = account.Zones()
	open, err := s.accounts.Sessions(r.Context(), session.User.ID)
	if err != nil {
		return err
	}
	for _, o := range open {
		page.Sessions = append(page.Sessions, views.SessionRow{
			ID: o.ID.String(), Device: views.Device(o.UserAgent), UserAgent: o.UserAgent, Address: o.Address,
			CreatedAt: o.CreatedAt, LastSeenAt: o.LastSeenAt, WithCode: o.WithCode, Current: o.ID == session.ID,
		})
	}
	if page.Factor, err = s.factorFacts(r, session.User); err != nil {
		return err
	}
	return render(w, r, status, views.Account(page))
}

func (s *Server) editProfile(w http.ResponseWriter, r *http.Request, session account.Session) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	name := r.PostFormValue("name")
	err := s.accounts.Rename(r.Context(), s.person(r, session.User), session.User, name)
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		return s.renderAccount(w, r, session, views.AccountPage{Name: name, TimeZone: session.User.TimeZone}, f)
	}
	return s.saved(w, r, err, "Your name is saved.")
}

func (s *Server) editPreferences(w http.ResponseWriter, r *http.Request, session account.Session) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	want := account.Preferences{TimeZone: strings.TrimSpace(r.PostFormValue("time_zone")), ShortcutsOff: r.PostFormValue("shortcuts_off") == "true"}
	err := s.accounts.Prefer(r.Context(), s.person(r, session.User), session.User, want)
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		session.User.ShortcutsOff = want.ShortcutsOff
		return s.renderAccount(w, r, session, views.AccountPage{Name: session.User.Name, TimeZone: want.TimeZone}, f)
	}
	return s.saved(w, r, err, "Your preferences are saved.")
}

// saved goes back to the account with a message, if all went well.
func (s *Server) saved(w http.ResponseWriter, r *http.Request, err error, text string) error {
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: text})
	return redirect(w, r, accountPath)
}

// endOwnSessions ends one session, or all but this one. To end this one is to sign out.
func (s *Server) endOwnSessions(w http.ResponseWriter, r *http.Request, session account.Session) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	by := s.person(r, session.User)
	which := r.PostFormValue("session")
	if which == "others" {
		err := s.accounts.EndOtherSessions(r.Context(), by, session.User, session.ID)
		return s.saved(w, r, err, "All your other sessions have ended.")
	}
	id, err := uuid.Parse(which)
	if err != nil {
		return fault.New(fault.NotFound, "There is no such session.")
	}
	if id == session.ID {
		return s.signOut(w, r)
	}
	return s.saved(w, r, s.accounts.EndSession(r.Context(), by, session.User, id), "That session has ended.")
}

func (s *Server) endMemberSessions(w http.ResponseWriter, r *http.Request, m account.Member) error {
	id, err := uuid.Parse(r.PathValue("user"))
	if err != nil {
		return fault.New(fault.NotFound, "That person does not belong to the workspace.")
	}
	user, err := s.accounts.EndMemberSessions(r.Context(), s.actor(r, m), id)
	if err != nil {
		return err
	}
	if user.ID == m.User.ID {
		return redirect(w, r, "/sign-in")
	}
	s.flash(w, views.Flash{Text: "All sessions of " + user.Name + " have ended."})
	return redirect(w, r, "/w/"+m.Workspace.Slug+"/members")
}

func (s *Server) askToDeleteAccount(w http.ResponseWriter, r *http.Request, user account.User) error {
	return s.renderDeleteAccount(w, r, user, nil)
}

func (s *Server) renderDeleteAccount(w http.ResponseWriter, r *http.Request, user account.User, f *fault.Error) error {
	title, status, message := "Delete your account", http.StatusOK, ""
	if f != nil {
		title, status, message = "Error: "+title, f.Status(), f.Message
	}
	frame, err := s.signedIn(w, r, user, title)
	if err != nil {
		return err
	}
	owned, err := s.accounts.SolelyOwned(r.Context(), user.ID)
	if err != nil {
		return err
	}
	page := views.DeleteAccountPage{Page: frame, Error: message}
	for _, workspace := range owned {
		page.Owned = append(page.Owned, views.WorkspaceRef{Name: workspace.Name, Slug: workspace.Slug})
	}
	return render(w, r, status, views.DeleteAccount(page))
}

func (s *Server) deleteAccount(w http.ResponseWriter, r *http.Request, user account.User) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	if !strings.EqualFold(strings.TrimSpace(r.PostFormValue("email")), user.Email) {
		return s.renderDeleteAccount(w, r, user, fault.On("email", fault.Invalid, "Type your e-mail address as it stands here."))
	}
	err := s.accounts.DeleteUser(r.Context(), s.person(r, user), user.ID)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Conflict {
		return s.renderDeleteAccount(w, r, user, f)
	}
	if err != nil {
		return err
	}
	if err := s.cookies.end(w, r); err != nil {
		return err
	}
	w.Header().Set("Clear-Site-Data", `"storage"`)
	s.flash(w, views.Flash{Text: "Your account is deleted."})
	return redirect(w, r, "/sign-in")
}
