package oracle_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v74/github"
	"github.com/slack-go/slack"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v82/webhook"

	"keyhook/internal/signature"
)

// An oracle says what a provider's own library makes of a request.
type oracle func(secret string, headers http.Header, body []byte) error

var oracles = map[string]oracle{
	signature.Standard: func(secret string, headers http.Header, body []byte) error {
		w, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return err
		}
		return w.Verify(body, headers)
	},
	signature.Stripe: func(secret string, headers http.Header, body []byte) error {
		return webhook.ValidatePayload(body, headers.Get("Stripe-Signature"), secret)
	},
	signature.GitHub: func(secret string, headers http.Header, body []byte) error {
		_, err := github.ValidatePayloadFromBody("application/json", bytes.NewReader(body), headers.Get("X-Hub-Signature-256"), []byte(secret))
		return err
	},
	signature.Slack: func(secret string, headers http.Header, body []byte) error {
		v, err := slack.NewSecretsVerifier(headers, secret)
		if err != nil {
			return err
		}
		if _, err := v.Write(body); err != nil {
			return err
		}
		return v.Ensure()
	},
}

const secret = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDEy"

// hold fails if a request is accepted that the provider's library refuses. The
// libraries look at the clock of the machine, so both must hold near now, and no
// verdict counts that the passing of a second may have changed.
func hold(t *testing.T, scheme, secret string, headers http.Header, body []byte) (accepted bool) {
	t.Helper()
	before := time.Now()
	if signature.Verify(scheme, []string{secret}, "", headers, body, before) != nil {
		return false
	}
	err := oracles[scheme](secret, headers, body)
	if err != nil && signature.Verify(scheme, []string{secret}, "", headers, body, time.Now().Add(time.Second)) == nil {
		t.Errorf("%s: accepted, and the provider's library says %v; headers %q, body %q", scheme, err, headers, body)
	}
	return true
}

// TestSigned: what we sign, they accept, and so do we.
func TestSigned(t *testing.T) {
	t.Parallel()
	for scheme, verify := range oracles {
		for _, text := range []string{"", "{}", `{"a":1}` + "\n", strings.Repeat("é", 100_000)} {
			headers, err := signature.Sign(scheme, secret, signature.Event{Body: []byte(text), ID: "msg_1", Time: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(secret, headers, []byte(text)); err != nil {
				t.Errorf("%s: the provider's library refuses what we sign: %v", scheme, err)
			}
			if !hold(t, scheme, secret, headers, []byte(text)) {
				t.Errorf("%s: refused what we sign", scheme)
			}
		}
	}
}

// TestTheirs: what the libraries sign, we accept.
func TestTheirs(t *testing.T) {
	t.Parallel()
	body, at := []byte(`{"id":"evt_1"}`), time.Now()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	value, err := w.Sign("msg_1", at, body)
	if err != nil {
		t.Fatal(err)
	}
	stamp := signature.Event{Body: body, ID: "msg_1", Time: at}
	headers, err := signature.Sign(signature.Standard, secret, stamp)
	if err != nil {
		t.Fatal(err)
	}
	headers.Set("webhook-signature", value)
	if !hold(t, signature.Standard, secret, headers, body) {
		t.Error("refused what the Standard Webhooks library signs")
	}
	payload := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at})
	if !hold(t, signature.Stripe, secret, http.Header{"Stripe-Signature": {payload.Header}}, body) {
		t.Error("refused what Stripe's library signs")
	}
}

// mutate applies edits to the headers of a request that is right: the fuzzer
// would never find one by itself.
func mutate(headers http.Header, edit, at string, place uint16) {
	for name, values := range headers {
		if !strings.HasPrefix(name, at) || at == "" {
			continue
		}
		i := int(place) % (len(values[0]) + 1)
		headers[name] = []string{values[0][:i] + edit + values[0][min(len(values[0]), i+int(place>>12)):]}
	}
}

func fuzz(f *testing.F, scheme string, names ...string) {
	for _, edit := range []string{"", " ", "+", "0", ",", ", ", "v1,", "v1=", "v0=", "sha256=", "\t", "\r\n", "A", "=", ".", "t=1,", "-1"} {
		for _, name := range names {
			f.Add(edit, name, uint16(0), secret, []byte(`{"id":"evt_1"}`), int16(0))
			f.Add(edit, name, uint16(4097), secret, []byte("x"), int16(299))
		}
	}
	f.Add("", "", uint16(0), "", []byte{}, int16(0))
	f.Fuzz(func(t *testing.T, edit, name string, place uint16, key string, body []byte, skew int16) {
		headers, err := signature.Sign(scheme, key, signature.Event{Body: body, ID: "msg_1", Time: time.Now().Add(time.Duration(skew) * time.Second)})
		if err != nil {
			return
		}
		mutate(headers, edit, name, place)
		hold(t, scheme, key, headers, body)
		if len(body) > 0 {
			hold(t, scheme, key, headers, body[:len(body)-1])
		}
	})
}

func FuzzStandard(f *testing.F) {
	fuzz(f, signature.Standard, "Webhook-Signature", "Webhook-Timestamp", "Webhook-Id")
}
func FuzzStripe(f *testing.F) { fuzz(f, signature.Stripe, "Stripe-Signature") }
func FuzzGitHub(f *testing.F) { fuzz(f, signature.GitHub, "X-Hub-Signature-256") }
func FuzzSlack(f *testing.F) {
	fuzz(f, signature.Slack, "X-Slack-Signature", "X-Slack-Request-Timestamp")
}

// FuzzRaw holds whole requests against the libraries, however they were made.
func FuzzRaw(f *testing.F) {
	for scheme := range oracles {
		headers, err := signature.Sign(scheme, secret, signature.Event{Body: []byte("{}"), ID: "msg_1", Time: time.Now()})
		if err != nil {
			f.Fatal(err)
		}
		var text bytes.Buffer
		headers.Write(&text)
		f.Add(text.String(), secret, []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, text, key string, body []byte) {
		headers := http.Header{}
		for line := range strings.SplitSeq(text, "\r\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				headers.Add(name, value)
			}
		}
		for scheme := range oracles {
			hold(t, scheme, key, headers, body)
		}
	})
}
