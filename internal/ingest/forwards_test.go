package ingest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// TestForwarders: X-Forwarded-For from a peer that is not trusted is noted for the
// workspace whose credentials came with it, and written down once a minute;
// strangers can't make a warning.
func TestForwarders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "forwarded"})
	narrow := s.issue(keyring.Draft{Name: "narrow", AllowedCIDRs: []string{"10.0.0.0/8"}})
	send := func(to keyring.Issued, peer, forwarded, apiKey string) int {
		r := httptest.NewRequest(http.MethodPost, hook(to), strings.NewReader("x"))
		r.RemoteAddr = peer
		r.Header.Set("X-API-Key", apiKey)
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, tt := range []struct {
		to                      keyring.Issued
		peer, forwarded, apiKey string
		want                    int
	}{
		{key, "192.0.2.1:1", "203.0.113.5", key.APIKey.Reveal(), 200},
		{key, "[::ffff:192.0.2.1]:2", "203.0.113.6, 10.0.0.1", key.APIKey.Reveal(), 200},
		{narrow, "192.0.2.2:1", "10.1.2.3", narrow.APIKey.Reveal(), 403},       // noted: it is why the address is wrong
		{key, "127.0.0.9:1", "203.0.113.5", key.APIKey.Reveal(), 200},          // trusted
		{key, "192.0.2.3:1", "", key.APIKey.Reveal(), 200},                     // forwards nothing
		{key, "192.0.2.4:1", "203.0.113.5", keyring.NewAPIKey().Reveal(), 401}, // a stranger
		{key, "@", "203.0.113.5", key.APIKey.Reveal(), 200},                    // a unix socket
	} {
		if got := send(tt.to, tt.peer, tt.forwarded, tt.apiKey); got != tt.want {
			t.Errorf("from %s for %q = %d, want %d", tt.peer, tt.forwarded, got, tt.want)
		}
	}
	if n := s.count(`SELECT count(*) FROM untrusted_forwards`); n != 0 {
		t.Errorf("%d rows were written with the requests", n)
	}
	for range 2 { // the second finds nothing new
		if err := s.handler.WriteForwards(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM untrusted_forwards`:                                                      2,
		`SELECT coalesce(sum(requests), 0) FROM untrusted_forwards WHERE proxy = '192.0.2.1'`:          2,
		`SELECT coalesce(sum(requests), 0) FROM untrusted_forwards WHERE proxy = '192.0.2.2'`:          1,
		`SELECT count(*) FROM untrusted_forwards WHERE workspace_id <> '` + s.workspace.String() + `'`: 0,
	} {
		if n := s.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
}

// TestForwardersAreBounded: however many peers come at once, few are told apart
// and none is left out.
func TestForwardersAreBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "forwarded"})
	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			for n := range 8 {
				r := httptest.NewRequest(http.MethodPost, hook(key), strings.NewReader("x"))
				r.RemoteAddr = fmt.Sprintf("[2001:db8::%x:%x]:1", sender+1, n+1)
				r.Header.Set("X-API-Key", key.APIKey.Reveal())
				r.Header.Set("X-Forwarded-For", "203.0.113.5")
				s.handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	senders.Wait()
	if err := s.handler.WriteForwards(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.count(`SELECT sum(requests) FROM untrusted_forwards`); n != 64 {
		t.Errorf("%d requests were noted, want 64", n)
	}
	if n := s.count(`SELECT max(n) FROM (SELECT count(*) AS n FROM untrusted_forwards GROUP BY hour) AS hours`); n != inbox.MaxProxies+1 {
		t.Errorf("%d proxies are told apart, want %d and the others", n, inbox.MaxProxies)
	}
}
