package ingest_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"keyhook/internal/signature"
)

// TestRefs: what makes two requests the same, and what kind of event it is.
func TestRefs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, tt := range map[string]struct {
		header   string // that holds the ref, "": the body
		ref      string
		kind     []string // a header, or nothing
		wantKind string
		required bool
	}{
		signature.Generic:  {"Idempotency-Key", "r1", nil, "", false},
		signature.Basic:    {"Idempotency-Key", "r1", nil, "", false},
		signature.Standard: {"", "msg_" + strconv.Itoa(len(event)), nil, "order.created", true},
		signature.GitHub:   {"X-GitHub-Delivery", "72d3162e", []string{"X-GitHub-Event", "push"}, "push", false},
		signature.Stripe:   {"", "evt_1", nil, "order.created", false},
		signature.Slack:    {"", "Ev1", nil, "message", false},
		signature.Shopify:  {"X-Shopify-Webhook-Id", "b54557e4", []string{"X-Shopify-Topic", "orders/create"}, "orders/create", false},
		signature.GitLab:   {"", "msg_" + strconv.Itoa(len(event)), []string{"X-Gitlab-Event", "Push Hook"}, "Push Hook", false},
		"gitlab token":     {"X-Gitlab-Event-UUID", "13792a34", []string{"X-Gitlab-Event", "Push Hook"}, "Push Hook", false},
		signature.Linear:   {"Linear-Delivery", "234d1a4e", []string{"Linear-Event", "Issue"}, "Issue", false},
	} {
		o := s.ofScheme(name)
		more := tt.kind
		if tt.header != "" {
			more = append(more, tt.header, tt.ref)
		}
		first, again := o.post(event, more...), o.post(event, more...)
		if first.status != 200 || first.body.Duplicate || again.status != 200 || !again.body.Duplicate || first.body.SignalID != again.body.SignalID {
			t.Errorf("%s: %s, then %s; want the second to be a duplicate", name, first.text, again.text)
		}
		const as = `SELECT count(*) FROM deliveries WHERE id = $1 AND source_ref = $2 AND event_type = $3 AND scheme = $4`
		if n := s.count(as, first.body.RequestID, tt.ref, tt.wantKind, o.scheme); n != 1 {
			t.Errorf("%s: not recorded with ref %s and kind %q", name, tt.ref, tt.wantKind)
		}
		if tt.header == "" {
			continue
		}
		for i := range 2 { // without a ref each is new, and the body is noted
			got := o.post("no ref")
			if got.status != 200 || got.body.Duplicate {
				t.Errorf("%s without a ref, %d: %s", name, i, got.text)
			}
			if n := s.count(`SELECT count(*) FROM deliveries WHERE id = $1 AND same_body_as IS NOT NULL`, got.body.RequestID); n != i {
				t.Errorf("%s without a ref, %d: flagged %d times", name, i, n)
			}
		}
		for _, bad := range [][]string{{tt.header, "sha256:00"}, {tt.header, "1", tt.header, "2"}} {
			if got := o.post("bad", bad...); got.status != 400 || got.body.Code != "VALIDATION_ERROR" {
				t.Errorf("%s with %q: %d %s, want 400", name, bad, got.status, got.text)
			}
		}
	}
	o := s.ofScheme(signature.Standard)
	headers := o.headers(o.secret, event, time.Now())
	for i := 0; i < len(headers); i += 2 {
		if strings.EqualFold(headers[i], "webhook-id") {
			headers = append(headers[:i], headers[i+2:]...)
			break
		}
	}
	if got := s.post(hook(o.key), event, headers...); got.status != 401 || !strings.Contains(got.text, "webhook-id must come with the signature") {
		t.Errorf("standard without webhook-id = %d %s", got.status, got.text)
	}
	for _, scheme := range []string{signature.Stripe, signature.Slack} {
		o := s.ofScheme(scheme)
		if got := o.post("payload=%7B%7D", "Content-Type", "application/x-www-form-urlencoded"); got.status != 200 {
			t.Errorf("%s, a form: %d %s", scheme, got.status, got.text)
		}
		if got := o.post(`{"id":1,"id":2}`, "Content-Type", "application/json"); got.status != 400 || got.body.Code != "INVALID_PAYLOAD" {
			t.Errorf("%s, JSON that is not: %d %s", scheme, got.status, got.text)
		}
	}
}

// TestHandshake: Slack's question is answered after its check, logged, and no signal.
func TestHandshake(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	o := s.ofScheme(signature.Slack)
	const question = `{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	for range 2 { // asked again, it is answered again
		got := o.post(question, "Content-Type", "application/json")
		if want := `{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`; got.status != 200 || got.text != want {
			t.Errorf("the handshake = %d %s, want %s", got.status, got.text, want)
		}
		const logged = `
			SELECT count(*) FROM deliveries WHERE id = $1 AND outcome = 'accepted' AND status = 200 AND signal_id IS NULL
				AND event_type = 'url_verification' AND auth_method = 'signature' AND body IS NOT NULL AND same_body_as IS NULL`
		if n := s.count(logged, got.header.Get("X-Request-ID")); n != 1 {
			t.Error("the handshake is not in the log as it should be")
		}
	}
	wrong := s.post(hook(o.key), question, o.headers("another secret of 32 characters!", question, time.Now())...)
	stale := s.post(hook(o.key), question, o.headers(o.secret, question, time.Now().Add(-time.Hour))...)
	bare := s.post(hook(o.key), question)
	for what, got := range map[string]reply{"wrong": wrong, "stale": stale, "unsigned": bare} {
		if got.status != 401 || strings.Contains(got.text, "3eZbrw") {
			t.Errorf("a %s handshake = %d %s, want 401 without the challenge", what, got.status, got.text)
		}
	}
	for _, text := range []string{`{"type":"url_verification"}`, `{"type":"url_verification","challenge":7}`, `{"type":"url_verification","challenge":"` + strings.Repeat("x", 300) + `"}`} {
		if got := o.post(text); got.status != 400 {
			t.Errorf("%.60s = %d %s, want 400", text, got.status, got.text)
		}
	}
	if got := s.ofScheme(signature.GitHub).post(question); got.body.SignalID == "" {
		t.Errorf("the same body from GitHub = %s, want a signal", got.text)
	}
	if n := s.count(`SELECT count(*) FROM signals`); n != 1 {
		t.Errorf("%d signals, want GitHub's alone", n)
	}
	if n := s.count(`SELECT coalesce(sum(requests), 0) FROM delivery_totals WHERE outcome = 'accepted' AND webhook_key_id = $1`, o.key.Key.ID); n != 2 {
		t.Errorf("%d handshakes counted, want 2", n)
	}
}
