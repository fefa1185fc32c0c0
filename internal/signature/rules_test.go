package signature_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyhook/internal/signature"
)

// TestTimestamps: one way of writing a time, whatever a library would make of it.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	stamp := map[string]string{"standard": "Webhook-Timestamp", "gitlab": "Webhook-Timestamp", "slack": "X-Slack-Request-Timestamp", "stripe": ""}
	for scheme, header := range stamp {
		for _, text := range []string{"", "0", "01767225600", "+1767225600", "-1767225600", "1767225600 ", " 1767225600", "1767225600.0", "1.767e9", "0x6955b900", "176722560000", "９", "1767225600\r"} {
			headers := signed(t, scheme, secret, event(now))
			if header == "" {
				headers.Set("Stripe-Signature", strings.Replace(headers.Get("Stripe-Signature"), "1767225600", text, 1))
			} else {
				headers[header] = []string{text}
			}
			bad := (*signature.FormatError)(nil)
			if err := verify(scheme, headers, body, now); !errors.As(err, &bad) {
				t.Errorf("%s with the time %q: %v, want a FormatError", scheme, text, err)
			}
		}
		if header != "" {
			headers := signed(t, scheme, secret, event(now))
			headers[header] = append(headers[header], headers[header]...)
			if err := verify(scheme, headers, body, now); err == nil {
				t.Errorf("%s with its time twice: accepted", scheme)
			}
			headers.Del(header)
			if err := verify(scheme, headers, body, now); err == nil || errors.Is(err, signature.ErrMissing) {
				t.Errorf("%s without its time = %v, want a FormatError", scheme, err)
			}
		}
	}
}

func TestStandard(t *testing.T) {
	t.Parallel()
	right := signed(t, signature.Standard, secret, event(now))
	sum := right.Get("Webhook-Signature")
	for what, tt := range map[string]struct {
		value string
		want  bool
	}{
		"another version beside it": {"v1a,AAAA " + sum, true},
		"an unreadable one beside":  {"v1,AAAA " + sum, true},
		"eight":                     {strings.Repeat("v2,x ", 7) + sum, true},
		"nine":                      {strings.Repeat("v2,x ", 8) + sum, false},
		"two spaces":                {"v1,AAAA  " + sum, false},
		"another version alone":     {strings.Replace(sum, "v1", "v2", 1), false},
		"no version":                {strings.TrimPrefix(sum, "v1,"), false},
		"no padding":                {strings.TrimSuffix(sum, "="), false},
		"loose padding bits":        {sum[:len(sum)-2] + "9=", false},
		"URL alphabet":              {strings.NewReplacer("+", "-", "/", "_").Replace(sum), !strings.ContainsAny(sum, "+/")},
	} {
		headers := right.Clone()
		headers.Set("Webhook-Signature", tt.value)
		if err := verify(signature.Standard, headers, body, now); (err == nil) != tt.want {
			t.Errorf("%s: %v, want accepted %v", what, err, tt.want)
		}
	}
	for _, id := range []string{"", "a.b", "é", "a\tb", strings.Repeat("x", 256)} {
		e := event(now)
		e.ID = id
		if _, err := signature.Sign(signature.Standard, secret, e); err == nil {
			t.Errorf("signed with the id %q", id)
		}
		headers := right.Clone()
		headers["Webhook-Id"] = []string{id}
		if err := verify(signature.Standard, headers, body, now); err == nil {
			t.Errorf("the id %q is accepted", id)
		}
	}
	both := svix(right)
	for name, values := range right {
		both[name] = values
	}
	if err := verify(signature.Standard, both, body, now); err != nil {
		t.Errorf("both names = %v, want accepted", err)
	}
	both.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err := verify(signature.Standard, both, body, now); !errors.Is(err, signature.ErrWrong) {
		t.Errorf("a wrong one beside Svix's right one = %v, want ErrWrong", err)
	}
	mixed := svix(right)
	mixed["Webhook-Id"] = mixed["Svix-Id"]
	mixed.Del("Svix-Id")
	if err := verify(signature.Standard, mixed, body, now); err == nil {
		t.Error("the two names are mixed")
	}
}

// TestTwoReadings: one displayed secret is two keys.
func TestTwoReadings(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		secret string
		want   error
	}{
		"without its prefix": {strings.TrimPrefix(secret, "whsec_"), nil},
		"as text":            {"not base64 at all, you see", signature.ErrUnreadableSecret},
		"URL alphabet":       {"whsec_--------------------------------", signature.ErrUnreadableSecret},
		"unpadded":           {"whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE", signature.ErrUnreadableSecret},
		"with a line end":    {secret + "\n", signature.ErrUnreadableSecret},
		"prefix alone":       {"whsec_", signature.ErrNoSecret},
		"nothing":            {"", signature.ErrNoSecret},
	} {
		headers := signed(t, signature.Standard, secret, event(now))
		if err := signature.Verify(signature.Standard, []string{tt.secret}, "", headers, body, now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
		if _, err := signature.Sign(signature.Standard, tt.secret, event(now)); !errors.Is(err, tt.want) {
			t.Errorf("Sign %s: %v, want %v", what, err, tt.want)
		}
	}
	text := signed(t, signature.Generic, secret, event(now))
	other := signed(t, signature.Generic, strings.TrimPrefix(secret, "whsec_"), event(now))
	if text.Get("X-Webhook-Signature") == other.Get("X-Webhook-Signature") {
		t.Error("the plain scheme leaves whsec_ out")
	}
}

func TestStripe(t *testing.T) {
	t.Parallel()
	right := signed(t, signature.Stripe, secret, event(now)).Get("Stripe-Signature")
	sum := strings.TrimPrefix(right, "t=1767225600,")
	for value, want := range map[string]bool{
		right + ",v0=" + strings.Repeat("0", 64):                 true,
		"t=1767225600,v1=" + strings.Repeat("0", 64) + "," + sum: true,
		"t=1767225600,v1=zz,v1=00," + sum:                        true,
		sum + ",t=1767225600":                                    true,
		"t=1767225600," + strings.Repeat("v0=0,", 7) + sum:       true,
		"t=1767225600," + strings.Repeat("v0=0,", 8) + sum:       false,
		"t=1767225600,t=1767225600," + sum:                       false,
		"t=1767225601," + sum:                                    false,
		sum:                                                      false,
		"t=1767225600":                                           false,
		"t=1767225600,v1=":                                       false,
		"t=1767225600,v1":                                        false,
		right + ",":                                              false,
		right + ",x==":                                           false,
		"t=1767225600," + strings.Replace(sum, "v1", "v0", 1):    false,
	} {
		if err := verify(signature.Stripe, http.Header{"Stripe-Signature": {value}}, body, now); (err == nil) != want {
			t.Errorf("%q: %v, want accepted %v", value, err, want)
		}
	}
}

// TestLinear: the time in the signed body counts, the header only without one.
func TestLinear(t *testing.T) {
	t.Parallel()
	ms := now.UnixMilli()
	old := fmt.Sprint(ms - 301_000)
	for text, tt := range map[string]struct {
		header string
		want   error
	}{
		fmt.Sprintf(`{"webhookTimestamp":%d}`, ms):                            {"", nil},
		fmt.Sprintf(`{"webhookTimestamp":"%d"}`, ms):                          {"", nil},
		fmt.Sprintf(`{"webhookTimestamp":%d} `, ms-300_000):                   {"", nil},
		fmt.Sprintf(`{"a":{"webhookTimestamp":1},"webhookTimestamp":%d}`, ms): {"", nil},
		fmt.Sprintf(`{"webhookTimestamp":%d}`, ms-300_001):                    {fmt.Sprint(ms), signature.ErrStale},
		fmt.Sprintf(`{"webhookTimestamp":%d}`, ms-1_000_000):                  {"", signature.ErrStale},
		fmt.Sprintf(`{"webhookTimestamp":%d}`, ms+300_001):                    {"", signature.ErrStale},
		fmt.Sprintf(`{"webhookTimestamp":%d,"webhookTimestamp":%d}`, ms, ms):  {fmt.Sprint(ms), signature.ErrStale},
		fmt.Sprintf(`{"webhooktimestamp":%d}`, ms):                            {"", signature.ErrStale},
		`{"webhookTimestamp":"soon"}`:                                         {fmt.Sprint(ms), signature.ErrStale},
		`{"webhookTimestamp":null}`:                                           {fmt.Sprint(ms), signature.ErrStale},
		`{"webhookTimestamp":1e12}`:                                           {fmt.Sprint(ms), signature.ErrStale},
		`{}`:                                                                  {"", signature.ErrStale},
		`{"b":1}`:                                                             {fmt.Sprint(ms), nil},
		`{"c":1}`:                                                             {old, signature.ErrStale},
		`not JSON`:                                                            {fmt.Sprint(ms), nil},
		``:                                                                    {"", signature.ErrStale},
	} {
		headers := signed(t, signature.Linear, secret, signature.Event{Body: []byte(text), Time: now})
		headers.Del("Linear-Timestamp")
		if tt.header != "" {
			headers.Set("Linear-Timestamp", tt.header)
		}
		if err := verify(signature.Linear, headers, []byte(text), now); !errors.Is(err, tt.want) {
			t.Errorf("%s with %q: %v, want %v", text, tt.header, err, tt.want)
		}
	}
}

// TestGitLab: the signature's header alone tells one way from the other.
func TestGitLab(t *testing.T) {
	t.Parallel()
	full := signed(t, signature.GitLab, secret, event(now))
	full.Set("X-Gitlab-Token", secret)
	if err := verify(signature.GitLab, full, body, now); err != nil {
		t.Errorf("both = %v", err)
	}
	full.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err := verify(signature.GitLab, full, body, now); !errors.Is(err, signature.ErrWrong) {
		t.Errorf("a wrong signature beside the right token = %v, want ErrWrong", err)
	}
	full.Del("Webhook-Signature")
	if err := verify(signature.GitLab, full, body, now); err != nil {
		t.Errorf("id and time without a signature = %v, want the token to count", err)
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	pair := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for value, want := range map[string]bool{
		"Basic " + pair(user+":"+secret):                         true,
		"bAsIc " + pair(user+":"+secret):                         true,
		"Basic  " + pair(user+":"+secret):                        false,
		"Bearer " + pair(user+":"+secret):                        false,
		"Basic " + pair("other:"+secret):                         false,
		"Basic " + pair(user+":"+secret+"x"):                     false,
		"Basic " + pair(user+":"):                                false,
		"Basic " + pair(":"+secret):                              false,
		"Basic " + pair(secret):                                  false,
		"Basic " + strings.TrimRight(pair(user+":"+secret), "="): strings.HasSuffix(pair(user+":"+secret), "=") == false,
		"Basic " + pair(user + ":" + secret)[:20] + "\n" + pair(user + ":" + secret)[20:]: false,
		"Basic": false,
	} {
		if err := verify(signature.Basic, http.Header{"Authorization": {value}}, body, now); (err == nil) != want {
			t.Errorf("%q: %v, want accepted %v", value, err, want)
		}
	}
}

// TestForms: a secret of the provider's looks right, and others' do not.
func TestForms(t *testing.T) {
	t.Parallel()
	for scheme, secrets := range map[string]map[string]bool{
		signature.Stripe:   {"whsec_" + strings.Repeat("a1B2", 8): true, "sk_live_" + strings.Repeat("a", 32): false, "whsec_short": false},
		signature.Slack:    {"8f742231b10e8888abcd99aaabbb85a5": true, "xoxb-1234-abcd": false},
		signature.Shopify:  {"shpss_" + strings.Repeat("0a", 16): true, strings.Repeat("0a", 32): true, "shpat_" + strings.Repeat("0a", 16): false},
		signature.Linear:   {"lin_wh_" + strings.Repeat("aZ9", 10): true, "lin_api_" + strings.Repeat("aZ9", 10): false},
		signature.Standard: {secret: true, "whsec_short": false},
		signature.GitHub:   {"whatever it is": true},
	} {
		s, _ := signature.Find(scheme)
		for text, want := range secrets {
			if got := s.LooksRight(text); got != want {
				t.Errorf("%s: LooksRight(%q) = %v, want %v", scheme, text, got, want)
			}
		}
	}
}

func TestUnknownScheme(t *testing.T) {
	t.Parallel()
	if err := verify("twilio", nil, nil, now); !errors.Is(err, signature.ErrUnknownScheme) {
		t.Errorf("Verify = %v, want ErrUnknownScheme", err)
	}
	if _, err := signature.Sign("twilio", secret, event(now)); !errors.Is(err, signature.ErrUnknownScheme) {
		t.Errorf("Sign = %v, want ErrUnknownScheme", err)
	}
	if err := (signature.Presented{}).Verify(secret, body, now); err == nil {
		t.Error("nothing at all was accepted")
	}
}
