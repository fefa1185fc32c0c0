package web

import (
	"net/http"
	"strings"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/oneline"
	"keyhook/views"
)

func (s *Server) showErasures(w http.ResponseWriter, r *http.Request, m account.Member) error {
	query := r.URL.Query()
	return s.renderErasures(w, r, m, http.StatusOK, "Erase payloads", views.ErasePage{Ref: query.Get("ref"), Source: query.Get("source")})
}

func (s *Server) renderErasures(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, page views.ErasePage) (err error) {
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	if page.List, err = s.erasureList(r, m); err != nil {
		return err
	}
	page.List.Nonce = page.Nonce
	return render(w, r, status, views.Erase(page))
}

func (s *Server) erasureList(r *http.Request, m account.Member) (list views.ErasureList, err error) {
	erasures, err := s.events.Erasures(r.Context(), m.Workspace.ID)
	if err != nil {
		return list, err
	}
	list.Slug = m.Workspace.Slug
	for _, e := range erasures {
		list.Rows = append(list.Rows, views.ErasureRow{
			Source: e.Source, Ref: e.SourceRef, Reason: e.Reason, AskedAt: e.AskedAt, AskedBy: e.AskedBy,
			Deliveries: e.Deliveries, Signals: e.Signals, Refused: e.Refused, FinishedAt: e.FinishedAt,
		})
	}
	return list, nil
}

// showErasureList is the part of the page that tells how far erasures are.
func (s *Server) showErasureList(w http.ResponseWriter, r *http.Request, m account.Member) error {
	list, err := s.erasureList(r, m)
	if err != nil {
		return err
	}
	list.Nonce = nonce(r)
	return render(w, r, http.StatusOK, views.Erasures(list))
}

// erasePayloads begins an erasure. What is to be erased is typed twice: it can't
// be had back.
func (s *Server) erasePayloads(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page := views.ErasePage{
		Ref: strings.TrimSpace(r.PostFormValue("ref")), Source: strings.TrimSpace(r.PostFormValue("source")), Reason: oneline.Fold(r.PostFormValue("reason")),
	}
	err := error(fault.On("confirm", fault.Invalid, "Type the event’s id here again, exactly as above."))
	if strings.TrimSpace(r.PostFormValue("confirm")) == page.Ref {
		_, err = s.events.AskToErase(r.Context(), s.actor(r, m), inbox.Erasure{Source: page.Source, SourceRef: page.Ref, Reason: page.Reason})
	}
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Invalid {
		page.Errors = f.Fields()
		return s.renderErasures(w, r, m, f.Status(), "Error: Erase payloads", page)
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "The erasure has begun. How far it is, is told below."})
	return redirect(w, r, "/w/"+m.Workspace.Slug+"/signals/erase")
}
