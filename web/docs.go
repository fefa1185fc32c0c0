package web

import (
	"net/http"

	"keyhook/static"
	"keyhook/views"
)

func (s *Server) goToDocs(w http.ResponseWriter, r *http.Request) error {
	return redirect(w, r, "/docs/send")
}

func (s *Server) showSendDocs(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, views.DocsSend(s.docsPage(w, r, "Sending webhooks")))
}

func (s *Server) showErrorDocs(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, views.DocsErrors(s.docsPage(w, r, "Errors")))
}

func (s *Server) showReadDocs(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, views.DocsRead(s.docsPage(w, r, "Reading signals")))
}

// docsPage tells nothing of whoever reads it: a page for senders is the same
// whether somebody is signed in or not.
func (s *Server) docsPage(_ http.ResponseWriter, r *http.Request, title string) views.DocsPage {
	return views.DocsPage{Page: s.bare(nil, r, title), Schemes: schemeInfos(), BaseURL: s.config.HooksURL, MaxBody: s.config.MaxBody, ConsoleURL: s.config.PublicURL}
}

// Docs returns the pages for senders alone, for the address that only ingests.
func (s *Server) Docs() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+static.Prefix, static.Handler())
	mux.Handle("GET /docs/send", s.handle(func(w http.ResponseWriter, r *http.Request) error {
		page := s.docsPage(w, r, "Sending webhooks")
		page.OnlyHooks = true
		return render(w, r, http.StatusOK, views.DocsSend(page))
	}))
	mux.Handle("GET /docs/errors", s.handle(func(w http.ResponseWriter, r *http.Request) error {
		page := s.docsPage(w, r, "Errors")
		page.OnlyHooks = true
		return render(w, r, http.StatusOK, views.DocsErrors(page))
	}))
	mux.Handle("GET /docs", s.handle(s.goToDocs))
	return s.identify(mux)
}
