package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

const event = `{"id":"evt_1","event_id":"Ev1","type":"order.created","event":{"type":"message"}}`

// A senderOf signs as a scheme's sender does, for one key.
type senderOf struct {
	s              *stage
	scheme, secret string
	key            keyring.Issued
}

// ofScheme makes a key with a secret of the scheme's form.
func (s *stage) ofScheme(scheme string) senderOf {
	s.t.Helper()
	secret := keyring.NewSecret().Reveal()
	if scheme == "gitlab token" {
		scheme, secret = signature.GitLab, "a-secret-token-of-"+uuid.NewString()
	}
	draft := keyring.Draft{Name: scheme + " " + uuid.NewString()[:8], Scheme: scheme}
	issued, err := s.keys.IssueWith(s.t.Context(), s.by, draft, secret, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return senderOf{s, scheme, secret, issued}
}

// headers returns name, value, … of a request signed with secret at a moment.
func (o senderOf) headers(secret, body string, at time.Time, more ...string) []string {
	o.s.t.Helper()
	signed, err := signature.Sign(o.scheme, secret, signature.Event{Body: []byte(body), ID: "msg_" + strconv.Itoa(len(body)), Time: at, User: o.key.Key.ID.String()})
	if err != nil {
		o.s.t.Fatal(err)
	}
	for name, values := range signed {
		more = append(more, name, values[0])
	}
	return more
}

func (o senderOf) post(body string, more ...string) reply {
	return o.s.post(hook(o.key), body, o.headers(o.secret, body, time.Now(), more...)...)
}

// reason is why the log says that a request was refused.
func (s *stage) reason(got reply) (reason string) {
	s.t.Helper()
	if err := s.Raw().Get(&reason, `SELECT reason FROM deliveries WHERE id = $1`, got.header.Get("X-Request-ID")); err != nil {
		s.t.Fatal(err)
	}
	return reason
}

var everyScheme = append(signature.Names(), "gitlab token")

// TestSchemes goes through the matrix's rows that concern the way of a request,
// under every scheme, over HTTP.
func TestSchemes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other := newStageBeside(s)
	other.workspace = other.addWorkspace()
	other.by.WorkspaceID = other.workspace
	for _, name := range everyScheme {
		o, foreign, off := s.ofScheme(name), other.ofScheme(name), s.ofScheme(name)
		if _, err := s.keys.Deactivate(t.Context(), s.by, off.key.Key.ID, ""); err != nil {
			t.Fatal(err)
		}
		bare := s.ofScheme(map[bool]string{true: signature.Shopify, false: signature.GitHub}[o.scheme == signature.GitHub])
		scheme, _ := signature.Find(o.scheme)
		signed := scheme.Signs && name != "gitlab token"
		at := func(seconds int) []string {
			return o.headers(o.secret, "aged", time.Now().Add(time.Duration(seconds)*time.Second))
		}
		path := hook(o.key)
		wrong := strings.Replace(o.secret, o.secret[10:14], "AAAA", 1)
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		io.WriteString(zip, event)
		zip.Close()

		for what, tt := range map[string]struct {
			got    reply
			status int
			reason string
		}{
			"right":         {o.post(event), 200, ""},
			"an empty body": {o.post(""), 200, ""},
			"chunked":       {s.sendFrom(io.MultiReader(strings.NewReader("in parts")), http.MethodPost, path, o.headers(o.secret, "in parts", time.Now())...), 200, ""},
			"another body":  {s.post(path, event+" ", o.headers(o.secret, event, time.Now())...), statusIf(!signed, 200), reasonIf(signed, "signature_wrong")},
			"CRLF":          {s.post(path, "a\r\nb", o.headers(o.secret, "a\nb", time.Now())...), statusIf(!signed, 200), reasonIf(signed, "signature_wrong")},
			"gzip":          {s.post(path, packed.String(), o.headers(o.secret, event, time.Now(), "Content-Encoding", "gzip")...), 415, "body_encoded"},
			"wrong secret":  {s.post(path, event, o.headers(wrong, event, time.Now())...), 401, "signature_wrong"},
			"secret + \\n":  {o.withNewline(event), 401, "signature_wrong"},
			"nothing":       {s.post(path, event), 401, "no_credentials"},
			"unknown key":   {s.post("/hooks/"+uuid.NewString(), event, o.headers(o.secret, event, time.Now())...), 401, "unknown_key"},
			"another key":   {s.post(hook(foreign.key), event, o.headers(o.secret, event, time.Now())...), 401, ""},
			"deactivated":   {off.post(event), 401, "key_inactive"},
			"299 s old":     {s.post(path, "aged", at(-298)...), 200, ""},
			"299 s ahead":   {s.post(path, "aged", at(299)...), 200, ""},
			"302 s old":     {s.post(path, "aged", at(-302)...), statusIf(!scheme.Timestamped || !signed, 200), reasonIf(scheme.Timestamped && signed, "timestamp_stale")},
			"303 s ahead":   {s.post(path, "aged", at(303)...), statusIf(!scheme.Timestamped || !signed, 200), reasonIf(scheme.Timestamped && signed, "timestamp_stale")},
		} {
			if tt.got.status != tt.status {
				t.Errorf("%s, %s: %d %s, want %d", name, what, tt.got.status, tt.got.text, tt.status)
				continue
			}
			if tt.reason != "" && s.reason(tt.got) != tt.reason {
				t.Errorf("%s, %s: reason %s, want %s", name, what, s.reason(tt.got), tt.reason)
			}
		}
		one := func(got reply) string {
			return changing.ReplaceAllString(got.text, `"$1":""`) + got.header.Get("WWW-Authenticate")
		}
		first := one(s.post(path, event, o.headers(wrong, event, time.Now())...))
		for what, got := range map[string]reply{
			"an unknown key":   s.post("/hooks/"+uuid.NewString(), event, o.headers(wrong, event, time.Now())...),
			"a deactivated":    s.post(hook(off.key), event, off.headers(off.secret, event, time.Now())...),
			"another scheme's": s.post(hook(bare.key), event, o.headers(o.secret, event, time.Now())...),
			"another's":        s.post(hook(foreign.key), event, o.headers(o.secret, event, time.Now())...),
		} {
			if text := one(got); got.status != 401 || text != first {
				t.Errorf("%s, %s key: %d %s, want the one 401: %s", name, what, got.status, text, first)
			}
		}
		for _, header := range o.headers(o.secret, event, time.Now())[:1] {
			twice := o.headers(o.secret, event, time.Now())
			for i := 0; i < len(twice); i += 2 {
				if twice[i] == header {
					twice = append(twice, header, twice[i+1])
					break
				}
			}
			if got := s.post(path, event, twice...); got.status != 401 || s.reason(got) != "signature_format" || !strings.Contains(got.text, "must be sent once") {
				t.Errorf("%s, %s twice: %d %s, want 401 with a hint", name, header, got.status, got.text)
			}
		}
	}
	const leaked = `SELECT count(*) FROM deliveries WHERE deliveries::text LIKE '%a-secret-token-of%' OR deliveries::text LIKE '%whsec_%'`
	if n := s.count(leaked); n != 0 {
		t.Errorf("%d deliveries hold a secret", n)
	}
}

func (o senderOf) withNewline(body string) reply {
	encoded, prefixed := strings.CutPrefix(o.secret, "whsec_")
	switch {
	case o.scheme == signature.GitLab && !prefixed: // a header can't hold a line end
		return o.s.post(hook(o.key), body, "X-Gitlab-Token", o.secret+"n")
	case o.scheme == signature.Standard || o.scheme == signature.GitLab: // the key that the secret decodes to
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			o.s.t.Fatal(err)
		}
		longer := "whsec_" + base64.StdEncoding.EncodeToString(append(key, '\n'))
		return o.s.post(hook(o.key), body, o.headers(longer, body, time.Now())...)
	}
	return o.s.post(hook(o.key), body, o.headers(o.secret+"\n", body, time.Now())...)
}

func statusIf(ok bool, status int) int {
	if ok {
		return status
	}
	return 401
}

func reasonIf(on bool, reason string) string {
	if on {
		return reason
	}
	return ""
}

// TestOverlap: the previous secret holds until its overlap is over.
func TestOverlap(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, name := range everyScheme {
		o := s.ofScheme(name)
		s.exec(`UPDATE webhook_key_credentials SET ended_at = now() WHERE webhook_key_id = $1 AND kind = 'secret'`, o.key.Key.ID)
		if got := o.post(event); got.status != 401 || s.reason(got) != "credential_ended" {
			t.Errorf("%s: an ended secret = %d %s", name, got.status, got.text)
		}
		old, next := o.secret, strings.Replace(o.secret, o.secret[8:12], "BBBB", 1)
		if _, _, err := s.keys.PasteSecret(t.Context(), s.by, o.key.Key.ID, next); err != nil {
			t.Fatal(err)
		}
		s.exec(`UPDATE webhook_key_credentials SET ended_at = NULL, expires_at = now() + interval '1 hour' WHERE webhook_key_id = $1 AND kind = 'secret' AND generation = 1`, o.key.Key.ID)
		for secret, generation := range map[string]int{old: 1, next: 2} {
			got := s.post(hook(o.key), "x", o.headers(secret, "x", time.Now())...)
			if got.status != 200 || s.count(`SELECT credential_generation FROM deliveries WHERE id = $1`, got.body.RequestID) != generation {
				t.Errorf("%s: secret %d inside the overlap = %d %s", name, generation, got.status, got.text)
			}
		}
		s.exec(`UPDATE webhook_key_credentials SET expires_at = now() - interval '1 second' WHERE webhook_key_id = $1 AND generation = 1 AND kind = 'secret'`, o.key.Key.ID)
		if got := s.post(hook(o.key), "y", o.headers(old, "y", time.Now())...); got.status != 401 || s.reason(got) != "credential_expired" {
			t.Errorf("%s: the old secret after its overlap = %d %s", name, got.status, got.text)
		}
	}
}

// TestSecretMissing: a provider's key comes before its secret, and refuses.
func TestSecretMissing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, name := range signature.Names() {
		scheme, _ := signature.Find(name)
		issued := s.issue(keyring.Draft{Name: name, Scheme: name})
		if got := issued.APIKey.Reveal() != ""; got != scheme.HasAPIKey {
			t.Errorf("%s: an API key is %v, want %v", name, got, scheme.HasAPIKey)
		}
		if got := issued.Secret.Reveal() != ""; got != scheme.MakesSecret {
			t.Errorf("%s: a secret is %v, want %v", name, got, scheme.MakesSecret)
		}
		if scheme.MakesSecret {
			continue
		}
		secret := keyring.NewSecret().Reveal()
		o := senderOf{s, name, secret, issued}
		got := o.post(event)
		if got.status != 401 || s.reason(got) != "secret_missing" {
			t.Errorf("%s before its secret = %d %s, want 401, secret_missing", name, got.status, s.reason(got))
		}
		if unknown := s.post("/hooks/"+uuid.NewString(), event, o.headers(secret, event, time.Now())...); unknown.body.Detail != got.body.Detail || fmt.Sprint(unknown.body.Hints) != fmt.Sprint(got.body.Hints) {
			t.Errorf("%s before its secret differs from an unknown key: %s, %s", name, got.text, unknown.text)
		}
		if _, _, err := s.keys.PasteSecret(t.Context(), s.by, issued.Key.ID, secret); err != nil {
			t.Fatal(err)
		}
		if got := o.post(event); got.status != 200 { // from the very next request on
			t.Errorf("%s with its secret = %d %s", name, got.status, got.text)
		}
	}
}

// TestNoDowngrade: an API key is no way around a scheme.
func TestNoDowngrade(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	generic := s.issue(keyring.Draft{Name: "generic", AllowInURL: true})
	standard := s.ofScheme(signature.Standard)
	github := s.ofScheme(signature.GitHub)
	token := s.ofScheme("gitlab token")
	s.exec(`UPDATE webhook_keys SET require_signature = true WHERE id = $1`, token.key.Key.ID)
	apiKey := standard.key.APIKey.Reveal()
	for what, tt := range map[string]struct {
		got    reply
		status int
		reason string
	}{
		"standard, API key alone":         {s.post(hook(standard.key), event, "X-API-Key", apiKey), 401, "signature_missing"},
		"standard, both":                  {standard.post(event, "X-API-Key", apiKey), 200, ""},
		"standard, another's API key":     {standard.post(event, "X-API-Key", generic.APIKey.Reveal()), 401, "key_mismatch"},
		"standard, malformed API key":     {standard.post(event, "X-API-Key", "khk_x"), 401, "malformed_api_key"},
		"standard, API key to signals":    {s.post(signals, verbatim, "X-API-Key", apiKey), 200, ""},
		"github, an API key along":        {github.post(event, "X-API-Key", generic.APIKey.Reveal()), 200, ""},
		"github, API key alone":           {s.post(hook(github.key), event, "X-API-Key", generic.APIKey.Reveal()), 401, "signature_missing"},
		"github, API key in the URL":      {s.post(hook(github.key)+"/"+generic.APIKey.Reveal(), event, github.headers(github.secret, event, time.Now())...), 401, "key_mismatch"},
		"github, anything in the URL":     {s.post(hook(github.key)+"/x", event, github.headers(github.secret, event, time.Now())...), 401, ""},
		"github, a generic signature":     {s.post(hook(github.key), event, "X-Webhook-Signature", sign(t, github.secret, event)), 401, "signature_missing"},
		"generic, GitHub's":               {s.post(hook(generic), event, "X-Hub-Signature-256", sign(t, generic.Secret.Reveal(), event)), 401, "signature_missing"},
		"generic, another scheme's along": {s.post(hook(generic), event, "X-API-Key", generic.APIKey.Reveal(), "Stripe-Signature", "t=1"), 200, ""},
		"a token where a signature must":  {token.post(event), 403, "signature_required"},
		"signals, GitHub's secret":        {s.post(signals, verbatim, "X-Webhook-Signature", sign(t, github.secret, verbatim), "X-Workspace-ID", s.workspace.String()), 401, "signature_wrong"},
	} {
		if tt.got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", what, tt.got.status, tt.got.text, tt.status)
		} else if tt.reason != "" && s.reason(tt.got) != tt.reason {
			t.Errorf("%s: reason %s, want %s", what, s.reason(tt.got), tt.reason)
		}
	}
}

// TestUnknownScheme: a key that a later release made is for its instances.
func TestUnknownScheme(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "later"})
	s.exec(`UPDATE webhook_keys SET scheme = 'carrier-pigeon' WHERE id = $1`, key.Key.ID)
	if got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("= %d %s, want 503", got.status, got.text)
	}
}
