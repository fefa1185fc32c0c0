package web_test

import (
	"strings"
	"testing"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// TestRotate goes from the question to the page that shows the new credentials,
// and sends the form again.
func TestRotate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	ask := c.get(path + "/rotate")
	page := parse(t, ask.body)
	nonce, _ := page.Find("input[name=form_nonce]").Attr("value")
	seen, _ := page.Find("input[name=seen]").Attr("value")
	if nonce == "" || seen != "2" || page.Find("input[name=overlap]").Length() != 5 || page.Find("input[name=what]").Length() != 3 {
		t.Fatalf("the question: nonce %q, seen %q", nonce, seen)
	}
	for field, wrong := range map[string][]string{
		"#overlap":       {"what", "both", "overlap", "never"},
		"#overlap_until": {"what", "both", "overlap", "date", "overlap_until", "2001-01-01"},
		"#what":          {"what", "all", "overlap", "1h"},
		"#secret":        {"what", "secret", "overlap", "1h", "secret", "too-short-x9"},
	} {
		got := c.post(path+"/rotate", append(wrong, "form_nonce", nonce, "seen", seen)...)
		doc := parse(t, got.body)
		described := doc.Find(field).AttrOr("aria-describedby", "")
		errors := doc.Find(".err")
		if got.StatusCode != 422 || errors.Length() != 1 || !strings.Contains(described, errors.AttrOr("id", "none")) || strings.Contains(got.body, "too-short-x9") {
			t.Errorf("a wrong %s = %d, %d errors, the field is described by %q", field, got.StatusCode, errors.Length(), described)
		}
	}
	form := []string{"what", "both", "overlap", "24h", "form_nonce", nonce, "seen", seen}
	got := c.post(path+"/rotate", form...)
	shown := parse(t, got.body)
	apiKey, secret := shown.Find("#api-key").Text(), shown.Find("#secret").Text()
	if got.StatusCode != 200 || !strings.HasPrefix(apiKey, "khk_") || !strings.HasPrefix(secret, "whsec_") || !strings.Contains(got.Header.Get("Cache-Control"), "no-store") ||
		!strings.Contains(got.body, "works until") || shown.Find("[data-secret]").Length() < 3 || shown.Find("[data-after-wipe]").Length() != 1 {
		t.Errorf("the answer = %d, %s", got.StatusCode, got.Header.Get("Cache-Control"))
	}
	again := c.post(path+"/rotate", form...)
	if again.StatusCode != 200 || strings.Contains(again.body, apiKey) || strings.Contains(again.body, secret) || !strings.Contains(again.body, "was not rotated again") || !strings.Contains(again.body, "already shown to <bdi>Home owner</bdi>") {
		t.Errorf("the form sent again = %d", again.StatusCode)
	}
	stale := c.post(path+"/rotate", "what", "both", "overlap", "24h", "form_nonce", "another", "seen", seen)
	if stale.StatusCode != 409 || !strings.Contains(stale.body, "rotated meanwhile") || !strings.Contains(stale.body, "The last rotation is not over") {
		t.Errorf("a form from before the rotation = %d", stale.StatusCode)
	}
	if strings.Contains(c.get(path).body, secret) {
		t.Error("the key's page shows the secret")
	}
}

// TestOverlap acts on the overlap that a rotation leaves.
func TestOverlap(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	id := s.home.key.ID
	path := "/w/" + s.home.slug + "/keys/" + id.String()
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Home", Role: "owner"}
	rotate := func() {
		t.Helper()
		if _, err := s.keys.Rotate(t.Context(), by, id, keyring.Rotation{Overlap: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	overlaps := func() []keyring.Overlap {
		t.Helper()
		there, err := s.keys.OverlapsOf(t.Context(), s.home.id, id)
		if err != nil {
			t.Fatal(err)
		}
		return there.Overlaps
	}
	count := func(generation int, ago string) {
		s.Raw().MustExec(`INSERT INTO delivery_tallies VALUES ($1, $2, date_trunc('hour', now() - $4::interval, 'UTC'), $3, 'accepted', '', '192.0.2.1', 7, 0, 0, now(), now() - $4::interval, '{}')`,
			id, s.home.id, generation, ago)
	}
	rotate()
	if page := c.get(path); !strings.Contains(page.body, "Old pair of API key and secret") || !strings.Contains(page.body, "Nothing came with the old one yet") ||
		!strings.Contains(strings.Join(strings.Fields(parse(t, page.body).Find(".page-head .pill-info").Text()), " "), "Rotating 59 min left") {
		t.Error("the key's page does not tell of the overlap")
	}
	if row := parse(t, c.get("/w/"+s.home.slug+"/keys").body).Find(".keys .st-info"); strings.Join(strings.Fields(row.Text()), " ") != "Rotating 59 min left" {
		t.Errorf("the list says %q", row.Text())
	}
	if again := c.get(path + "/rotate"); !strings.Contains(again.body, "Rotating it again stops that one at once, for good") {
		t.Error("the question inside an overlap does not say what it ends")
	}
	if ask := c.get(path + "/overlap/end?what=both"); !strings.Contains(ask.body, "Nothing came with the new one yet") {
		t.Error("the question before the end does not say that nobody has the new one")
	}
	o := overlaps()[0]
	count(o.CountedAs[0], "0")
	part := c.get(path + "/overlap?what=both")
	if !strings.Contains(part.body, "The old one is in use") || !strings.Contains(part.body, "With the old <b>7</b>") || !strings.Contains(part.body, "/overlap/undo") || strings.Contains(part.body, "<html") {
		t.Errorf("the part: %s", part.body)
	}
	choices := parse(t, c.get(path).body).Find(`form[action$="/overlap/move"] [name=overlap]`)
	if choices.Length() != 4 || choices.Filter("[checked]").AttrOr("value", "") != "24h" {
		t.Errorf("%d ends to choose from, want an hour, a day, a week and a date", choices.Length())
	}
	day := time.Now().UTC().AddDate(0, 0, 5)
	for choice, want := range map[string]time.Time{
		"1h": time.Now().Add(time.Hour), "24h": time.Now().Add(24 * time.Hour), "7d": time.Now().Add(7 * 24 * time.Hour),
		"date": time.Date(day.Year(), day.Month(), day.Day(), 23, 59, 59, 0, time.UTC),
	} {
		got := c.post(path+"/overlap/move", "what", "both", "overlap", choice, "until", day.Format(time.DateOnly))
		if until := overlaps()[0].Until; got.StatusCode != 303 || until.Sub(want).Abs() > time.Minute {
			t.Errorf("the end moved by %s = %d, to %v, want %v", choice, got.StatusCode, until, want)
		}
		if text := parse(t, c.get(path).body).Find("#flash").Text(); !strings.Contains(text, want.UTC().Format("2 Jan 2006")) {
			t.Errorf("the end moved by %s is told as %q", choice, text)
		}
	}
	for _, wrong := range [][2]string{{"date", ""}, {"date", "soon"}, {"date", "2001-01-01"}, {"date", "2999-01-01"}, {"now", ""}, {"", ""}, {"1y", ""}} {
		got := c.post(path+"/overlap/move", "what", "both", "overlap", wrong[0], "until", wrong[1])
		field := parse(t, got.body).Find("fieldset#end-both")
		if got.StatusCode != 422 || field.Find("#end-both-error").Length() != 1 || !strings.Contains(field.AttrOr("aria-describedby", ""), "end-both-error") {
			t.Errorf("the end moved to %q = %d, want 422 and the error at its field", wrong, got.StatusCode)
		}
		if kept := field.Find("[name=until]").AttrOr("value", ""); kept != wrong[1] && wrong[0] == "date" {
			t.Errorf("the day %q is shown again as %q", wrong[1], kept)
		}
		if open := field.Closest("details").Is("[open]"); !open {
			t.Error("the field with the error is folded away")
		}
	}
	if got := c.post(path+"/overlap/undo", "what", "both"); got.StatusCode != 303 || len(overlaps()) != 0 {
		t.Errorf("undo = %d, %v", got.StatusCode, overlaps())
	}
	rotate()
	count(overlaps()[0].New, "0")
	if part := c.get(path + "/overlap?what=both"); strings.Contains(part.body, "/overlap/undo") || !strings.Contains(part.body, "With the new <b>7</b>") {
		t.Errorf("once the new one is used: %s", part.body)
	}
	if got := c.post(path+"/overlap/undo", "what", "both"); got.StatusCode != 409 || !strings.Contains(got.body, "somebody has them") {
		t.Errorf("undo once the new one is used = %d", got.StatusCode)
	}
	if ask := c.get(path + "/overlap/end?what=both"); ask.StatusCode != 200 || !strings.Contains(ask.body, "Whether a failed request is sent again") ||
		!strings.Contains(ask.body, "can’t be undone") || strings.Contains(ask.body, "Nothing came with the new one yet") {
		t.Errorf("the question before the end = %d", ask.StatusCode)
	}
	if got := c.post(path+"/overlap/end", "what", "both"); got.StatusCode != 303 || len(overlaps()) != 0 {
		t.Errorf("end now = %d", got.StatusCode)
	}
	if page := parse(t, c.get(path).body); !strings.Contains(page.Find("#flash").Text(), "stopped for good") || page.Find("#flash form").Length() != 0 {
		t.Errorf("after the end the page says %q", page.Find("#flash").Text())
	}
	if part := c.get(path + "/overlap?what=both"); !strings.Contains(part.body, "has ended") || strings.Contains(part.body, "hx-get") {
		t.Errorf("the part after the end: %s", part.body)
	}
}

// TestRotateProvider: a provider's key has a secret alone, which is pasted.
func TestRotateProvider(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Home", Role: "owner"}
	issued, err := s.keys.Issue(t.Context(), by, keyring.Draft{Name: "billing", Scheme: signature.Stripe}, "")
	if err != nil {
		t.Fatal(err)
	}
	path := "/w/" + s.home.slug + "/keys/" + issued.Key.ID.String()
	if got := c.get(path + "/rotate"); !strings.Contains(got.body, "nothing to rotate yet") || strings.Contains(got.body, `name="overlap"`) {
		t.Error("a key before its secret can be rotated")
	}
	if _, _, err := s.keys.PasteSecret(t.Context(), by, issued.Key.ID, "whsec_abcdefghijklmnopqrstuvwxyz0123456789"); err != nil {
		t.Fatal(err)
	}
	if got := c.get(path + "/rotate"); !strings.Contains(got.body, "Stripe tries again for up to 3 days") || !strings.Contains(got.body, `value="secret"`) {
		t.Error("the question does not tell of Stripe")
	}
	form := []string{"what", "secret", "overlap", "7d", "form_nonce", "n", "seen", "1", "secret", "whsec_zyxwvutsrqponmlkjihgfedcba9876543210"}
	for range 2 { // sent again it goes to the key, as before
		if got := c.post(path+"/rotate", form...); got.StatusCode != 303 || got.Header.Get("Location") != path {
			t.Errorf("a pasted secret = %d to %s", got.StatusCode, got.Header.Get("Location"))
		}
	}
	there, err := s.keys.OverlapsOf(t.Context(), s.home.id, issued.Key.ID)
	if err != nil || there.Seen != 2 || len(there.Overlaps) != 1 {
		t.Errorf("OverlapsOf = %+v, %v", there, err)
	}
}

// TestOverlapEndsWithKey: where the key ends before the overlap, so do the old
// credentials, and the pages say that.
func TestOverlapEndsWithKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = now() + interval '3 hours' WHERE id = $1`, s.home.key.ID)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	const ends = ", when the key itself ends"
	ask := parse(t, c.get(path+"/rotate").body)
	for choice, want := range map[string]bool{"1h": false, "24h": true, "7d": true} {
		if text := ask.Find(".overlap-effect-" + choice).Text(); strings.Contains(text, ends) != want || strings.Contains(text, "only the new") == want {
			t.Errorf("an overlap of %s is explained by %q", choice, text)
		}
	}
	field := func(name string) string { return ask.Find("input[name="+name+"]").AttrOr("value", "") }
	shown := c.post(path+"/rotate", "what", "both", "overlap", "24h", "form_nonce", field("form_nonce"), "seen", field("seen"))
	if shown.StatusCode != 200 || !strings.Contains(shown.body, ends) {
		t.Errorf("the page after the rotation = %d: the key's end is not told", shown.StatusCode)
	}
	panel := func() string {
		return parse(t, c.get(path).body).Find("section:has(#overlap-h-both) .card-head").Text()
	}
	if text := panel(); !strings.Contains(text, ends) || !strings.Contains(text, "2 h left") {
		t.Errorf("the overlap is told as %q", text)
	}
	c.post(path+"/overlap/move", "what", "both", "overlap", "7d")
	if text := parse(t, c.get(path).body).Find("#flash").Text(); !strings.Contains(text, ends) {
		t.Errorf("the moved end is told as %q", text)
	}
	if why := parse(t, c.get("/w/"+s.home.slug+"/overview").body).Find("main").Text(); !strings.Contains(why, "new credentials end with it, too") {
		t.Error("the overview says that rotating moves a key's end")
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = now() - interval '1 hour' WHERE id = $1`, s.home.key.ID)
	if text := panel(); text != "" && !strings.Contains(text, "Stopped with the key itself") {
		t.Errorf("once the key has ended the overlap is told as %q", text)
	}
}
