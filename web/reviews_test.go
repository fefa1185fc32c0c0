package web_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/keyring"
)

// TestPassportPage: one page with full hashes, for every role; the JSON is an export
// and is in the trail, the page and a HEAD are not.
func TestPassportPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c, path := s.signIn(s.join("auditor")), "/w/"+s.home.slug+"/keys/"+s.home.key.ID.String()+"/passport"
	s.Raw().MustExec(`UPDATE webhook_keys SET name = '<script>alert(1)</script>' WHERE id = $1`, s.home.key.ID)
	page := c.get(path)
	for _, want := range []string{"Home key", s.home.key.ID.String(), s.home.key.Hint, "key.created", "key.credentials_shown", "1 accepted", "&lt;script&gt;", "None was signed yet", "passport.json"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the passport lacks %q", want)
		}
	}
	var hash string
	if err := s.Raw().Get(&hash, `SELECT encode(hash, 'base64') FROM audit_log WHERE action = 'key.created' AND target_id = $1`, s.home.key.ID); err != nil || !strings.Contains(page.body, "<code class=\"anywhere\">"+strings.ReplaceAll(hash, "+", "&#43;")) && !strings.Contains(page.body, hash) {
		t.Errorf("the passport lacks the full hash %s of an entry, %v", hash, err)
	}
	if strings.Contains(page.body, "<script>alert") {
		t.Error("a key's name is markup")
	}
	c.do("HEAD", path+".json", nil)
	exports := func() (n int) {
		if err := s.Raw().Get(&n, `SELECT count(*) FROM audit_log WHERE action = $1`, audit.PassportExported); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := exports(); n != 0 {
		t.Errorf("looking at a passport left %d entries of an export", n)
	}
	file := c.get(path + ".json")
	var p struct {
		Format  string
		Changes []audit.Entry
	}
	if err := json.Unmarshal([]byte(file.body), &p); err != nil || p.Format != "keyhook/key-passport/v1" || len(p.Changes) != 3 || exports() != 1 {
		t.Errorf("the JSON has the format %q and %d entries, %v; the trail %d exports", p.Format, len(p.Changes), err, exports())
	}
	if h := file.Header; !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename=") || h.Get("Content-Type") != "application/json" || !strings.Contains(h.Get("Cache-Control"), "no-store") {
		t.Errorf("the JSON comes with %v", h)
	}
}

// TestReviewPages: a review is made by a form, once; a member answers for their own
// key and sees nothing of people; stopping a key that is in use takes its name.
func TestReviewPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	owner, member := s.signIn(s.home.owner), s.join("member")
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, member, s.home.key.ID)
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Home", Role: "owner"}
	other, err := s.keys.Issue(t.Context(), by, keyring.Draft{Name: "Other", OwnerID: &s.home.owner}, "")
	if err != nil {
		t.Fatal(err)
	}
	reviews := "/w/" + s.home.slug + "/reviews"
	id, _ := parse(t, owner.get(reviews).body).Find("input[name=id]").Attr("value")
	today := time.Now().UTC().Format(time.DateOnly)
	var made string
	for range 2 {
		got := owner.post(reviews, "id", id, "covers", today)
		if made = got.Header.Get("Location"); got.StatusCode != 303 || made != reviews+"/"+id {
			t.Fatalf("making a review = %d to %q", got.StatusCode, made)
		}
	}
	for _, covers := range []string{"", "2026-Q5", "2999-01-01", "2026-Q3\x00", "<b>", strings.Repeat("9", 5000)} {
		if got := owner.post(reviews, "id", uuid.Must(uuid.NewV7()).String(), "covers", covers); got.StatusCode != 422 || !strings.Contains(got.body, `id="covers-error"`) {
			t.Errorf("a review of %.20q = %d, want 422 with the field blamed", covers, got.StatusCode)
		}
	}
	for _, bad := range []string{"", "x", uuid.NewString()} {
		if got := owner.post(reviews, "id", bad, "covers", today); got.StatusCode != 422 {
			t.Errorf("a review with the id %q = %d, want 422", bad, got.StatusCode)
		}
	}

	c, key := s.signIn(member), s.home.key.ID.String()
	page := c.get(made).body
	if strings.Contains(page, "second factor") || strings.Contains(page, "/file") || !strings.Contains(owner.get(made).body, "second factor: none") {
		t.Error("a member sees what a review tells of people, or an owner does not")
	}
	if n := parse(t, page).Find(".review form").Length(); n != 1 {
		t.Errorf("a member is offered to answer for %d keys, want their own alone", n)
	}
	if got := c.post(made+"/answer", "key", other.Key.ID.String(), "answer", "keep"); got.StatusCode != 403 {
		t.Errorf("answering for another's key = %d, want 403", got.StatusCode)
	}
	if got := c.get(made + "/answer?key=" + other.Key.ID.String()); got.StatusCode != 403 {
		t.Errorf("the question about another's key = %d, want 403", got.StatusCode)
	}
	for _, id := range []string{s.foreign.key.ID.String(), uuid.NewString(), "x'--"} {
		asked, answered := c.get(made+"/answer?key="+id), c.post(made+"/answer", "key", id, "answer", "keep")
		if asked.StatusCode != 404 || answered.StatusCode != 404 {
			t.Errorf("a key that is not in the review is asked for with %d and answered with %d, want 404", asked.StatusCode, answered.StatusCode)
		}
	}
	if got := c.post(made+"/answer", "key", key, "answer", "keep", "show", "yours", "after", "-7"); got.StatusCode != 303 || got.Header.Get("Location") != made+"?after=0&show=yours" {
		t.Errorf("keeping one's own key = %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if body := c.get(made + "?show=answered").body; !strings.Contains(body, "Answered: keep.") || !strings.Contains(body, "Keep,") {
		t.Error("the page does not tell of the answer")
	}
	if got := c.do("POST", made+"/answer", url.Values{"key": {key, other.Key.ID.String()}, "answer": {"deactivate"}}); got.StatusCode != 422 {
		t.Errorf("deactivating two keys at once = %d, want 422", got.StatusCode)
	}

	s.Raw().MustExec(`UPDATE webhook_keys SET last_used_at = now() WHERE id = $1`, key)
	for confirm, want := range map[string]int{"": 422, "Another key": 422} {
		if got := c.post(made+"/answer", "key", key, "answer", "deactivate", "confirm", confirm, "note", "kept typed"); got.StatusCode != want || !strings.Contains(got.body, "kept typed") {
			t.Errorf("stopping a key that is in use with %q typed = %d, want %d and the note kept", confirm, got.StatusCode, want)
		}
	}
	if got := c.post(made+"/answer", "key", key, "answer", "deactivate", "confirm", s.home.key.Name, "note", strings.Repeat("x", 501)); got.StatusCode != 422 || !strings.Contains(got.body, "note-error") {
		t.Errorf("a long note = %d, want 422 with the field blamed", got.StatusCode)
	}
	if got := c.post(made+"/answer", "key", key, "answer", "deactivate", "confirm", s.home.key.Name); got.StatusCode != 303 {
		t.Errorf("deactivating = %d: %.300s", got.StatusCode, got.body)
	}
	if stopped, err := s.keys.Find(t.Context(), s.home.id, s.home.key.ID); err != nil || stopped.Active {
		t.Errorf("the key is active: %v, %v", stopped.Active, err)
	}
	if body := c.get("/w/" + s.home.slug + "/keys/" + key).body; !strings.Contains(body, "answered for the key in an access review") || !strings.Contains(body, "passport") {
		t.Error("the key's page tells nothing of the answer, or does not lead to its passport")
	}

	file := owner.get(made + "/file")
	if lines := strings.Split(strings.TrimSpace(file.body), "\n"); file.Header.Get("Content-Type") != "application/x-ndjson" || !strings.Contains(lines[0], `"covers":"`+today) || !strings.Contains(lines[len(lines)-1], `"signature"`) {
		t.Errorf("the file has %d lines of %s", len(lines), file.Header.Get("Content-Type"))
	}
}
