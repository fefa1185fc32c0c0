package web_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

const (
	stripeSecret = "whsec_abcdefghijklmnopqrstuvwxyz0123456789"
	sharedSecret = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDEy"
)

// TestSchemeForm: each way in which people say who sends makes the key of it.
func TestSchemeForm(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	form := parse(t, c.get("/w/"+s.home.slug+"/keys/new").body)
	choices := form.Find("input[name=scheme]")
	if choices.Length() != len(signature.All())+1 {
		t.Errorf("%d choices, want every scheme and the URL", choices.Length())
	}
	style, err := os.ReadFile("../static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(signature.Names(), "url") {
		if form.Find(".of-"+name).Length() < 2 || !strings.Contains(string(style), "#scheme-"+name+":checked) .of-"+name) {
			t.Errorf("the form tells nothing of %s when it is chosen", name)
		}
	}
	for i, tt := range []struct {
		choice, secret string
		scheme         string
		apiKey, secre  bool // shown
		inURL          bool
	}{
		{"generic", "", "generic", true, true, false},
		{"generic", sharedSecret, "generic", true, false, false},
		{"standard", "", "standard", true, true, false},
		{"url", "", "generic", true, true, true},
		{"basic", "", "basic", true, true, false},
		{"github", "", "github", false, true, false},
		{"gitlab", "", "gitlab", false, true, false},
		{"github", sharedSecret, "github", false, false, false},
		{"stripe", "", "stripe", false, false, false},
		{"stripe", stripeSecret, "stripe", false, false, false},
		{"slack", "", "slack", false, false, false},
		{"shopify", "", "shopify", false, false, false},
		{"linear", "", "linear", false, false, false},
	} {
		name := "Key " + string(rune('a'+i))
		// What the page hides for a choice may still be ticked.
		fields := []string{
			"name", name, "scheme", tt.choice, "secret", tt.secret, "expires", "never", "form_nonce", s.nonceOf(c),
			"require_signature", "", "ref_pointer", "/id",
		}
		got := c.post("/w/"+s.home.slug+"/keys", fields...)
		page := parse(t, got.body)
		apiKey, secret := page.Find("#api-key").Length() == 1, page.Find("#secret").Length() == 1
		shows := tt.apiKey || tt.secre
		if shows != (got.StatusCode == 200) || !shows && got.StatusCode != 303 || apiKey != tt.apiKey || secret != tt.secre {
			t.Errorf("%s with %q: %d, API key %v, secret %v; want %v, %v: %.200s", tt.choice, tt.secret, got.StatusCode, apiKey, secret, tt.apiKey, tt.secre, got.body)
			continue
		}
		if tt.secret != "" && strings.Contains(got.body, tt.secret) {
			t.Errorf("%s: the pasted secret is shown again", tt.choice)
		}
		var key keyring.Key
		keys, err := s.keys.List(t.Context(), s.home.id)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if k.Name == name {
				key = k
			}
		}
		pasted := tt.secret != ""
		if key.Scheme != tt.scheme || key.AllowInURL != tt.inURL || key.LacksSecret() != (!tt.secre && !pasted) {
			t.Errorf("%s made %+v", tt.choice, key)
		}
		if path := "/w/" + s.home.slug + "/keys/" + key.ID.String(); got.StatusCode == 303 && got.Header.Get("Location") != path {
			t.Errorf("%s leads to %q, want %q", tt.choice, got.Header.Get("Location"), path)
		}
		if again := c.post("/w/"+s.home.slug+"/keys", fields...); again.StatusCode >= 400 {
			t.Errorf("%s sent again = %d %.200s", tt.choice, again.StatusCode, again.body)
		}
	}
	for _, tt := range [][]string{
		{"scheme", "twilio"},
		{"scheme", "standard", "secret", "this is not base64 at all"},
		{"scheme", "stripe", "secret", "short"},
	} {
		got := c.post("/w/"+s.home.slug+"/keys", append([]string{"name", "Wrong", "expires", "never", "form_nonce", s.nonceOf(c)}, tt...)...)
		page := parse(t, got.body)
		if got.StatusCode != 422 || page.Find(".error-summary a, [role=alert] a").Length() == 0 || page.Find("input[name=secret]").AttrOr("value", "") != "" {
			t.Errorf("%q = %d, want 422 with a summary, and no secret in the form", tt, got.StatusCode)
		}
	}
}

// TestPasteSecretForm: the page of a key without a secret asks for it, once.
func TestPasteSecretForm(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "o", Role: "owner"}
	issued, err := s.keys.Issue(t.Context(), by, keyring.Draft{Name: "Billing", Scheme: signature.Stripe}, "")
	if err != nil {
		t.Fatal(err)
	}
	path := "/w/" + s.home.slug + "/keys/" + issued.Key.ID.String()
	page := parse(t, c.get(path).body)
	if page.Find(`form[action$="/secret"]`).Length() != 1 || !strings.Contains(page.Find(".note-warn").Text(), "no secret yet") {
		t.Error("the page does not ask for the secret")
	}
	if auditor := parse(t, s.signIn(s.join("auditor")).get(path).body); auditor.Find(`form[action$="/secret"]`).Length() != 0 {
		t.Error("an auditor is asked for the secret")
	}
	wrong := c.post(path+"/secret", "secret", "too short")
	if doc := parse(t, wrong.body); wrong.StatusCode != 422 || doc.Find("#secret-error").Length() != 1 || strings.Contains(wrong.body, "too short") {
		t.Errorf("a short secret = %d %.200s", wrong.StatusCode, doc.Find("#secret-error").Text())
	}
	if got := c.post(path+"/secret", "secret", " sk_live_"+strings.Repeat("x", 30)+"\n"); got.StatusCode != 303 {
		t.Errorf("a secret = %d, want 303", got.StatusCode)
	}
	after := c.get(path)
	page = parse(t, after.body)
	if text := page.Find("#flash").Text(); !strings.Contains(text, "does not look like a secret for Stripe") {
		t.Errorf("no warning of the form: %q", text)
	}
	if page.Find(`form[action$="/secret"]`).Length() != 0 || strings.Contains(after.body, "sk_live") {
		t.Error("the page asks again, or shows the secret")
	}
	if got := c.post(path+"/secret", "secret", stripeSecret); got.StatusCode != 409 {
		t.Errorf("a second secret = %d, want 409", got.StatusCode)
	}
}

// TestTwoReadings runs the lines of the page for senders: each makes the signature
// that its scheme checks.
func TestTwoReadings(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	page := parse(t, s.client().get("/docs/send").body)
	run := func(id string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", page.Find("#"+id).Text()+"\necho; echo \"${timestamp:-}\"")
		command.Env = append(os.Environ(), "KEYHOOK_SECRET="+sharedSecret)
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		return strings.TrimSpace(string(out))
	}
	body := []byte(`{"event":"order.created","id":"ord_1042"}`)
	text, err := signature.Sign(signature.Generic, sharedSecret, signature.Event{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	if got := run("code-read-text"); "sha256="+got != text.Get("X-Webhook-Signature") {
		t.Errorf("as text: %s, want %s", got, text.Get("X-Webhook-Signature"))
	}
	sum, stamp, _ := strings.Cut(run("code-read-base64"), "\n")
	headers := map[string][]string{"Webhook-Id": {"msg_1042"}, "Webhook-Timestamp": {strings.TrimSpace(stamp)}, "Webhook-Signature": {"v1," + strings.TrimSpace(sum)}}
	if err := signature.Verify(signature.Standard, []string{sharedSecret}, "", headers, body, time.Now()); err != nil {
		t.Errorf("decoded: %v (%s at %s)", err, sum, stamp)
	}
	for _, scheme := range signature.All() {
		if page.Find("#scheme-"+scheme.Name).Length() != 1 {
			t.Errorf("the page says nothing of %s", scheme.Name)
		}
	}
}
