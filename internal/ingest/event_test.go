package ingest_test

import (
	"fmt"
	"sync"
	"testing"

	"keyhook/internal/keyring"
)

func TestSameEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "flag"})
	folding := s.issue(keyring.Draft{Name: "folding", IdenticalBodies: "duplicate"})
	pointed := s.issue(keyring.Draft{Name: "pointed", RefPointer: "/event/id"})
	for _, tt := range []struct {
		name      string
		key       keyring.Issued
		path      string
		bodies    [2]string
		headers   [2][]string
		duplicate bool
	}{
		{"no ref", key, hook(key), [2]string{"a", "a"}, [2][]string{}, false},
		{"header", key, hook(key), [2]string{"b", "b"}, [2][]string{{"Idempotency-Key", "1"}, {"Idempotency-Key", "1"}}, true},
		{"header, other body", key, hook(key), [2]string{"c", "d"}, [2][]string{{"Idempotency-Key", "2"}, {"Idempotency-Key", "2"}}, true},
		{"other header", key, hook(key), [2]string{"e", "e"}, [2][]string{{"Idempotency-Key", "3"}, {"Idempotency-Key", "4"}}, false},
		{"header, folding's other body", folding, hook(folding), [2]string{"f", "g"}, [2][]string{}, false},
		{"folding", folding, hook(folding), [2]string{"h", "h"}, [2][]string{}, true},
		{"folding under other headers", folding, hook(folding), [2]string{"i", "i"}, [2][]string{{"Idempotency-Key", "5"}, {"Idempotency-Key", "6"}}, true},
		{"pointer", pointed, hook(pointed), [2]string{`{"event":{"id":7}}`, `{"event":{"id":"7"}}`}, [2][]string{}, true},
		{"pointer to nothing", pointed, hook(pointed), [2]string{`{"event":{}}`, `{"event":{}}`}, [2][]string{}, false},
		{"pointer, header first", pointed, hook(pointed), [2]string{`{"event":{"id":8}}`, `{"event":{"id":8}}`}, [2][]string{{"Idempotency-Key", "7a"}, {"Idempotency-Key", "7b"}}, false},
		{"sourceRef", key, signals, [2]string{`{"verbatim":"x","sourceRef":"r"}`, `{"verbatim":"y","sourceRef":"r"}`}, [2][]string{}, true},
		{"no sourceRef", key, signals, [2]string{verbatim, verbatim}, [2][]string{{"Idempotency-Key", "8"}, {"Idempotency-Key", "8"}}, false},
		{"folding, sourceRef", folding, signals, [2]string{verbatim, verbatim}, [2][]string{}, true},
	} {
		var got [2]reply
		for i := range got {
			got[i] = s.post(tt.path, tt.bodies[i], append([]string{"X-API-Key", tt.key.APIKey.Reveal()}, tt.headers[i]...)...)
		}
		if got[0].status != 200 || got[1].status != 200 || got[0].body.Duplicate || got[1].body.Duplicate != tt.duplicate {
			t.Errorf("%s: %s, then %s; want duplicate %v", tt.name, got[0].text, got[1].text, tt.duplicate)
		}
		if same := got[0].body.SignalID == got[1].body.SignalID; same != tt.duplicate {
			t.Errorf("%s: the same signal id is %v, want %v", tt.name, same, tt.duplicate)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	limited := s.issue(keyring.Draft{Name: "limited", RateLimit: pointer(2), RateSeconds: 3600})
	quota := s.issue(keyring.Draft{Name: "quota", DailyQuota: pointer(1)})
	for i, want := range []int{200, 200, 429} {
		got := s.post(hook(limited), "x", "X-API-Key", limited.APIKey.Reveal())
		if got.status != want || got.header.Get("RateLimit-Limit") != "2" || got.header.Get("RateLimit-Remaining") != fmt.Sprint(max(0, 1-i)) || got.header.Get("RateLimit-Reset") == "" {
			t.Errorf("request %d = %d %v, want %d with the limit's headers", i+1, got.status, got.header, want)
		}
		if retry := got.header.Get("Retry-After"); (want == 429) != (retry != "") {
			t.Errorf("request %d: Retry-After %q", i+1, retry)
		}
		s.checkForm("limited", got)
	}
	s.post(hook(quota), "x", "X-API-Key", quota.APIKey.Reveal())
	if got := s.post(hook(quota), "x", "X-API-Key", quota.APIKey.Reveal()); got.status != 429 || got.body.Code != "RATE_LIMITED" {
		t.Errorf("over the quota = %d %s", got.status, got.text)
	}
	for _, reason := range []string{"rate_limited", "quota_used"} {
		if n := s.count(`SELECT count(*) FROM deliveries WHERE reason = $1 AND outcome = 'refused'`, reason); n != 1 {
			t.Errorf("%d deliveries with reason %s, want 1", n, reason)
		}
	}
}

// Sixteen senders send the same refs to two keys that share a source.
func TestRacingSenders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	keys := []keyring.Issued{s.issue(keyring.Draft{Name: "one"}), s.issue(keyring.Draft{Name: "two"})}
	s.exec(`UPDATE webhook_keys SET source = 'webhook'`)
	const senders, refs = 16, 12
	var mu sync.Mutex
	news, ids := map[int]int{}, map[int]map[string]bool{}
	var running sync.WaitGroup
	for sender := range senders {
		running.Go(func() {
			for n := range refs {
				n = (n + sender*5) % refs
				key := keys[sender%2]
				got := s.post(hook(key), "body", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", fmt.Sprint(n))
				if got.status != 200 {
					t.Errorf("ref %d = %d %s", n, got.status, got.text)
					continue
				}
				mu.Lock()
				if !got.body.Duplicate {
					news[n]++
				}
				if ids[n] == nil {
					ids[n] = map[string]bool{}
				}
				ids[n][got.body.SignalID] = true
				mu.Unlock()
			}
		})
	}
	running.Wait()
	for n := range refs {
		if news[n] != 1 || len(ids[n]) != 1 {
			t.Errorf("ref %d: %d times new, %d ids, want 1 and 1", n, news[n], len(ids[n]))
		}
	}
	if n := s.count(`SELECT count(*) FROM signals`); n != refs {
		t.Errorf("%d signals, want %d", n, refs)
	}
	if n := s.count(`SELECT sum(requests) FROM delivery_totals`); n != senders*refs {
		t.Errorf("%d counted, want %d", n, senders*refs)
	}
}

func TestLastUseIsExact(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "used"})
	check := func(when string) {
		t.Helper()
		const exact = `
			SELECT count(*) FROM webhook_keys k WHERE
				last_used_at = (SELECT max(received_at) FROM deliveries WHERE webhook_key_id = k.id AND outcome <> 'refused') AND
				last_refused_at = (SELECT max(received_at) FROM deliveries WHERE webhook_key_id = k.id AND outcome = 'refused')`
		if n := s.count(exact); n != 1 {
			t.Errorf("%s the last uses are not those of the log", when)
		}
	}
	for range 3 {
		s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", "1")
		s.post(hook(key), "x", "X-API-Key", keyring.NewAPIKey().Reveal())
	}
	s.mustRollUp()
	check("after a roll-up")
	s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", "1")
	s.post(hook(key), "x", "X-API-Key", keyring.NewAPIKey().Reveal())
	newStageBeside(s).mustRollUp() // as after a crash of the one that took them
	check("after a roll-up by another instance")
	s.exec(`UPDATE webhook_keys SET last_used_at = now() + interval '1 hour'`)
	s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", "1")
	s.mustRollUp()
	if n := s.count(`SELECT count(*) FROM webhook_keys WHERE last_used_at > now()`); n != 1 {
		t.Error("a roll-up moved a last use back")
	}
}
