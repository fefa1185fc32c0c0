package ingest_test

import (
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

func (s *stage) leak(key keyring.Issued) {
	s.t.Helper()
	if _, err := s.keys.ReportLeaked(s.t.Context(), s.by, key.Key.ID, 0); err != nil {
		s.t.Fatal(err)
	}
}

// TestLeakedEverywhere: two instances remember a key and hear of no change. What
// starts after its credentials were reported as leaked is refused by both, an old
// pair of an overlap too, and a new pair works at once.
func TestLeakedEverywhere(t *testing.T) {
	t.Parallel()
	one := newStage(t)
	two := newStageBeside(one)
	key := one.issue(keyring.Draft{Name: "one"})
	for round := range 10 {
		next, err := one.keys.Rotate(t.Context(), one.by, key.Key.ID, keyring.Rotation{Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		proofs := [][]string{
			{"X-API-Key", key.APIKey.Reveal()},
			{"X-API-Key", next.APIKey.Reveal()},
			{"X-Webhook-Signature", sign(t, key.Secret.Reveal(), "x")},
			{"X-Webhook-Signature", sign(t, next.Secret.Reveal(), "x")},
		}
		var confirmed atomic.Bool
		var senders sync.WaitGroup
		accepted := make(chan struct{}, len(proofs))
		for n, proof := range proofs {
			instance := []*stage{one, two}[n%2]
			senders.Go(func() {
				for first := true; ; first = false {
					late := confirmed.Load()
					got := instance.post(hook(key), "x", proof...)
					if first {
						accepted <- struct{}{}
					}
					switch {
					case got.status == 401 && !first:
						return
					case got.status != 200:
						t.Errorf("round %d: %d %s", round, got.status, got.text)
						return
					case late:
						t.Errorf("round %d: a request that started after the report was accepted", round)
						return
					}
				}
			})
		}
		for range proofs {
			<-accepted
		}
		one.leak(key)
		confirmed.Store(true)
		for n, proof := range proofs {
			for _, instance := range []*stage{one, two} {
				got := instance.post(hook(key), "x", proof...)
				if got.status != 401 {
					t.Errorf("round %d: proof %d after the report = %d, want 401", round, n, got.status)
				}
				if want := []string{"credential_leaked", "secret_erased"}[n/2]; round == 0 && one.reason(got) != want {
					t.Errorf("proof %d after the report: %s, want %s", n, one.reason(got), want)
				}
			}
		}
		senders.Wait()
		fresh, err := one.keys.Rotate(t.Context(), one.by, key.Key.ID, keyring.Rotation{Renew: true})
		if err != nil {
			t.Fatal(err)
		}
		key = fresh.Issued
		for _, instance := range []*stage{one, two} {
			for _, proof := range [][]string{{"X-API-Key", key.APIKey.Reveal()}, {"X-Webhook-Signature", sign(t, key.Secret.Reveal(), "x")}} {
				if got := instance.post(hook(key), "x", proof...); got.status != 200 {
					t.Errorf("round %d: the new pair = %d %s", round, got.status, got.text)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

// TestLeakedReasons: each way of coming with leaked credentials is refused as any
// stranger is, and the delivery tells what it was, tied to its key.
func TestLeakedReasons(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one", AllowInURL: true})
	gitlab := s.issue(keyring.Draft{Name: "gitlab", Scheme: signature.GitLab})
	basic := s.issue(keyring.Draft{Name: "basic", Scheme: signature.Basic})
	github := s.issue(keyring.Draft{Name: "github", Scheme: signature.GitHub})
	off := s.issue(keyring.Draft{Name: "off"})
	for _, k := range []keyring.Issued{key, gitlab, basic, github, off} {
		s.leak(k)
	}
	if _, err := s.keys.Deactivate(t.Context(), s.by, off.Key.ID, ""); err != nil {
		t.Fatal(err)
	}
	body, workspace := "x", s.workspace.String()
	signed := sign(t, key.Secret.Reveal(), body)
	hub, err := signature.Sign(signature.GitHub, github.Secret.Reveal(), signature.Event{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	login := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	stranger := s.post(hook(key), body, "X-API-Key", keyring.NewAPIKey().Reveal())
	for name, tt := range map[string]struct {
		key    keyring.Issued
		path   string
		reason string
		header []string
	}{
		"API key":                     {key, hook(key), "credential_leaked", []string{"X-API-Key", key.APIKey.Reveal()}},
		"API key as bearer":           {key, hook(key), "credential_leaked", []string{"Authorization", "Bearer " + key.APIKey.Reveal()}},
		"API key in the URL":          {key, hook(key) + "/" + key.APIKey.Reveal(), "credential_leaked", nil},
		"API key of the origin's way": {key, signals, "credential_leaked", []string{"X-API-Key", key.APIKey.Reveal()}},
		"signature":                   {key, hook(key), "secret_erased", []string{"X-Webhook-Signature", signed}},
		"both":                        {key, hook(key), "credential_leaked", []string{"X-Webhook-Signature", signed, "X-API-Key", key.APIKey.Reveal()}},
		"signature and key id":        {key, signals, "secret_erased", []string{"X-Webhook-Signature", signed, "X-Workspace-ID", workspace, "X-Webhook-Key-ID", key.Key.ID.String()}},
		"a provider's signature":      {github, hook(github), "secret_erased", []string{"X-Hub-Signature-256", hub.Get("X-Hub-Signature-256")}},
		"a secret as it is":           {gitlab, hook(gitlab), "credential_leaked", []string{"X-Gitlab-Token", gitlab.Secret.Reveal()}},
		"another secret as it is":     {gitlab, hook(gitlab), "secret_erased", []string{"X-Gitlab-Token", "some-other-secret-0123456789"}},
		"a password":                  {basic, hook(basic), "credential_leaked", []string{"Authorization", login(basic.Key.ID.String(), basic.Secret.Reveal())}},
		"a password of another":       {basic, hook(basic), "secret_erased", []string{"Authorization", login(key.Key.ID.String(), basic.Secret.Reveal())}},
		"of a deactivated key":        {off, hook(off), "credential_leaked", []string{"X-API-Key", off.APIKey.Reveal()}},
		"signature of a deactivated":  {off, hook(off), "secret_erased", []string{"X-Webhook-Signature", sign(t, off.Secret.Reveal(), body)}},
	} {
		got := s.post(tt.path, body, tt.header...)
		if got.status != 401 || got.body.Detail != stranger.body.Detail || got.body.Title != stranger.body.Title || got.body.Type != stranger.body.Type || got.body.Code != stranger.body.Code ||
			strings.Contains(strings.ToLower(got.text), "leak") || strings.Contains(got.text, "hints") {
			t.Errorf("%s: %d %s; want what a stranger gets", name, got.status, got.text)
		}
		if reason := s.reason(got); reason != tt.reason {
			t.Errorf("%s: reason %s, want %s", name, reason, tt.reason)
		}
		if n := s.count(`SELECT count(*) FROM deliveries WHERE id = $1 AND webhook_key_id = $2 AND workspace_id = $3`, got.body.RequestID, tt.key.Key.ID, s.workspace); n != 1 {
			t.Errorf("%s: the delivery is not tied to its key", name)
		}
	}
	for _, reason := range []inbox.Reason{inbox.CredentialLeaked, inbox.SecretErased} {
		if reason.Explain() == "" {
			t.Errorf("%s is not explained", reason)
		}
	}

	done, err := s.keys.Rotate(t.Context(), s.by, gitlab.Key.ID, keyring.Rotation{Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.post(hook(gitlab), body, "X-Gitlab-Token", done.Secret.Reveal()); got.status != 200 {
		t.Errorf("the new secret = %d %s", got.status, got.text)
	}
	if got := s.post(hook(gitlab), body, "X-Gitlab-Token", gitlab.Secret.Reveal()); got.status != 401 || s.reason(got) != "credential_leaked" {
		t.Errorf("the leaked secret beside the new one = %d, %s", got.status, s.reason(got))
	}
}

// TestLeakUse: what came in before and what is tried since, by sender, exact and
// the same before and after the roll-up.
func TestLeakUse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	byKey, bySignature := []string{"X-API-Key", key.APIKey.Reveal()}, []string{"X-Webhook-Signature", sign(t, key.Secret.Reveal(), "x")}
	send := func(want int, from, agent string, headers ...string) {
		t.Helper()
		if got := s.post(hook(key), "x", append(headers, "X-Forwarded-For", from, "User-Agent", agent)...); got.status != want {
			t.Fatalf("%d %s, want %d", got.status, got.text, want)
		}
	}
	for range 3 {
		send(200, "192.0.2.10", "shop/1", append(byKey, "Idempotency-Key", "same")...)
	}
	send(200, "198.51.100.7", "curl/8", bySignature...)
	send(401, "203.0.113.1", "scanner", "X-API-Key", keyring.NewAPIKey().Reveal()) // a stranger's
	s.leak(key)
	send(401, "198.51.100.7", "curl/8", byKey...)
	send(401, "198.51.100.7", "curl/8", byKey...)
	send(401, "192.0.2.10", "shop/1", bySignature...)
	done, err := s.keys.Rotate(t.Context(), s.by, key.Key.ID, keyring.Rotation{Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	send(200, "192.0.2.10", "shop/1", "X-API-Key", done.APIKey.Reveal())
	leaks, err := s.keys.LeaksOf(t.Context(), s.workspace, key.Key.ID)
	if err != nil || len(leaks.Reports) != 1 {
		t.Fatalf("LeaksOf = %+v, %v", leaks, err)
	}
	report := leaks.Reports[0]
	leak := inbox.Leaked{Since: report.Since, At: report.At, Last: report.Last}
	for _, rolled := range []bool{false, true} {
		if rolled {
			s.mustRollUp()
		}
		use, err := s.events.LeakUseOf(t.Context(), s.workspace, key.Key.ID, leak)
		if err != nil || use.Accepted != 2 || use.Duplicate != 2 || use.Refused != 0 || len(use.Uses) != 2 || use.MoreUses || !use.From.Equal(report.Since) {
			t.Fatalf("rolled up %v: LeakUseOf = %+v, %v; want 2 accepted and 2 duplicate from two senders", rolled, use, err)
		}
		curl, shop := use.Uses[0], use.Uses[1]
		if curl.Address != "198.51.100.7" || curl.UserAgent != "curl/8" || curl.Method != inbox.BySignature || curl.Accepted != 1 ||
			shop.Address != "192.0.2.10" || shop.Method != inbox.ByAPIKey || shop.Accepted != 1 || shop.Duplicate != 2 || shop.LastAt.Before(shop.FirstAt) {
			t.Errorf("rolled up %v: the senders are %+v", rolled, use.Uses)
		}
		if want := map[bool]int{false: 0, true: 3}[rolled]; len(use.Addresses) != want {
			t.Errorf("rolled up %v: %d addresses, want %d: %+v", rolled, len(use.Addresses), want, use.Addresses)
		}
		tried, err := s.events.AttemptsOf(t.Context(), s.workspace, key.Key.ID, leak)
		if err != nil || tried.Leaked != 2 || tried.Unchecked != 1 || tried.LastAt == nil || len(tried.Senders) != 2 || tried.Senders[1].Requests != 2 {
			t.Errorf("rolled up %v: AttemptsOf = %+v, %v; want 2 recognised and 1 that can't be checked", rolled, tried, err)
		}
	}
}
