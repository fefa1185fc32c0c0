package web

import (
	"net/http"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/views"
)

// typedWorkspace says what is wrong with the workspace's name as it was typed to
// confirm something.
func typedWorkspace(r *http.Request, m account.Member) string {
	switch typed := r.PostFormValue("confirm"); {
	case typed == "":
		return "Type the workspace’s name to confirm."
	case !oneline.Same(typed, m.Workspace.Name):
		return "That is not the workspace’s name. Type it as it stands above."
	}
	return ""
}

func (s *Server) showSettings(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page := views.SettingsPage{Name: m.Workspace.Name, AuditorsSeePayloads: m.Workspace.AuditorsSeePayloads}
	return s.renderSettings(w, r, m, http.StatusOK, "Settings", page)
}

func (s *Server) renderSettings(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, page views.SettingsPage) (err error) {
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	page.CanDelete = m.Can(account.DeleteWorkspace)
	return render(w, r, status, views.Settings(page))
}

func (s *Server) editWorkspace(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page := views.SettingsPage{Name: r.PostFormValue("name"), AuditorsSeePayloads: r.PostFormValue("auditors_see_payloads") == "true"}
	err := s.accounts.EditWorkspace(r.Context(), s.actor(r, m), page.Name, page.AuditorsSeePayloads)
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		page.Errors = f.Fields()
		return s.renderSettings(w, r, m, f.Status(), "Error: Settings", page)
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Saved."})
	return redirect(w, r, "/w/"+m.Workspace.Slug+"/settings")
}

func (s *Server) askToDeleteWorkspace(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderDeleteWorkspace(w, r, m, http.StatusOK, "Delete workspace", nil)
}

func (s *Server) renderDeleteWorkspace(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, errors map[string]string) error {
	frame, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	lately, err := s.events.Refusals(r.Context(), m.Workspace.ID, time.Now())
	if err != nil {
		return err
	}
	return render(w, r, status, views.WorkspaceDelete(views.WorkspaceDeletePage{
		Page: frame, Keys: frame.KeyCount, Members: len(members), Lately: lately.Requests, Errors: errors,
	}))
}

func (s *Server) deleteWorkspace(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	if problem := typedWorkspace(r, m); problem != "" {
		errors := map[string]string{"confirm": problem}
		return s.renderDeleteWorkspace(w, r, m, http.StatusUnprocessableEntity, "Error: Delete workspace", errors)
	}
	if err := s.accounts.DeleteWorkspace(r.Context(), s.actor(r, m), m.Workspace.Slug); err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: m.Workspace.Name + " is deleted. What is in it goes in the background."})
	return redirect(w, r, "/workspaces")
}
