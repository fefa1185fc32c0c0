package web_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"keyhook/internal/audit"
	"keyhook/internal/keyring"
)

// filled is a form as a browser would send it, untouched.
func filled(page *goquery.Document) url.Values {
	form := url.Values{}
	page.Find("#key-form").Find("input, select, textarea").Each(func(_ int, e *goquery.Selection) {
		name, kind := e.AttrOr("name", ""), e.AttrOr("type", "")
		_, checked := e.Attr("checked")
		switch {
		case name == "" || (kind == "radio" || kind == "checkbox") && !checked:
		case goquery.NodeName(e) == "select":
			form.Set(name, e.Find("option[selected]").AttrOr("value", e.Find("option").AttrOr("value", "")))
		case goquery.NodeName(e) == "textarea":
			form.Set(name, e.Text())
		default:
			form.Set(name, e.AttrOr("value", ""))
		}
	})
	return form
}

// facts are a key's details by their names.
func facts(page *goquery.Document) map[string]string {
	all := map[string]string{}
	page.Find("aside dl.facts > div").Each(func(_ int, e *goquery.Selection) {
		all[e.Find("dt").Text()] = strings.Join(strings.Fields(e.Find("dd").Text()), " ")
	})
	return all
}

// TestEachFieldOfTheForm changes one field at a time on the page that edits a key,
// sees it on the key's page, in its trail, and in the form when it is opened again;
// and makes a key with that field on the page that makes one.
func TestEachFieldOfTheForm(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	bo := s.join("member")
	keys := "/w/" + s.home.slug + "/keys"
	path := keys + "/" + s.home.key.ID.String()
	for _, tt := range []struct {
		set         map[string]string
		fact, shows string // on the key's page
		trail       string
	}{
		{map[string]string{"name": "Renamed"}, "", "", "name: Home key → Renamed"},
		{map[string]string{"source": "orders-eu"}, "Source", "orders-eu", "source: home-key → orders-eu"},
		{map[string]string{"owner": bo.String()}, "Owner", "member", "owner: none → member"},
		{map[string]string{"labels": "eu, live"}, "Labels", "eulive", "labels: none → eu, live"},
		{map[string]string{"note": "Ask Bo."}, "Note", "Ask Bo.", "note: none → Ask Bo."},
		{map[string]string{"require_signature": "true"}, "Proof", "Signature required", "require signature: no → yes"},
		{map[string]string{"allow_in_url": "true"}, "Proof", "API key allowed in the URL", "allow in url: no → yes"},
		{map[string]string{"ref_pointer": "/data/id"}, "Event’s id", "/data/id where no", "ref pointer: none → /data/id"},
		{map[string]string{"identical_bodies": "duplicate"}, "Event’s id", "The same body again is a duplicate", "identical bodies: flag → duplicate"},
		{map[string]string{"log": "headers"}, "Log", "Keeps headers and hash only", "log: full → headers"},
		{map[string]string{"expires": "date", "expires_on": "2031-02-03"}, "Expires", "3 Feb 2031, 23:59 UTC", "expires at: never → 2031-02-03T23:59:59Z"},
		{map[string]string{"rate_limit": "600", "rate_per": "hour"}, "Rate limit", "600 per hour", "rate limit: none → 600 per hour"},
		{map[string]string{"daily_quota": "5000"}, "Quota", "5,000 a day", "daily quota: none → 5000"},
		{map[string]string{"allowed_cidrs": "192.0.2.7/24\n2001:db8::1"}, "Allowed from", "192.0.2.0/24 2001:db8::1/128", "allowed cidrs: none → 192.0.2.0/24, 2001:db8::1/128"},
		{map[string]string{"other_sources": "returns"}, "Source", "also returns", "other sources: none → returns"},
	} {
		untouched := filled(parse(t, c.get(path+"/edit").body))
		form := url.Values{}
		for name, values := range untouched {
			form[name] = values
		}
		for name, value := range tt.set {
			form.Set(name, value)
		}
		if got := c.do("POST", path+"/edit", form); got.StatusCode != 303 {
			t.Errorf("%v = %d: %.300s", tt.set, got.StatusCode, got.body)
			continue
		}
		page := parse(t, c.get(path).body)
		changes := page.Find(".timeline li").First().Find(".diff li")
		if got := facts(page)[tt.fact]; tt.fact != "" && !strings.Contains(got, tt.shows) {
			t.Errorf("%v: the key's page says %s: %q, want %q", tt.set, tt.fact, got, tt.shows)
		}
		if changes.Length() != 1 || changes.Text() != tt.trail {
			t.Errorf("%v: the trail says %q, want %q alone", tt.set, changes.Text(), tt.trail)
		}
		again := filled(parse(t, c.get(path+"/edit").body))
		for name := range tt.set {
			if name != "expires" && name != "allowed_cidrs" && again.Get(name) != tt.set[name] {
				t.Errorf("%v: opened again, the form has %q in %s", tt.set, again.Get(name), name)
			}
		}
		if got := c.do("POST", path+"/edit", again); got.StatusCode != 303 || strings.Contains(c.get(path+"/edit").body, "changed this key") {
			t.Errorf("%v: the form sent untouched = %d", tt.set, got.StatusCode)
		}
		if n := parse(t, c.get(path).body).Find(".timeline li").First().Find(".diff li"); n.Text() != tt.trail {
			t.Errorf("%v: the form sent untouched left %q in the trail", tt.set, n.Text())
		}
		again.Del("seen")
		for name := range tt.set {
			again.Set(name, untouched.Get(name))
		}
		if again.Get("expires") == "keep" {
			again.Set("expires", "never")
		}
		if got := c.do("POST", path+"/edit", again); got.StatusCode != 303 {
			t.Errorf("%v: back = %d", tt.set, got.StatusCode)
		}
		made := filled(parse(t, c.get(keys+"/new").body))
		made.Set("name", "Made with "+tt.trail[:4])
		for name, value := range tt.set {
			made.Set(name, value)
		}
		answer := c.do("POST", keys, made)
		link := parse(t, answer.body).Find(`form[action$="/saved"]`).AttrOr("action", "/saved")
		if answer.StatusCode != 200 {
			t.Errorf("%v: made = %d", tt.set, answer.StatusCode)
		} else if got := facts(parse(t, c.get(strings.TrimSuffix(link, "/saved")).body))[tt.fact]; tt.fact != "" && !strings.Contains(got, tt.shows) {
			t.Errorf("%v: a key that is made so shows %q, want %q", tt.set, got, tt.shows)
		}
		s.Raw().MustExec(`UPDATE webhook_keys SET name = id::text, source = id::text WHERE id <> $1`, s.home.key.ID)
	}
}

// TestEditClash: two people have the form of one key open. The second to save is
// shown what is stored now beside their own, keeps what they typed, and decides.
func TestEditClash(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first, second := s.signIn(s.home.owner), s.signIn(s.join("admin"))
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	mine, theirs := filled(parse(t, second.get(path+"/edit").body)), filled(parse(t, first.get(path+"/edit").body))
	theirs.Set("note", "Moved to hall 4.")
	theirs.Set("rate_limit", "10")
	mine.Set("note", "Ask Mateo <b>first</b>.")
	mine.Set("labels", "live")
	for range 2 { // a double click is no clash
		if got := first.do("POST", path+"/edit", theirs); got.StatusCode != 303 {
			t.Fatalf("the first = %d", got.StatusCode)
		}
	}
	got := second.do("POST", path+"/edit", mine)
	page := parse(t, got.body)
	note := page.Find("#form-errors")
	if got.StatusCode != 409 || !strings.Contains(note.Text(), "Home owner changed this key on") || !strings.Contains(note.Text(), "Nothing of yours is saved yet") {
		t.Errorf("the second = %d: %q", got.StatusCode, note.Text())
	}
	var lines []string
	note.Find(".diff li").Each(func(_ int, e *goquery.Selection) { lines = append(lines, e.Text()) })
	if want := "labels: stored now none, yours live|note: stored now Moved to hall 4., yours Ask Mateo <b>first</b>.|rate limit: stored now 10 per minute, yours none"; strings.Join(lines, "|") != want {
		t.Errorf("the differences are %q, want %q", lines, want)
	}
	kept := filled(page)
	if kept.Get("note") != mine.Get("note") || kept.Get("labels") != "live" || kept.Get("rate_limit") != "" || kept.Get("seen") == mine.Get("seen") {
		t.Errorf("the form has %v", kept)
	}
	if stored := filled(parse(t, first.get(path+"/edit").body)); stored.Get("note") != "Moved to hall 4." {
		t.Errorf("the clash changed the note to %q", stored.Get("note"))
	}
	if got := second.do("POST", path+"/edit", kept); got.StatusCode != 303 {
		t.Errorf("saved again = %d", got.StatusCode)
	}
	if stored := filled(parse(t, first.get(path+"/edit").body)); stored.Get("note") != mine.Get("note") || stored.Get("rate_limit") != "" {
		t.Errorf("saved again, the key has %v", stored)
	}
	var entries []string
	if err := s.Raw().Select(&entries, `SELECT after::text FROM audit_log WHERE action = 'key.edited' ORDER BY seq`); err != nil || len(entries) != 2 {
		t.Errorf("%d records of two edits, %v", len(entries), err)
	}
	for _, entry := range entries {
		if !json.Valid([]byte(entry)) {
			t.Errorf("a record says %s", entry)
		}
	}
}

// TestExpiryField: a year unless chosen otherwise, never on purpose, and no day
// that is over; an expired key keeps its end when something else is edited.
func TestExpiryField(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	keys := "/w/" + s.home.slug + "/keys"
	path := keys + "/" + s.home.key.ID.String()
	page := parse(t, c.get(keys+"/new").body)
	if chosen := page.Find("[name=expires][checked]").AttrOr("value", ""); chosen != "1y" || !strings.Contains(page.Find("label[for=expires_on]").Text(), "UTC") {
		t.Errorf("the form offers %q first, want a year", chosen)
	}
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	for _, day := range []string{yesterday, "", "2027-02-30", "soon", "9999-01-01"} {
		form := filled(page)
		form.Set("name", "Dated")
		form.Set("expires", "date")
		form.Set("expires_on", day)
		got := c.do("POST", keys, form)
		errors := parse(t, got.body).Find("#expires_on-error, #expires-error")
		if got.StatusCode != 422 || errors.Length() == 0 {
			t.Errorf("the day %q = %d, %q", day, got.StatusCode, errors.Text())
		}
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = date_trunc('second', now() - interval '1 day') WHERE id = $1`, s.home.key.ID)
	expired := parse(t, c.get(path+"/edit").body)
	if text := expired.Find("label[for=expires-keep]").Text(); !strings.Contains(text, "UTC") {
		t.Errorf("the end that the key has is %q, want it with its time", text)
	}
	form := filled(expired)
	form.Set("note", "Still expired.")
	if got := c.do("POST", path+"/edit", form); got.StatusCode != 303 || !strings.Contains(c.get(path).body, "This key has expired") {
		t.Errorf("a note for an expired key = %d", got.StatusCode)
	}
	form = filled(parse(t, c.get(path+"/edit").body))
	form.Set("expires", "never")
	if got := c.do("POST", path+"/edit", form); got.StatusCode != 303 || facts(parse(t, c.get(path).body))["Expires"] != "Never" {
		t.Errorf("never = %d", got.StatusCode)
	}
}

// TestGivingAway: who may change a key only as its owner is told what giving it
// away means, and afterwards sees it without the means to change it.
func TestGivingAway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cy := s.newUser("Cy")
	s.Raw().MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'member')`, s.home.id, cy)
	c := s.signIn(s.join("member"))
	var bo string
	if err := s.Raw().Get(&bo, `SELECT user_id FROM memberships WHERE workspace_id = $1 AND role = 'member' AND user_id <> $2`, s.home.id, cy); err != nil {
		t.Fatal(err)
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, bo, s.home.key.ID)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	page := parse(t, c.get(path+"/edit").body)
	if !strings.Contains(page.Find("#owner-hint").Text(), "only because you own it") {
		t.Error("the form does not say what giving the key away means")
	}
	if owner := s.signIn(s.home.owner); strings.Contains(owner.get(path+"/edit").body, "only because you own it") {
		t.Error("the form says so to somebody who may change any key")
	}
	form := filled(page)
	for _, wrong := range []string{s.foreign.owner.String(), "nobody"} {
		form.Set("owner", wrong)
		if got := c.do("POST", path+"/edit", form); got.StatusCode != 422 || parse(t, got.body).Find("#owner[aria-invalid]").Length() != 1 {
			t.Errorf("the owner %s = %d, want 422 and the error at its field", wrong, got.StatusCode)
		}
	}
	form.Set("owner", cy.String())
	if got := c.do("POST", path+"/edit", form); got.StatusCode != 303 {
		t.Fatalf("giving it away = %d: %.300s", got.StatusCode, got.body)
	}
	after := parse(t, c.get(path).body)
	if !strings.HasSuffix(facts(after)["Owner"], "Cy") || after.Find(`a[href$="/edit"]`).Length() != 0 {
		t.Errorf("afterwards the owner is %q and the page offers to edit", facts(after)["Owner"])
	}
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Home", Role: "owner"}
	if _, err := s.keys.Rotate(t.Context(), by, s.home.key.ID, keyring.Rotation{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if list := c.get("/w/" + s.home.slug + "/keys").body; !strings.Contains(strings.Join(strings.Fields(parse(t, list).Find(".st-info").Text()), " "), "Rotating") {
		t.Error("the list does not call the key rotating")
	}
}
