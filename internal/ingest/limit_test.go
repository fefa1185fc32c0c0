package ingest_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"keyhook/internal/keyring"
)

// A meter is a key whose limits are spent.
type meter struct {
	*stage
	key keyring.Issued
}

func (m meter) send(from *stage, headers ...string) reply {
	m.t.Helper()
	return from.post(hook(m.key), "x", append([]string{"X-API-Key", m.key.APIKey.Reveal()}, headers...)...)
}

// hold keeps the windows from turning while the test runs.
func (m meter) hold() {
	m.exec(`UPDATE key_allowances SET started_at = started_at + interval '2 days' WHERE webhook_key_id = $1`, m.key.Key.ID)
}

// turn lets the windows of a span be over.
func (m meter) turn(span string) {
	m.exec(`UPDATE key_allowances SET started_at = started_at - interval '4 days' WHERE webhook_key_id = $1 AND span = $2`, m.key.Key.ID, span)
}

func (m meter) used(span string) int {
	return m.count(`SELECT used FROM key_allowances WHERE webhook_key_id = $1 AND span = $2`, m.key.Key.ID, span)
}

func (m meter) want(what string, got reply, status int, limit, remaining string) {
	m.t.Helper()
	h := got.header
	if got.status != status || h.Get("RateLimit-Limit") != limit || h.Get("RateLimit-Remaining") != remaining ||
		(limit == "") != (h.Get("RateLimit-Reset") == "") || (status == 429) != (h.Get("Retry-After") != "") || h.Get("Retry-After") != "" && h.Get("Retry-After") != h.Get("RateLimit-Reset") {
		m.t.Errorf("%s = %d %v, want %d with limit %s and %s left", what, got.status, h, status, limit, remaining)
	}
}

// TestLimitIsShared: however many senders two instances have, a window grants what
// the limit says and not one more, and each answer tells another number that is left.
func TestLimitIsShared(t *testing.T) {
	t.Parallel()
	one := newStage(t)
	two := newStageBeside(one)
	for name, draft := range map[string]keyring.Draft{
		"rate":  {Name: "rate", RateLimit: pointer(60), RateSeconds: 3600},
		"day":   {Name: "day", DailyQuota: pointer(60)},
		"both":  {Name: "both", RateLimit: pointer(60), RateSeconds: 1, DailyQuota: pointer(100)},
		"least": {Name: "least", RateLimit: pointer(1000), RateSeconds: 60, DailyQuota: pointer(60)},
	} {
		m := meter{one, one.issue(draft)}
		m.send(one)
		m.hold()
		var mu sync.Mutex
		left, refused := map[string]int{}, 0
		var senders sync.WaitGroup
		for n := range 10 {
			senders.Go(func() {
				for range 12 {
					got := m.send([]*stage{one, two}[n%2])
					mu.Lock()
					switch got.status {
					case 200:
						left[got.header.Get("RateLimit-Remaining")]++
					case 429:
						refused++
					default:
						t.Errorf("%s: %d %s", name, got.status, got.text)
					}
					mu.Unlock()
				}
			})
		}
		senders.Wait()
		if len(left) != 59 || refused != 61 {
			t.Errorf("%s: %d were granted and %d refused, want the 59 that were left and 61", name, len(left), refused)
		}
		for n := range 59 {
			if left[strconv.Itoa(n)] != 1 {
				t.Errorf("%s: %d answers say that %d are left, want 1", name, left[strconv.Itoa(n)], n)
			}
		}
		if n := one.count(`SELECT count(*) FROM signals WHERE webhook_key_id = $1`, m.key.Key.ID); n != 60 {
			t.Errorf("%s: %d signals, want 60", name, n)
		}
	}
}

// TestLimitChanges: a limit that is changed while it is in use counts from the next
// request on, also on an instance that remembers another and heard of nothing.
func TestLimitChanges(t *testing.T) {
	t.Parallel()
	one := newStage(t)
	two := newStageBeside(one)
	m := meter{one, one.issue(keyring.Draft{Name: "changed", RateLimit: pointer(1), RateSeconds: 3600})}
	limit := func(n *int, seconds int) {
		t.Helper()
		if _, err := one.keys.Edit(t.Context(), one.by, m.key.Key.ID, keyring.Draft{Name: "changed", RateLimit: n, RateSeconds: seconds}); err != nil {
			t.Fatal(err)
		}
	}
	m.want("the only one", m.send(one), 200, "1", "0")
	m.hold()
	for range 3 {
		m.want("beyond it", m.send(two), 429, "1", "0")
	}
	limit(pointer(3), 3600)
	m.want("with a higher limit", m.send(two), 200, "3", "1")
	m.want("on the other instance", m.send(one), 200, "3", "0")
	m.want("beyond the higher one", m.send(two), 429, "3", "0")
	limit(pointer(2), 3600)
	m.want("with a lower limit", m.send(two), 429, "2", "0")
	limit(nil, 0)
	m.want("with none", m.send(two), 200, "", "")
	limit(pointer(4), 60)
	m.want("with a limit of a minute", m.send(one), 200, "4", "0")
	m.turn("rate")
	m.want("in the next minute", m.send(one), 200, "4", "3")
}

// TestWindows: a window that is over grants anew; what is refused takes nothing,
// and duplicates count.
func TestWindows(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := meter{s, s.issue(keyring.Draft{Name: "both", RateLimit: pointer(2), RateSeconds: 60, DailyQuota: pointer(4), AllowedCIDRs: []string{"192.0.2.0/24"}})}
	here := []string{"X-Forwarded-For", "192.0.2.1"}
	first := m.send(s, append(here, "Idempotency-Key", "1")...)
	m.want("the first", first, 200, "2", "1")
	if reset, err := strconv.Atoi(first.header.Get("RateLimit-Reset")); err != nil || reset < 1 || reset > 60 {
		t.Errorf("a window of a minute ends in %d s, %v", reset, err)
	}
	m.hold()
	m.want("the same again", m.send(s, append(here, "Idempotency-Key", "1")...), 200, "2", "0")
	for range 3 {
		m.want("over the rate", m.send(s, here...), 429, "2", "0")
	}
	for name, got := range map[string]reply{
		"another address": m.send(s, "X-Forwarded-For", "198.51.100.1"),
		"a wrong API key": s.post(hook(m.key), "x", "X-API-Key", keyring.NewAPIKey().Reveal()),
		"a bad ref":       m.send(s, append(here, "Idempotency-Key", "sha256:x")...),
	} {
		if got.status/100 != 4 || got.status == 429 || got.header.Get("RateLimit-Limit") != "" {
			t.Errorf("%s = %d %v", name, got.status, got.header)
		}
	}
	if rate, day := m.used("rate"), m.used("day"); rate != 2 || day != 2 {
		t.Errorf("%d of the rate and %d of the day are used, want 2 and 2: what was refused takes nothing", rate, day)
	}
	m.turn("rate")
	for i := range 2 {
		m.want("in the next minute, which leaves as much as the day", m.send(s, here...), 200, "4", fmt.Sprint(1-i))
	}
	m.turn("rate")
	over := m.send(s, here...)
	m.want("over the day", over, 429, "4", "0")
	tomorrow := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)).Seconds()
	if wait, err := strconv.ParseFloat(over.header.Get("Retry-After"), 64); err != nil || wait < tomorrow-5 || wait > tomorrow+5 {
		t.Errorf("a used day ends in %v s, %v; want midnight UTC, in %.0f s", wait, err, tomorrow)
	}
	m.turn("day")
	m.want("the next day", m.send(s, here...), 200, "2", "1")
	if rate, day := m.used("rate"), m.used("day"); rate != 1 || day != 1 {
		t.Errorf("%d of the rate and %d of the day are used, want 1 and 1", rate, day)
	}
}

// TestExpiryToTheMoment: two instances remember a key that is about to end; what
// starts after that is refused by both, however it proves itself.
func TestExpiryToTheMoment(t *testing.T) {
	t.Parallel()
	one := newStage(t)
	two := newStageBeside(one)
	end := time.Now().Add(1500 * time.Millisecond).Truncate(time.Second).Add(time.Second)
	key := one.issue(keyring.Draft{Name: "ends", ExpiresAt: &end})
	signed := []string{"X-Webhook-Signature", sign(t, key.Secret.Reveal(), verbatim), "X-Workspace-ID", one.workspace.String()}
	var senders sync.WaitGroup
	for n, instance := range []*stage{one, two, one, two} {
		senders.Go(func() {
			accepted := 0
			for {
				began := time.Now()
				var got reply
				if n < 2 {
					got = instance.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal())
				} else {
					got = instance.post(signals, verbatim, signed...)
				}
				switch {
				case got.status == 200 && began.Before(end):
					accepted++
				case got.status == 401 && time.Now().After(end):
					if accepted < 2 {
						t.Errorf("%d requests were accepted before the end, want some", accepted)
					}
					return
				default:
					t.Errorf("%v before the end = %d %s", end.Sub(began), got.status, got.text)
					return
				}
			}
		})
	}
	senders.Wait()
}

// TestAllowedAddresses: whose addresses a key lets in, of IPv4 and IPv6, behind
// proxies and in front of them.
func TestAllowedAddresses(t *testing.T) {
	t.Parallel()
	s := newStage(t) // which trusts the proxies of 127.0.0.0/8
	fenced := map[string]keyring.Issued{}
	for name, list := range map[string][]string{
		"four": {"192.0.2.77/24"}, "one": {"192.0.2.7"}, "mapped": {"::ffff:192.0.2.0/120"}, "six": {"2001:db8:1::5/48", "2001:db8:ffff::9"},
		"any six": {"::/0"}, "proxy": {"127.0.0.1"}, "any four": {"0.0.0.0/0"},
	} {
		fenced[name] = s.issue(keyring.Draft{Name: name, AllowedCIDRs: list})
	}
	for _, tt := range []struct {
		key, from string
		want      int
	}{
		{"four", "192.0.2.1", 200},
		{"four", "::ffff:192.0.2.1", 200},
		{"four", "192.0.3.1", 403},
		{"four", "2001:db8::1", 403},
		{"four", "192.0.2.1, 198.51.100.1", 403}, // what a sender made up stays left
		{"four", "198.51.100.1, 192.0.2.1", 200},
		{"four", "192.0.2.1, 127.0.0.9", 200}, // two proxies of ours
		{"four", "nonsense", 403},
		{"one", "192.0.2.7", 200},
		{"one", "192.0.2.8", 403},
		{"mapped", "192.0.2.200", 200},
		{"mapped", "192.0.3.1", 403},
		{"six", "2001:db8:1:2::3", 200},
		{"six", "2001:0DB8:FFFF:0:0:0:0:9", 200},
		{"six", "2001:db8:ffff::a", 403},
		{"six", "192.0.2.1", 403},
		{"any six", "2001:db8::1", 200},
		{"any six", "192.0.2.1", 403},
		{"any four", "192.0.2.1", 200},
		{"any four", "2001:db8::1", 403},
		{"proxy", "192.0.2.1", 403}, // it is not the proxy that sends
		{"proxy", "", 200},
	} {
		var headers []string
		if tt.from != "" {
			headers = []string{"X-Forwarded-For", tt.from}
		}
		got := (meter{s, fenced[tt.key]}).send(s, headers...)
		if got.status != tt.want || tt.want == 403 && got.body.Code != "FORBIDDEN" {
			t.Errorf("%s from %q = %d %s, want %d", tt.key, tt.from, got.status, got.text, tt.want)
		}
	}
}
