package web_test

import (
	"strings"
	"testing"
	"time"

	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// value is what a form's field holds.
func value(t *testing.T, got answer, field string) string {
	t.Helper()
	text, _ := parse(t, got.body).Find("input[name=" + field + "]").Attr("value")
	return text
}

// TestLeaked goes from the question to the page that a report lands on and a new
// pair, sends each form again, and looks at what the key's page says.
func TestLeaked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c, auditor := s.signIn(s.home.owner), s.signIn(s.join("auditor"))
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	s.Raw().MustExec(`INSERT INTO delivery_tallies VALUES ($1, $2, date_trunc('hour', now(), 'UTC'), 1, 'accepted', '', '192.0.2.1', 7, 0, 0, now(), now(), '{0,0,0,0,5,0,0,0,0,0,0,0}')`, s.home.key.ID, s.home.id)
	ask := c.get(path + "/leak")
	if !strings.Contains(ask.body, "Requests with these credentials get 401 from now on. It can’t be undone.") || strings.Contains(ask.body, `name="confirm"`) ||
		parse(t, ask.body).Find("main input:not([type=hidden])").Length() != 0 || parse(t, ask.body).Find("form.ask [type=submit]").Length() != 1 {
		t.Errorf("the question: %d", ask.StatusCode)
	}
	report := []string{"seen", value(t, ask, "seen")}
	if got := c.post(path+"/leak", "seen", "7"); got.StatusCode != 409 || !strings.Contains(got.body, "other credentials meanwhile") || value(t, got, "seen") != report[1] {
		t.Errorf("a form of another time = %d", got.StatusCode)
	}
	for range 2 { // sent again it lands on the same page
		if got := c.post(path+"/leak", report...); got.StatusCode != 303 || got.Header.Get("Location") != path+"/leaked" {
			t.Errorf("the report = %d to %s", got.StatusCode, got.Header.Get("Location"))
		}
	}
	landed := c.get(path + "/leaked")
	for _, text := range []string{"They have stopped, for good", s.home.key.Hint, "Accepted <b>8</b>", "Nobody has tried them since", "Make a new pair", "None for now"} {
		if !strings.Contains(landed.body, text) {
			t.Errorf("the page after the report = %d lacks %q", landed.StatusCode, text)
		}
	}
	if got := auditor.get(path + "/leaked"); got.StatusCode != 200 || strings.Contains(got.body, "Make a new pair") {
		t.Errorf("the page for an auditor = %d, or offers what would be refused", got.StatusCode)
	}
	s.Raw().MustExec(`INSERT INTO delivery_tallies VALUES ($1, $2, date_trunc('hour', now(), 'UTC'), 1, 'refused', 'credential_leaked', '192.0.2.1', 5, 0, 0, now(), now(), '{0,0,0,0,5,0,0,0,0,0,0,0}')`, s.home.key.ID, s.home.id)
	if part := c.get(path + "/leaked/attempts"); part.StatusCode != 200 || !strings.Contains(part.body, "5 requests tried them") || strings.Contains(part.body, "<html") {
		t.Errorf("the attempts: %d %s", part.StatusCode, part.body)
	}
	key := c.get(path)
	if !strings.Contains(key.body, "Its credentials leaked and have stopped") || strings.Contains(key.body, `/rotate"`) || strings.Contains(key.body, `/leak"`) || !strings.Contains(key.body, "reported the credentials as leaked") {
		t.Error("the key’s page does not tell of the leak, or offers to rotate what is gone")
	}
	if got := c.get("/w/" + s.home.slug + "/keys"); !strings.Contains(got.body, "Leaked") {
		t.Error("the list does not say Leaked")
	}
	if got := c.get(path + "/rotate"); strings.Contains(got.body, `name="overlap"`) || !strings.Contains(got.body, path+"/leaked") {
		t.Error("the page for a rotation offers one")
	}
	if got := c.get(path + "/leak"); strings.Contains(got.body, "form class=\"card ask\"") || !strings.Contains(got.body, "reported as leaked already") {
		t.Error("the question is asked again")
	}

	renew := []string{"form_nonce", value(t, landed, "form_nonce"), "seen", value(t, landed, "seen")}
	got := c.post(path+"/leaked/renew", renew...)
	shown := parse(t, got.body)
	apiKey, secret := shown.Find("#api-key").Text(), shown.Find("#secret").Text()
	if got.StatusCode != 200 || !strings.HasPrefix(apiKey, "khk_") || !strings.HasPrefix(secret, "whsec_") || !strings.Contains(got.Header.Get("Cache-Control"), "no-store") ||
		!strings.Contains(got.body, "The leaked ones stay stopped") || shown.Find("[data-after-wipe]").Length() != 1 {
		t.Errorf("the new pair = %d", got.StatusCode)
	}
	again := c.post(path+"/leaked/renew", renew...)
	if again.StatusCode != 200 || strings.Contains(again.body, apiKey) || strings.Contains(again.body, secret) || !strings.Contains(again.body, "already shown to <bdi>Home owner</bdi>") {
		t.Errorf("the form for a new pair sent again = %d", again.StatusCode)
	}
	if got := c.post(path+"/leaked/renew", "form_nonce", "another", "seen", "2"); got.StatusCode != 409 {
		t.Errorf("another form from before = %d, want 409", got.StatusCode)
	}
	if got := c.post(path+"/leak", report...); got.StatusCode != 303 {
		t.Errorf("the old report sent again = %d", got.StatusCode)
	}
	after := c.get(path)
	if strings.Contains(after.body, "Its credentials leaked") || !strings.Contains(after.body, `/rotate"`) || !strings.Contains(after.body, path+"/leaked") {
		t.Error("with the new pair the key’s page does not work on, or does not lead to what leaked")
	}
	if got := c.get(path + "/leaked"); got.StatusCode != 200 || strings.Contains(got.body, "Make a new pair") {
		t.Errorf("the page of the leak afterwards = %d, or offers another pair", got.StatusCode)
	}
	if got := c.post(path+"/saved", "saved", "true"); got.StatusCode != 303 {
		t.Errorf("saved = %d", got.StatusCode)
	}
}

// TestLeakedProvider: the secret that the provider makes anew is pasted, is not
// repeated when it is wrong, and earlier reports stay in reach.
func TestLeakedProvider(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	old, next := "whsec_abcdefghijklmnopqrstuvwxyz0123456789", "whsec_zyxwvutsrqponmlkjihgfedcba9876543210"
	issued, err := s.keys.IssueWith(t.Context(), s.owner(), keyring.Draft{Name: "billing", Scheme: signature.Stripe}, old, "")
	if err != nil {
		t.Fatal(err)
	}
	path := "/w/" + s.home.slug + "/keys/" + issued.Key.ID.String()
	if got := c.post(path+"/leak", "seen", "1"); got.StatusCode != 303 {
		t.Fatalf("the report = %d", got.StatusCode)
	}
	landed := c.get(path + "/leaked")
	if !strings.Contains(landed.body, "Stripe makes its own secrets") || strings.Contains(landed.body, "Make a new") && !strings.Contains(landed.body, "Make a new one there") {
		t.Error("the choice is not the one of a provider’s key")
	}
	form := []string{"form_nonce", value(t, landed, "form_nonce"), "seen", "1", "secret"}
	for name, secret := range map[string]string{"none": "", "a short one": "too-short-x9", "the leaked one": old} {
		got := c.post(path+"/leaked/renew", append(form, secret)...)
		if got.StatusCode != 422 || parse(t, got.body).Find("#secret-error").Length() != 1 || secret != "" && strings.Contains(got.body, secret) {
			t.Errorf("with %s = %d", name, got.StatusCode)
		}
	}
	for range 2 {
		if got := c.post(path+"/leaked/renew", append(form, next)...); got.StatusCode != 303 || got.Header.Get("Location") != path {
			t.Errorf("the new secret = %d to %s", got.StatusCode, got.Header.Get("Location"))
		}
	}
	first := c.get(path + "/leaked")
	if _, err := s.keys.ReportLeaked(t.Context(), s.owner(), issued.Key.ID, 0); err != nil {
		t.Fatal(err)
	}
	latest, earlier := c.get(path+"/leaked"), c.get(path+"/leaked?earlier=1")
	fingerprint := issued.Key.Fingerprint
	if strings.Contains(parse(t, latest.body).Find(".note-bad").Text(), fingerprint) || !strings.Contains(parse(t, earlier.body).Find(".note-bad").Text(), fingerprint) ||
		!strings.Contains(parse(t, first.body).Find(".note-bad").Text(), fingerprint) || !strings.Contains(latest.body, "?earlier=1") {
		t.Error("the reports are not told apart")
	}
	for _, odd := range []string{"-1", "99", "x"} {
		if got := c.get(path + "/leaked?earlier=" + odd); got.StatusCode != 200 {
			t.Errorf("earlier=%s = %d", odd, got.StatusCode)
		}
	}
}

// TestLeakedStopped: of a key that is stopped besides, the pages say so.
func TestLeakedStopped(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	if _, err := s.keys.Rotate(t.Context(), s.owner(), s.home.key.ID, keyring.Rotation{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if got := c.get(path + "/leak"); !strings.Contains(got.body, "the old ones of the last rotation too") {
		t.Error("the question does not tell of the overlap")
	}
	if got := c.post(path+"/leak", "seen", "4"); got.StatusCode != 303 {
		t.Fatalf("the report = %d", got.StatusCode)
	}
	if got := c.get(path); strings.Contains(got.body, "Undo the rotation") {
		t.Error("the rotation can be undone")
	}
	if got := c.post(path+"/overlap/undo", "what", "both"); got.StatusCode != 409 {
		t.Errorf("undo = %d, want 409", got.StatusCode)
	}
	if _, err := s.keys.Deactivate(t.Context(), s.owner(), s.home.key.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := c.get(path + "/leaked"); !strings.Contains(got.body, "This key is deactivated too") {
		t.Error("the page does not say that the key is deactivated")
	}
	if got := c.post(path + "/reactivate"); got.StatusCode != 303 || !strings.Contains(c.get(path).body, "its credentials leaked and have stopped") {
		t.Errorf("reactivated = %d", got.StatusCode)
	}
}
