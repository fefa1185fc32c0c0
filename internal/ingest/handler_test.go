package ingest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/keyring"
)

const verbatim = `{"verbatim":"The export is slow"}`

func pointer[T any](v T) *T { return &v }

// TestAnswers is the table of what is answered to what.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	open := s.issue(keyring.Draft{Name: "open", OtherSources: []string{"survey"}})
	inURL := s.issue(keyring.Draft{Name: "in url", AllowInURL: true})
	strict := s.issue(keyring.Draft{Name: "strict", RequireSignature: true})
	fenced := s.issue(keyring.Draft{Name: "fenced", AllowedCIDRs: []string{"192.0.2.0/24"}})
	pointed := s.issue(keyring.Draft{Name: "pointed", RefPointer: "/event/id"})
	off := s.issue(keyring.Draft{Name: "off"})
	if _, err := s.keys.Deactivate(t.Context(), s.by, off.Key.ID, ""); err != nil {
		t.Fatal(err)
	}
	apiKey, secret := open.APIKey.Reveal(), open.Secret.Reveal()
	workspace := s.workspace.String()
	wrong := keyring.NewAPIKey().Reveal()
	signed := sign(t, secret, verbatim)

	for _, tt := range []struct {
		name    string
		path    string
		body    string
		headers []string
		status  int
		code    string
		detail  string // what it must hold
		hint    string // likewise; "": no hints at all
	}{
		{"api key", hook(open), "anything", []string{"X-API-Key", apiKey}, 200, "", "", ""},
		{"bearer", hook(open), "anything", []string{"Authorization", "bearer " + apiKey}, 200, "", "", ""},
		{"the same key twice", hook(open), "x", []string{"Authorization", "Bearer " + apiKey, "X-API-Key", apiKey}, 200, "", "", ""},
		{"signature", hook(open), verbatim, []string{"X-Webhook-Signature", signed}, 200, "", "", ""},
		{"bare hex", hook(open), verbatim, []string{"X-Webhook-Signature", strings.TrimPrefix(signed, "sha256=")}, 200, "", "", ""},
		{"both", hook(open), verbatim, []string{"X-Webhook-Signature", signed, "X-API-Key", apiKey}, 200, "", "", ""},
		{"empty body", hook(open), "", []string{"X-API-Key", apiKey}, 200, "", "", ""},
		{"identity", hook(open), "x", []string{"X-API-Key", apiKey, "Content-Encoding", "identity"}, 200, "", "", ""},
		{"in the URL", hook(inURL) + "/" + inURL.APIKey.Reveal(), "x", nil, 200, "", "", ""},
		{"strict, signed", hook(strict), "x", []string{"X-Webhook-Signature", sign(t, strict.Secret.Reveal(), "x")}, 200, "", "", ""},
		{"from an allowed address", hook(fenced), "x", []string{"X-API-Key", fenced.APIKey.Reveal(), "X-Forwarded-For", "192.0.2.7"}, 200, "", "", ""},
		{"signals, api key", signals, verbatim, []string{"X-API-Key", apiKey}, 200, "", "", ""},
		{"signals, signature", signals, verbatim, []string{"X-Webhook-Signature", signed, "X-Workspace-ID", workspace}, 200, "", "", ""},
		{"signals, narrowed", signals, verbatim, []string{"X-Webhook-Signature", signed, "X-Workspace-ID", workspace, "X-Webhook-Key-ID", open.Key.ID.String()}, 200, "", "", ""},
		{"signals, another source", signals, `{"verbatim":"x","source":"survey"}`, []string{"X-API-Key", apiKey}, 200, "", "", ""},
		{"signals, text in the URL", signals + "/" + inURL.APIKey.Reveal(), " plain words ", []string{"Content-Type", "text/plain"}, 200, "", "", ""},
		{"signals, JSON in the URL", signals + "/" + inURL.APIKey.Reveal(), verbatim, []string{"Content-Type", "application/json; charset=utf-8"}, 200, "", "", ""},

		{"not JSON", signals, "verbatim", []string{"X-API-Key", apiKey}, 400, "INVALID_PAYLOAD", "not JSON", ""},
		{"empty", signals, "", []string{"X-API-Key", apiKey}, 400, "INVALID_PAYLOAD", "", ""},
		{"twice", signals, `{"verbatim":"x","verbatim":"y"}`, []string{"X-API-Key", apiKey}, 400, "INVALID_PAYLOAD", "there before", ""},
		{"pointer into no JSON", hook(pointed), "a=b", []string{"X-API-Key", pointed.APIKey.Reveal()}, 400, "INVALID_PAYLOAD", "", ""},
		{"JSON in the URL, not JSON", signals + "/" + inURL.APIKey.Reveal(), "x", []string{"Content-Type", "application/json"}, 400, "INVALID_PAYLOAD", "", ""},
		{"field missing", signals, `{}`, []string{"X-API-Key", apiKey}, 400, "VALIDATION_ERROR", "verbatim is missing", ""},
		{"field wrong", signals, `{"verbatim":"x","severity":"huge"}`, []string{"X-API-Key", apiKey}, 400, "VALIDATION_ERROR", "severity", ""},
		{"text in the URL, blank", signals + "/" + inURL.APIKey.Reveal(), " \n ", []string{"Content-Type", "text/plain"}, 400, "VALIDATION_ERROR", "verbatim", ""},
		{"reserved ref", hook(open), "x", []string{"X-API-Key", apiKey, "Idempotency-Key", "sha256:1"}, 400, "VALIDATION_ERROR", "Idempotency-Key", ""},
		{"two refs", hook(open), "x", []string{"X-API-Key", apiKey, "Idempotency-Key", "1", "Idempotency-Key", "2"}, 400, "VALIDATION_ERROR", "Idempotency-Key", ""},
		{"pointer to an object", hook(pointed), `{"event":{"id":{}}}`, []string{"X-API-Key", pointed.APIKey.Reveal()}, 400, "VALIDATION_ERROR", "/event/id", ""},

		{"nothing", hook(open), "x", nil, 401, "UNAUTHORIZED", "", "No credentials"},
		{"nothing, signals", signals, "x", nil, 401, "UNAUTHORIZED", "", "No credentials"},
		{"wrong api key", hook(open), "x", []string{"X-API-Key", wrong}, 401, "UNAUTHORIZED", "", ""},
		{"short api key", hook(open), "x", []string{"X-API-Key", wrong[:41]}, 401, "UNAUTHORIZED", "", "41 characters where 42"},
		{"secret as api key", hook(open), "x", []string{"X-API-Key", secret}, 401, "UNAUTHORIZED", "", "signing secret"},
		{"two api keys", hook(open), "x", []string{"X-API-Key", apiKey, "Authorization", "Bearer " + wrong}, 401, "UNAUTHORIZED", "", "Two different"},
		{"another key's api key", hook(strict), "x", []string{"X-API-Key", apiKey}, 401, "UNAUTHORIZED", "", ""},
		{"inactive", hook(off), "x", []string{"X-API-Key", off.APIKey.Reveal()}, 401, "UNAUTHORIZED", "", ""},
		{"inactive, signed", hook(off), "x", []string{"X-Webhook-Signature", sign(t, off.Secret.Reveal(), "x")}, 401, "UNAUTHORIZED", "", ""},
		{"wrong signature, right api key", hook(open), "x", []string{"X-Webhook-Signature", signed, "X-API-Key", apiKey}, 401, "UNAUTHORIZED", "", ""},
		{"right signature, wrong api key", hook(open), verbatim, []string{"X-Webhook-Signature", signed, "X-API-Key", wrong}, 401, "UNAUTHORIZED", "", ""},
		{"signature and another key's api key", hook(open), verbatim, []string{"X-Webhook-Signature", signed, "X-API-Key", strict.APIKey.Reveal()}, 401, "UNAUTHORIZED", "", ""},
		{"unreadable signature", hook(open), "x", []string{"X-Webhook-Signature", "v1=00", "X-API-Key", apiKey}, 401, "UNAUTHORIZED", "", "64 hexadecimal"},
		{"two signatures", hook(open), verbatim, []string{"X-Webhook-Signature", signed, "X-Webhook-Signature", signed}, 401, "UNAUTHORIZED", "", "sent once"},
		{"not in the URL", hook(open) + "/" + apiKey, "x", nil, 401, "UNAUTHORIZED", "", ""},
		{"no such key", "/hooks/" + workspace, "x", []string{"X-API-Key", apiKey}, 401, "UNAUTHORIZED", "", ""},
		{"no key id at all", "/hooks/nonsense", "x", []string{"X-API-Key", apiKey}, 401, "UNAUTHORIZED", "", ""},
		{"no workspace", signals, verbatim, []string{"X-Webhook-Signature", signed}, 401, "UNAUTHORIZED", "", "without X-Workspace-ID"},
		{"no workspace, api key", signals, verbatim, []string{"X-Webhook-Signature", signed, "X-API-Key", apiKey}, 401, "UNAUTHORIZED", "", "without X-Workspace-ID"},
		{"unknown workspace", signals, verbatim, []string{"X-Webhook-Signature", signed, "X-Workspace-ID", open.Key.ID.String()}, 401, "UNAUTHORIZED", "", ""},
		{"workspace is no id", signals, verbatim, []string{"X-Webhook-Signature", signed, "X-Workspace-ID", "acme"}, 401, "UNAUTHORIZED", "", "X-Workspace-ID is not an id"},
		{"narrowed to another", signals, verbatim, []string{"X-Webhook-Signature", signed, "X-Workspace-ID", workspace, "X-Webhook-Key-ID", strict.Key.ID.String()}, 401, "UNAUTHORIZED", "", ""},
		{"bad JSON, wrong key", signals, "{", []string{"X-API-Key", wrong}, 401, "UNAUTHORIZED", "", ""},

		{"signature demanded", hook(strict), "x", []string{"X-API-Key", strict.APIKey.Reveal()}, 403, "FORBIDDEN", "signature", ""},
		{"address", hook(fenced), "x", []string{"X-API-Key", fenced.APIKey.Reveal()}, 403, "FORBIDDEN", "address", ""},
		{"source", signals, `{"verbatim":"x","source":"open2"}`, []string{"X-API-Key", apiKey}, 403, "FORBIDDEN", "source", ""},
		{"too large", hook(open), strings.Repeat("x", maxBody+1), []string{"X-API-Key", apiKey}, 413, "BODY_TOO_LARGE", "", ""},
		{"gzip", hook(open), "x", []string{"X-API-Key", apiKey, "Content-Encoding", "gzip"}, 415, "UNSUPPORTED_ENCODING", "", ""},
	} {
		got := s.post(tt.path, tt.body, tt.headers...)
		if got.status != tt.status || got.body.Code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, got.status, got.text, tt.status, tt.code)
			continue
		}
		if !strings.Contains(got.body.Detail, tt.detail) {
			t.Errorf("%s: detail %q, want it to hold %q", tt.name, got.body.Detail, tt.detail)
		}
		if hints := strings.Join(got.body.Hints, " "); (tt.hint == "") != (hints == "") || !strings.Contains(hints, tt.hint) {
			t.Errorf("%s: hints %q, want %q", tt.name, hints, tt.hint)
		}
		s.checkForm(tt.name, got)
		for _, text := range []string{apiKey, secret, wrong, inURL.APIKey.Reveal()} {
			if strings.Contains(got.text, text) {
				t.Errorf("%s: the answer repeats a credential", tt.name)
			}
		}
	}
	const leaked = `SELECT count(*) FROM deliveries WHERE deliveries::text LIKE '%' || $1 || '%'`
	for _, text := range []string{apiKey, secret, wrong, inURL.APIKey.Reveal()} {
		if n := s.count(leaked, text); n != 0 {
			t.Errorf("%d deliveries hold a credential", n)
		}
	}
}

// checkForm checks what every answer has, and that its delivery is in the log.
func (s *stage) checkForm(name string, got reply) {
	s.t.Helper()
	id := got.header.Get("X-Request-ID")
	if id == "" || got.body.RequestID != id {
		s.t.Errorf("%s: X-Request-ID %q, requestId %q", name, id, got.body.RequestID)
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE id = $1 AND status = $2`, id, got.status); n != 1 {
		s.t.Errorf("%s: %d deliveries %s with status %d, want 1", name, n, id, got.status)
	}
	if got.status == 200 {
		if !got.body.Success || got.body.Message != "Signal received" || got.body.SignalID == "" || got.body.ReceivedAt == "" {
			s.t.Errorf("%s: %s", name, got.text)
		}
		return
	}
	section := "https://keyhook.example.com/docs/errors#" + strings.ToLower(strings.ReplaceAll(got.body.Code, "_", "-"))
	b := got.body
	if got.header.Get("Content-Type") != "application/problem+json" || b.Type != section || b.Status != got.status ||
		b.Title == "" || b.Detail == "" || b.Error != b.Detail || b.ServerTime == "" {
		s.t.Errorf("%s: %s %s", name, got.header.Get("Content-Type"), got.text)
	}
	if authenticate := got.header.Get("WWW-Authenticate"); (got.status == 401) != (authenticate == `Bearer realm="keyhook"`) {
		s.t.Errorf("%s: WWW-Authenticate %q", name, authenticate)
	}
}

func TestChunkedBodyOverTheLimit(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "open"})
	chunked := func(size int) io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, size))) }
	if got := s.sendFrom(chunked(maxBody+1), http.MethodPost, hook(key), "X-API-Key", key.APIKey.Reveal()); got.status != 413 || got.body.Code != "BODY_TOO_LARGE" {
		t.Errorf("over the limit = %d %s, want 413", got.status, got.text)
	}
	if got := s.sendFrom(chunked(maxBody), http.MethodPost, hook(key), "X-API-Key", key.APIKey.Reveal()); got.status != 200 {
		t.Errorf("at the limit = %d %s, want 200", got.status, got.text)
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE octet_length(body) = $1 AND body_sha256 = sha256(body)`, maxBody); n != 1 {
		t.Errorf("%d whole bodies stored, want 1", n)
	}
}

var changing = regexp.MustCompile(`"(requestId|serverTime)":"[^"]*"`)

// TestOne401 sends requests of one form that fail for every reason there is.
func TestOne401(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	good := s.issue(keyring.Draft{Name: "good"})
	off := s.issue(keyring.Draft{Name: "off"})
	old := s.issue(keyring.Draft{Name: "old"})
	if _, err := s.keys.Deactivate(t.Context(), s.by, off.Key.ID, ""); err != nil {
		t.Fatal(err)
	}
	s.exec(`UPDATE webhook_keys SET expires_at = now() - interval '1 second' WHERE id = $1`, old.Key.ID)
	unknown := s.addWorkspace().String()
	signature := func(key keyring.Issued) string { return sign(t, key.Secret.Reveal(), "body") }
	mac := sign(t, keyring.NewSecret().Reveal(), "body")
	workspace := s.workspace.String()

	for form, cases := range map[string]map[string]reply{
		"api key": {
			"unknown key id":  s.post("/hooks/"+unknown, "body", "X-API-Key", good.APIKey.Reveal()),
			"malformed id":    s.post("/hooks/x", "body", "X-API-Key", good.APIKey.Reveal()),
			"unknown":         s.post(hook(good), "body", "X-API-Key", keyring.NewAPIKey().Reveal()),
			"another key's":   s.post(hook(good), "body", "X-API-Key", old.APIKey.Reveal()),
			"inactive":        s.post(hook(off), "body", "X-API-Key", off.APIKey.Reveal()),
			"expired":         s.post(hook(old), "body", "X-API-Key", old.APIKey.Reveal()),
			"not in URL":      s.post(hook(good)+"/"+good.APIKey.Reveal(), "body"),
			"signals":         s.post(signals, "body", "X-API-Key", keyring.NewAPIKey().Reveal()),
			"signals, off":    s.post(signals, "body", "X-API-Key", off.APIKey.Reveal()),
			"signals, in URL": s.post(signals+"/"+good.APIKey.Reveal(), "body"),
		},
		"signature": {
			"unknown key id": s.post("/hooks/"+unknown, "body", "X-Webhook-Signature", mac),
			"wrong":          s.post(hook(good), "body", "X-Webhook-Signature", mac),
			"inactive":       s.post(hook(off), "body", "X-Webhook-Signature", signature(off)),
			"expired":        s.post(hook(old), "body", "X-Webhook-Signature", signature(old)),
			"no workspace":   s.post(signals, "body", "X-Webhook-Signature", mac, "X-Workspace-ID", good.Key.ID.String()),
			"no keys":        s.post(signals, "body", "X-Webhook-Signature", mac, "X-Workspace-ID", unknown),
			"wrong, signals": s.post(signals, "body", "X-Webhook-Signature", mac, "X-Workspace-ID", workspace),
			"off, signals":   s.post(signals, "body", "X-Webhook-Signature", signature(off), "X-Workspace-ID", workspace),
			"old, narrowed":  s.post(signals, "body", "X-Webhook-Signature", signature(old), "X-Workspace-ID", workspace, "X-Webhook-Key-ID", old.Key.ID.String()),
		},
	} {
		var first string
		for name, got := range cases {
			got.header.Del("Date")
			got.header.Del("X-Request-ID")
			text := fmt.Sprint(got.status, got.header, changing.ReplaceAllString(got.text, `"$1":""`))
			if got.status != 401 {
				t.Errorf("%s, %s: %d, want 401", form, name, got.status)
			}
			if first == "" {
				first = text
			}
			if diff := cmp.Diff(first, text); diff != "" {
				t.Errorf("%s, %s differs from another 401:\n%s", form, name, diff)
			}
		}
	}
}

func TestRefusedBodyIsKept(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	body := strings.Repeat("refused ", 12<<10)
	presented := sign(t, keyring.NewSecret().Reveal(), body)
	got := s.post(hook(key), body, "X-Webhook-Signature", presented)
	delivery, found, err := s.events.FirstOf(t.Context(), s.workspace, key.Key.ID)
	if err != nil || !found || delivery.ID.String() != got.header.Get("X-Request-ID") || delivery.Reason != "signature_wrong" || delivery.Reason.Explain() == "" {
		t.Fatalf("FirstOf = %+v, %v, %v", delivery, found, err)
	}
	kept, found, err := s.events.KeptOf(t.Context(), s.workspace, delivery.ID)
	if err != nil || !found || string(kept.Body) != body[:64<<10] || kept.Signature != presented {
		t.Errorf("KeptOf = %d bytes, %q, %v, %v", len(kept.Body), kept.Signature, found, err)
	}
}
