package web

import (
	"net/http"
	"strconv"
	"strings"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

func (s *Server) showRetention(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page := views.RetentionPage{Keep: strconv.Itoa(m.Workspace.KeepSignalsDays), Unread: strconv.Itoa(m.Workspace.KeepUnreadDays)}
	return s.renderRetention(w, r, m, http.StatusOK, "Retention", page)
}

func (s *Server) renderRetention(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, page views.RetentionPage) (err error) {
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	return render(w, r, status, views.RetentionEdit(page))
}

func (s *Server) setRetention(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page := views.RetentionPage{Keep: r.PostFormValue("keep"), Unread: r.PostFormValue("unread")}
	keep, _ := strconv.Atoi(strings.TrimSpace(page.Keep)) // 0 is refused
	unread, _ := strconv.Atoi(strings.TrimSpace(page.Unread))
	err := s.accounts.SetRetention(r.Context(), s.actor(r, m), keep, unread)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Invalid {
		page.Errors = f.Fields()
		return s.renderRetention(w, r, m, http.StatusUnprocessableEntity, "Error: Retention", page)
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Saved. Signals that are past their time go within ten minutes."})
	return redirect(w, r, "/w/"+m.Workspace.Slug+"/signals")
}
