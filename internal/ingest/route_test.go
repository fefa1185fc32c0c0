package ingest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
)

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "open", AllowInURL: true})
	apiKey := key.APIKey.Reveal()
	for _, path := range []string{
		"/hooks", "/hooks/", hook(key) + "/", "//hooks/" + key.Key.ID.String(), "/hooks//" + key.Key.ID.String(),
		"/./hooks/" + key.Key.ID.String(), "/x/.." + hook(key), "/hooks/../hooks/" + key.Key.ID.String(),
		hook(key) + "/" + apiKey + "/", hook(key) + "/" + apiKey + "/more", hook(key) + "//" + apiKey,
		"/%68ooks/" + key.Key.ID.String(), "/hooks/a%2Fb", "/hooks/%2e%2e", "/hooks/.",
		signals + "/", "/api/webhooks", "/api/webhooks/", "/api//webhooks/signals", "/api/webhooks/signals//" + apiKey,
		"/api/webhooks/signal", "/api/webhooks/signals/" + apiKey + "/more",
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			got := s.send(method, path, verbatim, "X-API-Key", apiKey)
			if got.status != 404 || got.body.Code != "NOT_FOUND" || got.header.Get("X-Request-ID") == "" {
				t.Errorf("%s %s = %d %s, want 404 NOT_FOUND", method, path, got.status, got.text)
			}
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "LIST"} {
		got := s.send(method, hook(key), "x", "X-API-Key", apiKey)
		if got.status != 405 || got.body.Code != "METHOD_NOT_ALLOWED" || got.header.Get("Allow") != "GET, HEAD, OPTIONS, POST" {
			t.Errorf("%s = %d %s, Allow %q", method, got.status, got.text, got.header.Get("Allow"))
		}
	}
	if got := s.send(http.MethodOptions, signals, ""); got.status != 204 || got.header.Get("Allow") == "" {
		t.Errorf("OPTIONS = %d, Allow %q", got.status, got.header.Get("Allow"))
	}
	for _, paths := range [][2]string{{hook(key), "/hooks/other"}, {hook(key) + "/" + apiKey, "/hooks/a/b"}, {signals + "/" + apiKey, signals + "/b"}, {signals, signals}} {
		one, other := s.send(http.MethodGet, paths[0], ""), s.send(http.MethodGet, paths[1], "")
		if one.status != 200 || one.text != other.text || strings.Contains(one.text, apiKey) || one.header.Get("X-Request-ID") == "" {
			t.Errorf("GET %s = %d %s, want the same for every key", paths[0], one.status, one.text)
		}
		if head := s.send(http.MethodHead, paths[0], ""); head.status != 200 || head.text != "" {
			t.Errorf("HEAD = %d %q", head.status, head.text)
		}
	}
	if n := s.count(`SELECT count(*) FROM deliveries`); n != 0 {
		t.Errorf("%d deliveries, want none", n)
	}
}

func TestPrefixed(t *testing.T) {
	t.Parallel()
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) })
	}
	both := ingest.Prefixed(named("hooks"), named("console"))
	for path, want := range map[string]string{
		"/": "console", "/w/acme/keys": "console", "/hooksx": "console", "/api/v1/signals": "console", "/docs/hooks": "console",
		"/hooks": "hooks", "/hooks/x": "hooks", "//hooks/x": "hooks", "/w/../hooks/x": "hooks", "/api/webhooks/x": "hooks", "/api//webhooks": "hooks",
	} {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.URL.Path = path
		both.ServeHTTP(recorder, request)
		if got := recorder.Body.String(); got != want {
			t.Errorf("%s went to %s, want %s", path, got, want)
		}
	}
}
