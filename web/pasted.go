package web

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"keyhook/internal/keyring"
)

// dropCredentials leads from an address that holds an API key or a secret,
// pasted into the search say, to one that has its hint instead. It stands in
// front of everything, so that nothing repeats the address: no page, no way to
// sign in, no log.
func (s *Server) dropCredentials(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, found := withoutCredentials(r.URL.RawQuery)
		if !found || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		clean := url.URL{Path: r.URL.Path, RawQuery: query}
		s.handle(func(w http.ResponseWriter, r *http.Request) error {
			return redirect(w, r, safeNext(clean.RequestURI()))
		}).ServeHTTP(w, r)
	})
}

// withoutCredentials returns a query with hints for credentials, and whether it
// held any. What can't be read as a query is dropped with them. A link's token is
// meant to be in an address, and takeToken gets it out of there.
func withoutCredentials(raw string) (query string, found bool) {
	values, err := url.ParseQuery(raw)
	found = err != nil && keyring.HintIn(raw) != ""
	for name, list := range values {
		if name == "token" {
			continue
		}
		if keyring.HintIn(name) != "" {
			delete(values, name)
			found = true
			continue
		}
		for i, value := range list {
			if hint := keyring.HintIn(value); hint != "" {
				list[i], found = hint, true
			}
		}
	}
	return values.Encode(), found
}

// readViolation picks what the log needs out of a browser's report. The addresses
// lose their queries, which may hold what people searched for.
func readViolation(text []byte) slog.Value {
	var body struct {
		Report struct {
			Document  string `json:"document-uri"`
			Blocked   string `json:"blocked-uri"`
			Source    string `json:"source-file"`
			Line      int    `json:"line-number"`
			Directive string `json:"effective-directive"`
		} `json:"csp-report"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return slog.StringValue("unreadable")
	}
	short := func(text string) string {
		text, _, _ = strings.Cut(text, "?")
		text, _, _ = strings.Cut(text, "#")
		return text[:min(len(text), 200)]
	}
	report := body.Report
	return slog.GroupValue(slog.String("document", short(report.Document)), slog.String("blocked", short(report.Blocked)),
		slog.String("source", short(report.Source)), slog.Int("line", report.Line), slog.String("directive", short(report.Directive)))
}
