package ingest_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhook/internal/keyring"
)

// TestDeactivatedEverywhere: two instances remember a key and hear of no change,
// as with the connection that listens cut. 200 times it is deactivated under
// their senders; what starts after that was confirmed is refused by both. What is
// made valid again works at once.
func TestDeactivatedEverywhere(t *testing.T) {
	t.Parallel()
	one := newStage(t)
	two := newStageBeside(one)
	key := one.issue(keyring.Draft{Name: "one"})
	for round := range 200 {
		var confirmed atomic.Bool
		var senders sync.WaitGroup
		accepted := make(chan bool, 4)
		for n := range 4 {
			instance := []*stage{one, two}[n%2]
			senders.Go(func() {
				for first := true; ; {
					late := confirmed.Load()
					got := instance.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal())
					switch {
					case got.status == 401 && !first:
						return
					case got.status != 200:
						t.Errorf("round %d: %d %s", round, got.status, got.text)
						accepted <- false
						return
					case late:
						t.Errorf("round %d: a request that started after the deactivation was accepted", round)
						return
					case first:
						first = false
						accepted <- true
					}
				}
			})
		}
		for range 4 {
			<-accepted
		}
		if _, err := one.keys.Deactivate(t.Context(), one.by, key.Key.ID, ""); err != nil {
			t.Fatal(err)
		}
		confirmed.Store(true)
		senders.Wait()
		if _, err := one.keys.Reactivate(t.Context(), one.by, key.Key.ID); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
}

// TestRemembered: a look-up is spared while nothing changes, and every change of a
// key is obeyed by the next request.
func TestRemembered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	limit := 1
	draft := keyring.Draft{Name: "one"}
	key := s.issue(draft)
	send := func() reply {
		t.Helper()
		return s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal())
	}
	edit := func(change func(*keyring.Draft)) {
		t.Helper()
		changed := draft
		change(&changed)
		if _, err := s.keys.Edit(t.Context(), s.by, key.Key.ID, changed); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(2 * time.Second)
	for _, tt := range []struct {
		name   string
		change func(*keyring.Draft)
		want   int
	}{
		{"nothing", func(*keyring.Draft) {}, 200},
		{"a signature is demanded", func(d *keyring.Draft) { d.RequireSignature = true }, 403},
		{"nothing again", func(*keyring.Draft) {}, 200},
		{"another network", func(d *keyring.Draft) { d.AllowedCIDRs = []string{"203.0.113.0/24"} }, 403},
		{"this network", func(d *keyring.Draft) { d.AllowedCIDRs = []string{"127.0.0.0/8", "::1/128"} }, 200},
		{"an end", func(d *keyring.Draft) { d.ExpiresAt = &past }, 200},
		{"a limit", func(d *keyring.Draft) { d.RateLimit, d.RateSeconds = &limit, 3600 }, 200},
	} {
		edit(tt.change)
		if got := send(); got.status != tt.want {
			t.Errorf("after %s = %d %s, want %d", tt.name, got.status, got.text, tt.want)
		}
		if tt.name == "an end" { // remembered as valid, and then over
			time.Sleep(time.Until(past) + 50*time.Millisecond)
			if got := send(); got.status != 401 {
				t.Errorf("after the end = %d %s, want 401", got.status, got.text)
			}
		}
	}
	if got := send(); got.status != 429 || got.header.Get("RateLimit-Limit") != "1" {
		t.Errorf("over the limit = %d %s, want 429", got.status, got.text)
	}
}
