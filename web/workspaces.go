package web

import (
	"net/http"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

func (s *Server) showWorkspaces(w http.ResponseWriter, r *http.Request, user account.User) error {
	p, err := s.signedIn(w, r, user, "Workspaces")
	if err != nil {
		return err
	}
	members, err := s.accounts.WorkspacesOf(r.Context(), user.ID)
	if err != nil {
		return err
	}
	page := views.WorkspacesPage{Page: p}
	for _, m := range members {
		page.Items = append(page.Items, views.WorkspaceItem{Name: m.Workspace.Name, Slug: m.Workspace.Slug, Role: roleNames[m.Role]})
	}
	going, err := s.accounts.Deletions(r.Context(), user.ID)
	if err != nil {
		return err
	}
	for _, d := range going {
		page.Going = append(page.Going, views.GoingWorkspace{Name: d.Name, By: d.By, Since: d.Since, Left: d.Left})
	}
	if len(members) == 0 {
		return render(w, r, http.StatusOK, views.WorkspacesEmpty(page))
	}
	return render(w, r, http.StatusOK, views.WorkspaceList(page))
}

var errOperatorOnly = fault.New(fault.Forbidden, "On this instance only who operates it makes workspaces. Ask them for one.")

func (s *Server) showNewWorkspace(w http.ResponseWriter, r *http.Request, user account.User) error {
	if s.config.Operator {
		return errOperatorOnly
	}
	p, err := s.signedIn(w, r, user, "New workspace")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.WorkspaceNew(views.WorkspaceNewPage{Page: p}))
}

func (s *Server) createWorkspace(w http.ResponseWriter, r *http.Request, user account.User) error {
	if s.config.Operator {
		return errOperatorOnly
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	name := r.PostFormValue("name")
	workspace, err := s.accounts.CreateWorkspace(r.Context(), s.person(r, user), name, user.ID)
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		p, pageErr := s.signedIn(w, r, user, "Error: New workspace")
		if pageErr != nil {
			return pageErr
		}
		page := views.WorkspaceNewPage{Page: p, Name: name, Errors: map[string]string{"name": f.Message}}
		return render(w, r, f.Status(), views.WorkspaceNew(page))
	}
	if err != nil {
		return err
	}
	return redirect(w, r, keysPath(account.Member{Workspace: workspace}))
}
