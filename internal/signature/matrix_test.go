package signature_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyhook/internal/signature"
)

const (
	secret = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDEy"
	user   = "0197b0c2-1f6e-7a52-9d53-0f6f7e4c2b10"
)

var (
	now  = time.Unix(1767225600, 0)
	body = []byte("{\"verbatim\":\"The export is slow\",\"n\":1.0}\n")
)

// event is what the tests sign.
func event(at time.Time) signature.Event {
	return signature.Event{Body: body, ID: "msg_1", Time: at, User: user}
}

func signed(t *testing.T, scheme, secret string, e signature.Event) http.Header {
	t.Helper()
	headers, err := signature.Sign(scheme, secret, e)
	if err != nil {
		t.Fatalf("Sign(%s): %v", scheme, err)
	}
	return headers
}

func verify(scheme string, headers http.Header, text []byte, at time.Time) error {
	return signature.Verify(scheme, []string{secret}, user, headers, text, at)
}

// A dialect is a scheme in one of its ways, with the secret that makes Sign
// choose it.
type dialect struct {
	scheme, secret, header string
	base64                 bool // of the MAC; else hex
	token                  bool // nothing is signed
}

var dialects = map[string]dialect{
	"generic":      {scheme: signature.Generic, header: "X-Webhook-Signature"},
	"standard":     {scheme: signature.Standard, header: "Webhook-Signature", base64: true},
	"github":       {scheme: signature.GitHub, header: "X-Hub-Signature-256"},
	"stripe":       {scheme: signature.Stripe, header: "Stripe-Signature"},
	"slack":        {scheme: signature.Slack, header: "X-Slack-Signature"},
	"shopify":      {scheme: signature.Shopify, header: "X-Shopify-Hmac-Sha256", base64: true},
	"gitlab":       {scheme: signature.GitLab, header: "Webhook-Signature", base64: true},
	"gitlab token": {scheme: signature.GitLab, secret: "a-secret-token-of-34-characters-!!", header: "X-Gitlab-Token", token: true},
	"linear":       {scheme: signature.Linear, header: "Linear-Signature"},
	"basic":        {scheme: signature.Basic, header: "Authorization", token: true},
}

func (d dialect) key() string {
	if d.secret != "" {
		return d.secret
	}
	return secret
}

func (d dialect) encode(sum []byte) string {
	if d.base64 {
		return base64.StdEncoding.EncodeToString(sum)
	}
	return hex.EncodeToString(sum)
}

// parts returns what stands before the MAC, or the token, and that itself.
func (d dialect) parts(t *testing.T, headers http.Header) (prefix string, sum []byte) {
	t.Helper()
	value := headers.Get(d.header)
	if d.token {
		prefix := ""
		if d.scheme == signature.Basic {
			prefix = "Basic "
		}
		return prefix, []byte(strings.TrimPrefix(value, prefix))
	}
	length := 64
	if d.base64 {
		length = 44
	}
	prefix, text := value[:len(value)-length], value[len(value)-length:]
	var err error
	if d.base64 {
		sum, err = base64.StdEncoding.DecodeString(text)
	} else {
		sum, err = hex.DecodeString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return prefix, sum
}

// TestEveryScheme says that the table has no scheme that is not tested here.
func TestEveryScheme(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, d := range dialects {
		covered[d.scheme] = true
	}
	for _, s := range signature.All() {
		if !covered[s.Name] {
			t.Errorf("%s is in no matrix", s.Name)
		}
		if s.Title == "" || s.Group == "" || s.Summary == "" || len(s.Headers) == 0 || len(s.Example) == 0 || s.Retries == "" || len(s.Steps) == 0 || s.Find == "" || s.Reading == "" {
			t.Errorf("%s lacks something that people are told", s.Name)
		}
	}
}

// TestMatrix is the negative matrix: every row under every scheme.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := func(what string, headers http.Header, text []byte, at time.Time, want bool) {
				t.Helper()
				err := signature.Verify(d.scheme, []string{d.key()}, user, headers, text, at)
				if (err == nil) != want {
					t.Errorf("%s: Verify = %v, want accepted %v", what, err, want)
				}
				if bad := (*signature.FormatError)(nil); errors.As(err, &bad) && strings.Contains(err.Error(), headers.Get(d.header)) && headers.Get(d.header) != "" {
					t.Errorf("%s: the error repeats the header: %v", what, err)
				}
			}
			right := signed(t, d.scheme, d.key(), event(now))
			check("as it is", right, body, now, true)
			with := func(values ...string) http.Header {
				headers := right.Clone()
				headers[d.header] = values
				return headers
			}
			prefix, sum := d.parts(t, right)
			make := func(sum []byte) string {
				if d.token {
					return prefix + string(sum)
				}
				return prefix + d.encode(sum)
			}
			for i := range sum {
				wrong := bytes.Clone(sum)
				wrong[i] ^= 1 << (i % 6)
				check(fmt.Sprintf("byte %d flipped", i), with(make(wrong)), body, now, false)
			}
			value := right.Get(d.header)
			half := len(value) - 20
			for what, values := range map[string][]string{
				"one byte short":     {make(sum[:len(sum)-1])},
				"one byte long":      {make(append(bytes.Clone(sum), 'A'))},
				"half":               {make(sum[:len(sum)/2])},
				"a character short":  {value[:len(value)-1]},
				"inner space":        {value[:half] + " " + value[half:]},
				"space for a letter": {value[:half] + " " + value[half+1:]},
				"inner line end":     {value[:half] + "\n" + value[half:]},
				"leading tab":        {"\t" + value},
				"trailing CR":        {value + "\r"},
				"trailing space":     {value + " "},
				"prefix twice":       {prefix + value},
				"twice the same":     {value, value},
				"twice, wrong first": {make(bytes.Repeat([]byte("A"), len(sum))), value},
				"twice, wrong last":  {value, make(bytes.Repeat([]byte("A"), len(sum)))},
				"empty":              {""},
				"none":               {},
				"joined by a comma":  {value + ", " + value},
				"over 4 KiB":         {value + strings.Repeat(" ", 4<<10)},
				"upper-case prefix":  {strings.ToUpper(prefix) + value[len(prefix):]},
				"nonsense":           {"é\x00"},
			} {
				if prefix == "" && (what == "prefix twice" || what == "upper-case prefix") {
					values = []string{value + value}
				}
				if d.scheme == signature.Basic && what == "upper-case prefix" {
					continue // the kind of Authorization has no case
				}
				check(what, with(values...), body, now, false)
			}

			var packed bytes.Buffer
			zip := gzip.NewWriter(&packed)
			zip.Write(body)
			zip.Close()
			for what, text := range map[string]string{
				"CRLF": strings.ReplaceAll(string(body), "\n", "\r\n"), "byte order mark": "\ufeff" + string(body),
				"re-serialised": `{"verbatim": "The export is slow", "n": 1}`, "gzip": packed.String(), "nothing": "",
				"without its end": string(body[:len(body)-1]), "with a zero more": string(body) + "\x00",
			} {
				check(what, right, []byte(text), now, d.token) // where nothing is signed the body is anybody's
			}

			scheme, _ := signature.Find(d.scheme)
			for _, seconds := range []int{-301, -300, -299, 0, 299, 300, 301} {
				at := now.Add(time.Duration(seconds) * time.Second)
				inside := seconds >= -300 && seconds <= 300
				want := inside || !scheme.Timestamped || d.token
				check(fmt.Sprintf("signed %d s from now", seconds), signed(t, d.scheme, d.key(), event(at)), body, now, want)
			}
			for what, key := range map[string]string{"a newline more": d.key() + "\n", "another": strings.Replace(d.key(), "c", "d", 1), "empty": ""} {
				if err := signature.Verify(d.scheme, []string{key}, user, right, body, now); err == nil {
					t.Errorf("secret with %s: accepted", what)
				}
				if what == "empty" {
					if err := signature.Verify(d.scheme, []string{key}, user, right, body, now); !errors.Is(err, signature.ErrNoSecret) {
						t.Errorf("an empty secret = %v, want ErrNoSecret", err)
					}
				}
			}
			if err := signature.Verify(d.scheme, []string{"another secret of some length", d.key()}, user, right, body, now); err != nil {
				t.Errorf("the second of two secrets = %v, want accepted", err)
			}
			if err := signature.Verify(d.scheme, nil, user, right, body, now); !errors.Is(err, signature.ErrNoSecret) {
				t.Errorf("no secret at all = %v, want ErrNoSecret", err)
			}
			check("an empty body", signed(t, d.scheme, d.key(), signature.Event{ID: "msg_1", Time: now, User: user}), nil, now, true)
			for other, o := range dialects { // no signature holds under another scheme, even with the same secret
				if o.scheme == d.scheme || d.secret != "" || o.secret != "" || other == "gitlab" && name == "standard" || other == "standard" && name == "gitlab" {
					continue
				}
				crossed := http.Header{o.header: {value}}
				for _, extra := range []string{"Webhook-Id", "Webhook-Timestamp", "X-Slack-Request-Timestamp", "Linear-Timestamp"} {
					crossed[extra] = signed(t, o.scheme, secret, event(now))[extra]
				}
				plain := d.header == "X-Webhook-Signature" || d.header == "X-Hub-Signature-256" || d.header == "Linear-Signature"
				if plain && (o.scheme == signature.Generic || o.scheme == signature.GitHub || o.scheme == signature.Linear) {
					continue // the same MAC under another header's name
				}
				if err := signature.Verify(o.scheme, []string{secret}, user, crossed, body, now); err == nil {
					t.Errorf("%s’s signature holds for %s", name, other)
				}
			}
		})
	}
}
