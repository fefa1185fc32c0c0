package web_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/keyring"
)

// issue makes a key of the home workspace.
func (s *stage) issue(by uuid.UUID, name string) keyring.Key {
	s.t.Helper()
	actor := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: by, Label: "somebody", Role: "owner"}
	issued, err := s.keys.Issue(s.t.Context(), actor, keyring.Draft{Name: name}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return issued.Key
}

// fill adds keys of the home workspace as rows, with counts of the last 24 hours.
func (s *stage) fill(n int) {
	s.t.Helper()
	db := s.Raw()
	db.MustExec(`INSERT INTO webhook_keys (id, workspace_id, name, scheme, source, owner_id, created_by, created_at, last_used_at, expires_at)
		SELECT gen_random_uuid(), $1, 'Sensor ' || lpad(n::text, 5, '0'), 'generic', 'sensor-' || n, $2, $2, now() - interval '200 days',
			CASE WHEN n % 3 > 0 THEN now() - make_interval(days => n % 121, hours => 1) END, CASE WHEN n % 2 = 0 THEN now() + interval '100 days' END
		FROM generate_series(1, $3) AS n`, s.home.id, s.home.owner, n)
	db.MustExec(`INSERT INTO webhook_key_credentials (id, webhook_key_id, kind, generation, hash, hint)
		SELECT gen_random_uuid(), id, 'api_key', 1, sha256(id::text::bytea), 'khk_' || left(id::text, 4) || '…' || right(id::text, 4)
		FROM webhook_keys WHERE name LIKE 'Sensor %'`)
	db.MustExec(`INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at)
		SELECT k.id, date_trunc('hour', now()) - make_interval(hours => h), 1, o, CASE o WHEN 'refused' THEN 'credential_ended' ELSE '' END, k.workspace_id, 3,
			date_trunc('hour', now()) - make_interval(hours => h)
		FROM webhook_keys AS k, generate_series(0, 23) AS h, unnest(ARRAY['accepted', 'refused']) AS o WHERE k.name LIKE 'Sensor %' AND (o = 'accepted' OR k.source LIKE '%7')`)
	db.MustExec(`ANALYZE`)
}

// TestThousandsOfKeys: the list of 6,000 keys with traffic is quick and its page
// bounded, whatever is asked for, and all of them can be stopped at once and set
// going again, each with its own entry in the trail.
func TestThousandsOfKeys(t *testing.T) {
	t.Parallel()
	const many = 6000
	s := newStage(t)
	s.fill(many)
	c := s.signIn(s.home.owner)
	keys := "/w/" + s.home.slug + "/keys"
	for _, query := range []string{"", "?sort=name", "?sort=last-used", "?status=idle", "?status=ghost-use", "?status=owner-gone", "?q=sensor+00", "?status=never-used&sort=newest"} {
		began := time.Now()
		got := c.get(keys + query)
		took := time.Since(began)
		doc := parse(t, got.body)
		if n := doc.Find(".keys tbody tr").Length(); got.StatusCode != 200 || n == 0 || n > 100 || len(got.body) > 1<<20 {
			t.Errorf("%q = %d, %d rows, %d bytes; want 1 to 100 rows in less than 1 MiB", query, got.StatusCode, n, len(got.body))
		}
		t.Logf("%q: %v, %d kB", query, took.Round(time.Millisecond), len(got.body)/1000)
		if took > 5*time.Second { // far more than it takes where little else runs
			t.Errorf("%q took %v", query, took)
		}
	}
	batch := s.chooses(c, "all", "true", "do", "deactivate", "q", "sensor")
	if typed := parse(t, c.get(batch).body).Find("label[for=confirm] b").Text(); typed != fmt.Sprint(many) {
		t.Fatalf("keys in use ask for %q to be typed, want %d", typed, many)
	}
	for _, wrong := range []string{"", "5999"} {
		if got := c.post(batch, "confirm", wrong); got.StatusCode != 422 || s.active() != many+1 {
			t.Errorf("with %q typed: %d, and %d keys are active", wrong, got.StatusCode, s.active())
		}
	}
	began := time.Now()
	if got := c.post(batch, "confirm", "6,000"); got.StatusCode != 303 {
		t.Fatalf("deactivating = %d: %.500s", got.StatusCode, got.body)
	}
	t.Logf("deactivated in %v", time.Since(began).Round(time.Millisecond))
	doc := parse(t, c.get(batch).body)
	if h := doc.Find("h1").Text(); h != "6,000 keys deactivated" || s.active() != 1 || s.entries("key.deactivated") != many {
		t.Errorf("%q: %d keys are active, %d entries; want 1 and %d", h, s.active(), s.entries("key.deactivated"), many)
	}
	if n := doc.Find(".batch-keys li").Length(); n != 101 {
		t.Errorf("the result lists %d lines, want 100 keys and how many more", n)
	}
	began = time.Now()
	undone := c.post(doc.Find(`form[action$="/undo"]`).AttrOr("action", ""))
	t.Logf("reactivated in %v", time.Since(began).Round(time.Millisecond))
	if got := parse(t, c.get(undone.Header.Get("Location")).body).Find("h1").Text(); got != "6,000 keys reactivated" || s.active() != many+1 || s.entries("key.reactivated") != many {
		t.Errorf("taken back: %q, %d active, %d entries", got, s.active(), s.entries("key.reactivated"))
	}
	if doc := parse(t, c.get(batch).body); doc.Find(`form[action$="/undo"]`).Length() != 0 || !strings.Contains(doc.Text(), "Taken back since") {
		t.Error("what was taken back is offered to be taken back")
	}
	csv := c.post(keys+"/export", "format", "csv", "q", "sensor")
	if lines := strings.Count(csv.body, "\r\n"); csv.StatusCode != 200 || lines != many+1 {
		t.Errorf("the export = %d, %d lines, want %d", csv.StatusCode, lines, many+1)
	}
}

// chooses presses a button of the list, and returns the batch's address.
func (s *stage) chooses(c *client, pairs ...string) string {
	s.t.Helper()
	got := c.post("/w/"+s.home.slug+"/batches", pairs...)
	if got.StatusCode != 303 {
		s.t.Fatalf("choosing %q = %d: %.500s", pairs, got.StatusCode, parse(s.t, got.body).Find("main").Text())
	}
	return got.Header.Get("Location")
}

func (s *stage) count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.Raw().Get(&n, query, args...); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) active() int {
	return s.count(`SELECT count(*) FROM webhook_keys WHERE workspace_id = $1 AND is_active`, s.home.id)
}

func (s *stage) entries(action string) int {
	return s.count(`SELECT count(*) FROM audit_log WHERE chain = $1 AND action = $2`, s.home.id.String(), action)
}

// TestBatchSaysWhy: a key that comes into use while the page asks is left alone, a
// member's page tells which keys are not theirs, and a second press does nothing.
func TestBatchSaysWhy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	member := s.join("member")
	c := s.signIn(member)
	mine, awakes, others := s.issue(member, "Mine"), s.issue(member, "Awakes"), s.issue(s.home.owner, "Others")
	form := url.Values{"do": {"deactivate"}, "key": {mine.ID.String(), awakes.ID.String(), others.ID.String(), s.foreign.key.ID.String(), "x'--", uuid.NewString()}}
	chosen := c.do(http.MethodPost, "/w/"+s.home.slug+"/batches", form)
	batch := chosen.Header.Get("Location")
	page := parse(t, c.get(batch).body)
	if h := page.Find("h1").Text(); h != "Deactivate 2 keys?" || !strings.Contains(page.Find(".ask").Text(), "1 key that you neither made nor own") || page.Find("#confirm").Length() != 0 {
		t.Errorf("it asks %q:\n%s", h, page.Find(".ask").Text())
	}
	home := s.home
	home.key = awakes
	s.arrive(home, "x", "application/json", `{}`) // in the counts, in no key's row
	for range 2 {
		if got := c.post(batch); got.StatusCode != 303 {
			t.Fatalf("pressing = %d: %.500s", got.StatusCode, got.body)
		}
	}
	var got []string
	parse(t, c.get(batch).body).Find("main section").Each(func(_ int, e *goquery.Selection) {
		got = append(got, strings.Join(strings.Fields(e.Find("h2").Text()+": "+e.Find("a").Text()), " "))
	})
	want := []string{"Came into use after they were chosen: still active 1: Awakes", "Not yours to change 1: Others", "Deactivated 1: Mine"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the result (-want +got):\n%s", diff)
	}
	if n := s.entries("key.deactivated"); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if active := s.count(`SELECT count(*) FROM webhook_keys WHERE id = $1 AND is_active`, s.foreign.key.ID); active != 1 {
		t.Error("another workspace's key was deactivated")
	}
}

// TestBatchCountsOnce: of keys that are neither a member's nor active, and of keys that
// are one of both, each is told once, and what is asked is what is then done.
func TestBatchCountsOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	member := s.join("member")
	c := s.signIn(member)
	mine, off, others, neither := s.issue(member, "Mine"), s.issue(member, "Mine, off"), s.issue(s.home.owner, "Others"), s.issue(s.home.owner, "Others, off")
	s.Raw().MustExec(`UPDATE webhook_keys SET is_active = false WHERE id IN ($1, $2)`, off.ID, neither.ID)
	s.Raw().MustExec(`UPDATE webhook_keys SET last_used_at = now() WHERE id IN ($1, $2)`, mine.ID, others.ID)
	chosen := func(keys ...string) string {
		return c.do(http.MethodPost, "/w/"+s.home.slug+"/batches", url.Values{"do": {"deactivate"}, "key": keys}).Header.Get("Location")
	}
	batch := chosen(mine.ID.String(), off.ID.String(), others.ID.String(), neither.ID.String())
	page := parse(t, c.get(batch).body)
	var left []string
	page.Find(".ask .note li").Each(func(_ int, e *goquery.Selection) { left = append(left, e.Text()) })
	want := []string{"2 keys that you neither made nor own: your role may not change them.", "1 key that is inactive already."}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("what stays as it is (-want +got):\n%s", diff)
	}
	if h, button, typed := page.Find("h1").Text(), page.Find("#deactivate-go").Text(), page.Find("label[for=confirm] b").Text(); h != "Deactivate 1 key?" || button != "Deactivate 1 key" || typed != "1" ||
		!strings.Contains(page.Find(".note-bad").Text(), "It was in use") {
		t.Errorf("it asks %q, the button says %q, and %q is to be typed", h, button, typed)
	}
	if got := c.post(batch, "confirm", "1"); got.StatusCode != 303 {
		t.Fatalf("pressing = %d: %.500s", got.StatusCode, got.body)
	}
	if h := parse(t, c.get(batch).body).Find("h1").Text(); h != "1 key deactivated" {
		t.Errorf("afterwards it says %q", h)
	}
	page = parse(t, c.get(chosen(off.ID.String(), neither.ID.String())).body)
	if h := page.Find("h1").Text(); h != "None of 2 keys can be changed" || page.Find(".ask [type=submit]").Length() != 0 {
		t.Errorf("of keys that can't be changed it asks %q", h)
	}
}

// TestNothingChosen: the list says so, and keeps what it shows.
func TestNothingChosen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	for _, pairs := range [][]string{{"do", "deactivate"}, {"do", "x", "all", "true"}, {"do", "owner", "key", s.foreign.key.ID.String()}, {"do", "owner", "all", "true", "q", "nothing like it"}} {
		got := c.post("/w/"+s.home.slug+"/batches", append(pairs, "sort", "name")...)
		doc := parse(t, got.body)
		if got.StatusCode != 422 || doc.Find("[role=alert]").Length() != 1 || doc.Find("#sort [selected]").AttrOr("value", "") != "name" {
			t.Errorf("%q = %d, alerts %d", pairs, got.StatusCode, doc.Find("[role=alert]").Length())
		}
	}
}

// TestOwnerOfMany offers those who can answer for keys, and gives to no one else.
func TestOwnerOfMany(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	member, auditor, disabled := s.join("member"), s.join("auditor"), s.join("admin")
	s.Raw().MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, disabled)
	batch := s.chooses(c, "all", "true", "do", "owner")
	if n := parse(t, c.get(batch).body).Find("#owner option").Length(); n != 3 {
		t.Errorf("%d owners to choose from, want an empty choice and 2", n)
	}
	for _, owner := range []string{"", "x", auditor.String(), disabled.String(), s.foreign.owner.String()} {
		got := c.post(batch, "owner", owner)
		if got.StatusCode != 422 || parse(t, got.body).Find("#owner[aria-invalid=true]").Length() != 1 {
			t.Errorf("given to %q = %d", owner, got.StatusCode)
		}
	}
	if got := c.post(batch, "owner", member.String()); got.StatusCode != 303 {
		t.Fatalf("given to a member = %d: %.500s", got.StatusCode, got.body)
	}
	if h := parse(t, c.get(batch).body).Find("h1").Text(); h != "1 key given to member" || s.count(`SELECT count(*) FROM webhook_keys WHERE owner_id = $1`, member) != 1 {
		t.Errorf("it says %q", h)
	}
	if got := c.get("/w/" + s.home.slug + "/keys?owner=" + member.String()); parse(t, got.body).Find(".keys tbody tr").Length() != 1 || !strings.Contains(got.body, "Keys of member alone") {
		t.Error("the list of one owner's keys is not told as such")
	}
}

// TestExport: no cell begins a formula, no line holds a credential, and the trail
// says that it was asked for.
func TestExport(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.join("auditor"))
	names := []string{`=cmd|' /C calc'!A0`, "+1", "-2", "@SUM(A1)", " =1+1", "＝1+1", `say "a, b"`}
	for _, name := range names {
		s.issue(s.home.owner, name)
	}
	path := "/w/" + s.home.slug + "/keys/export"
	got := c.post(path, "format", "csv")
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	if err != nil || len(rows) != len(names)+2 || rows[0][1] != "name" {
		t.Fatalf("the CSV has %d rows, %v:\n%s", len(rows), err, got.body)
	}
	var found []string
	for _, row := range rows[1:] {
		found = append(found, row[1])
		for _, cell := range row {
			if strings.IndexAny(strings.TrimSpace(cell), "=+-@＝＋－＠") == 0 || strings.HasPrefix(cell, "\t") {
				t.Errorf("the cell %q begins a formula", cell)
			}
		}
	}
	if !slices.Contains(found, `'=cmd|' /C calc'!A0`) || !slices.Contains(found, `say "a, b"`) {
		t.Errorf("the names are %q", found)
	}
	if disposition := got.Header.Get("Content-Disposition"); !strings.HasPrefix(disposition, `attachment; filename="keys-home-`) {
		t.Errorf("Content-Disposition = %q", disposition)
	}
	one := c.post(path, "format", "ndjson", "key", s.home.key.ID.String())
	lines := bufio.NewScanner(strings.NewReader(one.body))
	n := 0
	for ; lines.Scan(); n++ {
		var key map[string]any
		if err := json.Unmarshal(lines.Bytes(), &key); err != nil || key["id"] != s.home.key.ID.String() || key["hint"] == "" {
			t.Errorf("the line %s, %v", lines.Text(), err)
		}
	}
	if n != 1 {
		t.Errorf("one ticked key gives %d lines", n)
	}
	for _, body := range []string{got.body, one.body} {
		if apiKey.MatchString(body) || secret.MatchString(body) || strings.Contains(body, s.home.key.Fingerprint) {
			t.Error("an export holds a credential")
		}
	}
	if n := s.entries("keys.exported"); n != 2 {
		t.Errorf("%d entries about exports, want 2", n)
	}
	if got := c.post(path, "format", "xls"); got.StatusCode != 422 {
		t.Errorf("an unknown format = %d, want 422", got.StatusCode)
	}
}

// TestListSaysOnWhatItRests: an idle filter tells what counts as use, and rows tell
// the last refused request where nothing was accepted after it.
func TestListSaysOnWhatItRests(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	s.Raw().MustExec(`UPDATE webhook_keys SET created_at = now() - interval '40 days', last_refused_at = now() - interval '2 hours' WHERE id = $1`, s.home.key.ID)
	doc := parse(t, c.get("/w/"+s.home.slug+"/keys?status=idle").body)
	if text := doc.Find("#basis").Text(); !strings.Contains(text, "Refused requests don’t count") || !strings.Contains(text, "2 seconds") {
		t.Errorf("the filter rests on %q", text)
	}
	if text := strings.Join(strings.Fields(doc.Find(".c-last").Text()), " "); text != "Last used Never here for 40 days last refused 2 h ago" {
		t.Errorf("the row says %q", text)
	}
	if doc := parse(t, c.get("/w/"+s.home.slug+"/keys?status=idle-90").body); doc.Find(".keys tbody tr").Length() != 0 || !strings.Contains(doc.Find(".filters-more summary").Text(), "Idle for 90 days") {
		t.Error("a filter of the menu is not told, or finds a key that is here for 40 days")
	}
}
