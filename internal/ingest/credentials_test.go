package ingest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

// Of a workspace's secrets sixteen are tried; the key's id helps to the others.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var keys []keyring.Issued
	for n := range 17 {
		keys = append(keys, s.issue(keyring.Draft{Name: fmt.Sprint("key ", n)}))
	}
	send := func(key keyring.Issued, headers ...string) reply {
		signed := sign(t, key.Secret.Reveal(), verbatim)
		return s.post(signals, verbatim, append([]string{"X-Webhook-Signature", signed, "X-Workspace-ID", s.workspace.String()}, headers...)...)
	}
	first, last := keys[0], keys[16]
	if got := send(first); got.status != 200 {
		t.Errorf("one of the first sixteen = %d %s", got.status, got.text)
	}
	if got := send(last); got.status != 401 {
		t.Errorf("the seventeenth = %d %s, want 401", got.status, got.text)
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE reason = 'too_many_secrets' AND workspace_id = $1`, s.workspace); n != 1 {
		t.Errorf("%d deliveries say that there are too many secrets, want 1", n)
	}
	if got := send(last, "X-Webhook-Key-ID", last.Key.ID.String()); got.status != 200 {
		t.Errorf("the seventeenth by its id = %d %s", got.status, got.text)
	}
	s.exec(`UPDATE webhook_keys SET last_used_at = now() WHERE id = $1`, last.Key.ID)
	if got := send(last); got.status != 200 {
		t.Errorf("the most recently used = %d %s", got.status, got.text)
	}
}

// What is recorded of a request says how it proved itself, and nothing secret.
func TestRecordedProof(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one", AllowInURL: true})
	apiKey, signed := key.APIKey.Reveal(), sign(t, key.Secret.Reveal(), "x")
	for method, got := range map[string]reply{
		"api_key":   s.post(hook(key), "x", "X-API-Key", apiKey),
		"bearer":    s.post(hook(key), "x", "Authorization", "Bearer "+apiKey, "Cookie", "a=b", "X-Github-Event", "push"),
		"signature": s.post(hook(key), "x", "X-Webhook-Signature", signed, "X-API-Key", apiKey),
		"url":       s.post(hook(key)+"/"+apiKey, "x"),
		"none":      s.post(hook(key), "x"),
	} {
		const match = `
			SELECT count(*) FROM deliveries WHERE id = $1 AND auth_method = $2 AND webhook_key_id = $3
				AND endpoint IN ('/hooks/{key id}', '/hooks/{key id}/{api key}')
				AND coalesce(credential_generation, 0) = CASE WHEN $2 = 'none' THEN 0 ELSE 1 END
				AND NOT headers ?| ARRAY['authorization', 'cookie', 'x-api-key', 'x-webhook-signature']`
		if n := s.count(match, got.body.RequestID, method, key.Key.ID); n != 1 {
			t.Errorf("%s: %d deliveries as expected, want 1", method, n)
		}
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE headers->>'x-github-event' = 'push'`); n != 1 {
		t.Errorf("%d deliveries hold the listed header, want 1", n)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	log, metrics := pgtest.Log(t), ingest.NewMetrics(prometheus.NewRegistry())
	handler := ingest.NewHandler(ingest.Config{MaxBody: maxBody}, nil, ingest.NewDiscarder(metrics), metrics, log) // every look-up panics
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/hooks/x", strings.NewReader("x"))
	request.Header.Set("X-API-Key", keyring.NewAPIKey().Reveal())
	handler.ServeHTTP(recorder, request)
	if text := recorder.Body.String(); recorder.Code != 503 || strings.Contains(text, "goroutine") || strings.Contains(text, "nil") {
		t.Errorf("a panic = %d %s, want a 503 that says nothing of it", recorder.Code, text)
	}
}
