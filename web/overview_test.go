package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// texts are the findings under a heading of the overview, by their facts.
func texts(page *goquery.Document, id string) (facts []string) {
	page.Find("#" + id + " > li").Each(func(_ int, li *goquery.Selection) { facts = append(facts, li.Find("h3").Text()) })
	return facts
}

// squeezed is text with single spaces.
func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }

// calm makes a workspace one with nothing to find.
func (s *stage) calm(w workspace) {
	s.t.Helper()
	s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = now() + interval '1 year', last_used_at = now(), owner_id = $2 WHERE workspace_id = $1`, w.id, w.owner)
}

// TestOverviewCalm: where nothing is wrong, one line says so and what was checked.
func TestOverviewCalm(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.calm(s.home)
	got := s.signIn(s.home.owner).get("/w/" + s.home.slug + "/overview")
	page := parse(t, got.body)
	verdict := squeezed(page.Find("#verdict").Text())
	if got.StatusCode != 200 || !strings.HasPrefix(verdict, "Nothing is wrong. Checked 1 key: 0 % of 1 request refused in the last 24 hours, and no usual rate yet; no use of stopped credentials") {
		t.Errorf("the overview = %d, %q", got.StatusCode, verdict)
	}
	if n := page.Find("#wrong, #tidy").Length(); n != 0 {
		t.Errorf("%d lists of findings where nothing is wrong", n)
	}
	if first := page.Find("nav[aria-label=Main] a").First(); first.AttrOr("href", "") != "/w/"+s.home.slug+"/overview" || first.AttrOr("aria-current", "") != "page" {
		t.Error("the overview is not the first of the navigation, or not marked")
	}
}

// refuse stores a refused request, a while ago.
func (s *stage) refuse(w workspace, key keyring.Key, generation int, reason inbox.Reason, ago time.Duration) {
	s.t.Helper()
	at := time.Now().Add(-ago).UTC().Truncate(time.Microsecond)
	id := uuid.Must(uuid.NewV7())
	for i := range 6 {
		id[5-i] = byte(at.UnixMilli() >> (8 * i))
	}
	s.append(inbox.Arrival{
		ID: id, WorkspaceID: w.id, KeyID: key.ID, Generation: generation, Method: inbox.ByAPIKey, Reason: reason, Status: 401,
		Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "198.51.100.7", UserAgent: "old-sender/2", ReceivedAt: at, Began: time.Now(),
	})
}

func (s *stage) append(a inbox.Arrival) {
	s.t.Helper()
	err := s.ingestion.InTx(s.t.Context(), func(tx *sqlx.Tx) error {
		_, err := inbox.NewAppender(s.box).Append(s.t.Context(), tx, []inbox.Arrival{a})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestOverviewFinds: each finding appears with its number, whom it is about and
// where to mend it, and none of it in another workspace.
func TestOverviewFinds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.calm(s.home)
	s.calm(s.foreign)
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Home", Role: "owner"}
	make := func(name, set string) keyring.Key {
		t.Helper()
		issued, err := s.keys.Issue(t.Context(), by, keyring.Draft{Name: name, OwnerID: &s.home.owner}, "")
		if err != nil {
			t.Fatal(err)
		}
		s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = now() + interval '300 days', last_used_at = now() WHERE id = $1`, issued.Key.ID)
		if set != "" {
			s.Raw().MustExec(`UPDATE webhook_keys SET `+set+` WHERE id = $1`, issued.Key.ID)
		}
		return issued.Key
	}
	make("Ends first", "expires_at = now() + interval '2 days 1 hour'")
	make("Ends later", "expires_at = now() + interval '20 days'")
	make("Unused one", "last_used_at = NULL")
	make("Idle one", "last_used_at = now() - interval '40 days'")
	make("Idle long", "last_used_at = now() - interval '100 days'")
	make("Endless one", "expires_at = NULL")
	make("Ownerless one", "owner_id = NULL")
	off := make("Haunted one", "is_active = false")
	back := make("Back again", "")
	s.refuse(s.home, off, 1, inbox.KeyInactive, time.Minute)
	s.refuse(s.home, off, 1, inbox.KeyInactive, 3*24*time.Hour)
	s.refuse(s.home, off, 0, inbox.KeyInactive, time.Minute)  // proved nothing
	s.refuse(s.home, back, 1, inbox.KeyInactive, time.Minute) // works again
	for range 5 {
		s.refuse(s.home, s.home.key, 1, inbox.SignatureWrong, time.Minute)
	}
	rotated := make("Turning one", "")
	if _, err := s.keys.Rotate(t.Context(), by, rotated.ID, keyring.Rotation{Overlap: 5 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	s.refuse(s.home, rotated, 1, inbox.AddressForbidden, 0) // with the old one, after the rotation
	s.Raw().MustExec(`INSERT INTO untrusted_forwards (workspace_id, hour, proxy, requests, last_at) VALUES ($1, date_trunc('hour', now()), '10.9.8.7', 1204, now())`, s.home.id)

	c := s.signIn(s.home.owner)
	page := parse(t, c.get("/w/"+s.home.slug+"/overview").body)
	keys := "/w/" + s.home.slug + "/keys"
	if got := squeezed(page.Find("#verdict").Text()); !strings.HasPrefix(got, "5 things need attention.") || !page.Find("#verdict").HasClass("note-bad") {
		t.Errorf("the verdict = %q", got)
	}
	for _, tt := range []struct {
		list, fact string
		about      []string
		href       string
	}{
		{"wrong", "90.00 % of requests were refused in the last 24 hours", []string{"9 of 10", "too few days", "Home key", "5 · "}, keys + "/" + s.home.key.ID.String()},
		{"wrong", "Stopped credentials of 1 key are still in use", []string{"2 requests refused in the last 7 days, 1 in the last 24 hours", "Haunted one", "deactivated", "from 198.51.100.7, old-sender/2"}, keys + "/" + off.ID.String()},
		{"wrong", "1 overlap ends within 24 hours with the old credentials still in use", []string{"Turning one", "1 request with it, last 0 s ago"}, keys + "/" + rotated.ID.String()},
		{"wrong", "1 key expires within 7 days, 2 within 30", []string{"Ends first", "in 2 days", "Ends later"}, keys + "?status=expiring"},
		{"wrong", "1,204 requests came through a proxy that is not trusted", []string{"10.9.8.7", "KEYHOOK_TRUSTED_PROXIES"}, ""},
		{"tidy", "1 key has no owner", []string{"Ownerless one"}, "key"},
		{"tidy", "1 key was never used", []string{"Unused one"}, "key"},
		{"tidy", "1 key was not used for 90 days", []string{"Idle long"}, "key"},
		{"tidy", "2 keys were not used for 30 days", []string{"Idle long", "Idle one", "last used 40 days ago"}, keys + "?status=idle"},
		{"tidy", "1 key never expires", []string{"Endless one"}, "key"},
	} {
		li := page.Find("#" + tt.list + " > li").FilterFunction(func(_ int, li *goquery.Selection) bool { return li.Find("h3").Text() == tt.fact })
		if li.Length() != 1 {
			t.Errorf("no finding %q; there are %q and %q", tt.fact, texts(page, "wrong"), texts(page, "tidy"))
			continue
		}
		text := squeezed(li.Text())
		for _, about := range tt.about {
			if !strings.Contains(text, about) {
				t.Errorf("%q lacks %q: %s", tt.fact, about, text)
			}
		}
		if href := li.Find("a.finding-link").AttrOr("href", ""); href != tt.href && !(tt.href == "key" && strings.HasPrefix(href, keys+"/")) {
			t.Errorf("%q leads to %q, want %q", tt.fact, href, tt.href)
		}
	}
	if wrong, tidy := texts(page, "wrong"), texts(page, "tidy"); len(wrong) != 5 || len(tidy) != 5 {
		t.Errorf("the findings are %q and %q, want 5 and 5", wrong, tidy)
	}
	if text := page.Find("#wrong > li").Eq(1).Text(); !strings.Contains(text, "Haunted one") || strings.Contains(text, "Back again") {
		t.Error("a key that works again is named for the use while it was deactivated")
	}
	if text := parse(t, s.signIn(s.foreign.owner).get("/w/"+s.foreign.slug+"/overview").body); !strings.Contains(text.Find("#verdict").Text(), "Nothing is wrong") || text.Find("#wrong, #tidy").Length() != 0 {
		t.Errorf("another workspace's overview:\n%s", squeezed(text.Find("main").Text()))
	}
}

// TestKeyPageNotices: a key's page tells of its end and of uses of its stopped
// credentials, and leads who may to the edit.
func TestKeyPageNotices(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.calm(s.home)
	owner, auditor := s.signIn(s.home.owner), s.signIn(s.join("auditor"))
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	if page := parse(t, owner.get(path).body); page.Find("#expires-soon, #ghost-use").Length() != 0 {
		t.Error("a key with nothing to say has a notice")
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = now() + interval '25 days 1 hour' WHERE id = $1`, s.home.key.ID)
	s.refuse(s.home, s.home.key, 1, inbox.CredentialEnded, time.Minute)
	s.refuse(s.home, s.home.key, 2, inbox.CredentialExpired, 26*time.Hour)
	s.refuse(s.home, s.home.key, 1, inbox.KeyExpired, 27*time.Hour) // it works again
	page := parse(t, owner.get(path).body)
	if text := squeezed(page.Find("#expires-soon").Text()); !strings.HasPrefix(text, "Expires in 25 days, on ") || page.Find(`#expires-soon a[href$="/edit"]`).Length() != 1 {
		t.Errorf("the notice of the end = %q", text)
	}
	ghost := squeezed(page.Find("#ghost-use").Text())
	for _, want := range []string{
		"2 requests in the last 7 days, 1 in the last 24 hours. Last 1 min ago", "Generation 1, stopped credential 1 request, 1 in 24 h",
		"Generation 2, overlap over 1 request, 0 in 24 h", "198.51.100.7", "old-sender/2",
	} {
		if !strings.Contains(ghost, want) {
			t.Errorf("the ghost use lacks %q: %s", want, ghost)
		}
	}
	if strings.Contains(ghost, "expired 1") {
		t.Errorf("the use while it had expired is told though it works again: %s", ghost)
	}
	if page := parse(t, auditor.get(path).body); page.Find("#expires-soon").Length() != 1 || page.Find(`#expires-soon a`).Length() != 0 {
		t.Error("an auditor is offered the edit, or not told of the end")
	}
}
