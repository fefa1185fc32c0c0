package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keyhook/internal/ingest"
	"keyhook/internal/pgtest"
	"keyhook/web"
)

// TestConsoleTakesNoWebhooks: with an address for ingestion alone, the console's
// answers webhooks with a plain 404, however their path is written.
func TestConsoleTakesNoWebhooks(t *testing.T) {
	t.Parallel()
	on := &listeners{hooksBase: "https://hooks.example.com"}
	for _, l := range []*net.Listener{&on.main, &on.hooks} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	defer on.close()
	h := &house{hooks: &ingest.Handler{}, web: web.NewServer(web.Config{}, nil, nil, nil, nil, nil, pgtest.Log(t))}
	console := on.servers(h, false, pgtest.Log(t))[0]
	for _, path := range []string{"/hooks", "/hooks/x", "//hooks/x", "/x/../hooks/y", "/hooks/../hooks/y", "/api/webhooks/signals", "/api//webhooks/signals", "/api/webhooks/signals/"} {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		request.URL.Path = path
		console.Handler.ServeHTTP(recorder, request)
		text, _ := io.ReadAll(recorder.Body)
		var problem struct{ Type, Code, RequestID string }
		if err := json.Unmarshal(text, &problem); recorder.Code != 404 || err != nil || problem.Code != "NOT_FOUND" ||
			problem.RequestID != recorder.Header().Get("X-Request-ID") || problem.Type != "https://hooks.example.com/docs/errors#not-found" {
			t.Errorf("POST %s = %d %s, want a 404 as a problem", path, recorder.Code, text)
		}
	}
}
