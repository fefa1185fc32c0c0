package web_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
)

var tokenText = regexp.MustCompile(`kht_[0-9A-Za-z]{38}`)

// TestOneFormOneTokenShown sends one form many times at once: one answer shows the
// token, and nothing shows it again.
func TestOneFormOneTokenShown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	tokens := "/w/" + s.home.slug + "/tokens"
	nonce := parse(t, c.get(tokens+"/new").body).Find("input[name=form_nonce]").AttrOr("value", "")
	var lock sync.Mutex
	var shown, told int
	var id string
	var senders sync.WaitGroup
	for range 20 {
		senders.Go(func() {
			got := c.post(tokens, "name", "Loader", "scopes", "read-signals", "expires", "never", "form_nonce", nonce)
			lock.Lock()
			defer lock.Unlock()
			switch {
			case got.StatusCode != 200:
				t.Errorf("status %d: %.300s", got.StatusCode, got.body)
			case tokenText.MatchString(got.body):
				shown++
				id = strings.Split(parse(t, got.body).Find("form.gate").AttrOr("action", ""), "/")[4]
				if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("ETag") != "" {
					t.Errorf("the page with the token may be kept: %v", got.Header)
				}
				if parse(t, got.body).Find("[data-secret]").Length() != 1 {
					t.Error("the token is not marked to be wiped when the page is left")
				}
			case strings.Contains(got.body, "Home owner"):
				told++
			}
		})
	}
	senders.Wait()
	if shown != 1 || told != 19 {
		t.Fatalf("%d pages show the token and %d say to whom it was shown, want 1 and 19", shown, told)
	}
	if got := c.post(tokens+"/"+id+"/saved", "saved", "true"); got.StatusCode != 303 {
		t.Errorf("confirming = %d", got.StatusCode)
	}
	for _, path := range []string{"", "/new", "/" + id} {
		if got := c.get(tokens + path); got.StatusCode != 200 || tokenText.MatchString(got.body) {
			t.Errorf("%s = %d, or shows the token", path, got.StatusCode)
		}
	}
	for name, form := range map[string][]string{
		"no scope": {"name", "x", "form_nonce", "n1"}, "no name": {"scopes", "read-signals", "form_nonce", "n2"}, "no nonce": {"name", "x", "scopes", "read-signals"},
		"a name that is taken": {"name", "Loader", "scopes", "read-signals", "form_nonce", "n3"}, "NUL": {"name", "\x00", "scopes", "\x00", "form_nonce", "\x00"},
		"a bad date": {"name", "x", "scopes", "read-signals", "expires", "date", "expires_on", "31.12.", "form_nonce", "n4"},
	} {
		if got := c.post(tokens, form...); got.StatusCode != 422 {
			t.Errorf("%s = %d, want 422", name, got.StatusCode)
		}
	}
}

// TestTokenDeactivateAsksFirst: a token in use wants its name typed.
func TestTokenDeactivateAsksFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/tokens/" + s.home.token.ID.String()
	active := func() (is bool) {
		if err := s.Raw().Get(&is, `SELECT is_active FROM tokens WHERE id = $1`, s.home.token.ID); err != nil {
			t.Fatal(err)
		}
		return is
	}
	if got := c.post(path + "/deactivate"); got.StatusCode != 303 || active() {
		t.Errorf("an idle token: %d, active %v", got.StatusCode, active())
	}
	if got := c.post(path + "/reactivate"); got.StatusCode != 303 || !active() {
		t.Errorf("reactivating: %d, active %v", got.StatusCode, active())
	}
	s.Raw().MustExec(`UPDATE tokens SET last_used_at = now()`)
	for _, confirm := range []string{"", "home token"} {
		if got := c.post(path+"/deactivate", "confirm", confirm); got.StatusCode != 422 || !active() {
			t.Errorf("a token in use with %q typed: %d, active %v", confirm, got.StatusCode, active())
		}
	}
	if got := c.post(path+"/deactivate", "confirm", "Home token"); got.StatusCode != 303 || active() {
		t.Errorf("a token in use with its name typed: %d, active %v", got.StatusCode, active())
	}
}

// TestHostileSignals: whatever a sender sends stands in the page as text.
func TestHostileSignals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	plain := parse(t, c.get("/w/"+s.home.slug+"/signals/"+s.home.at.String()).body).Find("*").Length()
	for _, body := range []string{
		"<script>alert(1)</script>", `</pre><img src=x onerror=alert(1)>`, `" onmouseover="alert(1)`, "{{.}} ${x} <%= x %>", "javascript:alert(1)",
		`<div hx-get="/sign-out" hx-trigger="load">`, "\u202eexe.txt\u2066", "\x1b[34mblue\x1b[0m", "\u2028\u2029", "<!--", "]]>", `{"a":"</script>"}`,
	} {
		id := s.arrive(s.home, body, "application/json", body)
		page := c.get("/w/" + s.home.slug + "/signals/" + id.String())
		doc := parse(t, page.body)
		if got := doc.Find("*").Length(); page.StatusCode != 200 || got != plain {
			t.Errorf("%q makes a page of %d elements, want %d", body, got, plain)
		}
		if text := doc.Find("pre.payload").Text(); strings.ContainsAny(text, "\x1b\u202e\u2066\u2028") || strings.TrimSpace(text) == "" {
			t.Errorf("%q is shown as %q", body, text)
		}
	}
	list := parse(t, c.get("/w/"+s.home.slug+"/signals").body)
	if list.Find(".sigs script, .sigs img, .sigs div, .sigs [onmouseover]").Length() != 0 || list.Find(".sigs .c-body").Length() != 13 {
		t.Error("the list holds what a sender sent as more than text")
	}
	binary := s.arrive(s.home, "", "application/octet-stream", "\x00\xff\xfe")
	if page := c.get("/w/" + s.home.slug + "/signals/" + binary.String()); !strings.Contains(page.body, "no text") {
		t.Error("bytes that are no text are shown")
	}
	raw := c.get("/w/" + s.home.slug + "/signals/" + binary.String() + "/body")
	if raw.body != "\x00\xff\xfe" || raw.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(raw.Header.Get("Content-Disposition"), "attachment") ||
		raw.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(raw.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the raw body is %q with %v", raw.body, raw.Header)
	}
}

// TestPayloads: an auditor sees bodies only where the workspace says so, and who
// opened one is in the trail.
func TestPayloads(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.arrive(s.home, "e", "application/json", `{"canary":"sparrow"}`)
	auditor := s.signIn(s.join("auditor"))
	list, page := "/w/"+s.home.slug+"/signals", "/w/"+s.home.slug+"/signals/"+id.String()
	for _, may := range []bool{false, true} {
		s.Raw().MustExec(`UPDATE workspaces SET auditors_see_payloads = $1`, may)
		for _, path := range []string{list, page} {
			if got := auditor.get(path); got.StatusCode != 200 || strings.Contains(got.body, "sparrow") != may {
				t.Errorf("%s for an auditor, payloads %v = %d, shows the body %v", path, may, got.StatusCode, !may)
			}
		}
		if got := auditor.get(page + "/body"); got.StatusCode != map[bool]int{false: 403, true: 200}[may] {
			t.Errorf("the raw body for an auditor, payloads %v = %d", may, got.StatusCode)
		}
	}
	var entries int
	if err := s.Raw().Get(&entries, `SELECT count(*) FROM audit_log WHERE action = $1 AND target_id = $2`, audit.PayloadViewed, id.String()); err != nil || entries != 2 {
		t.Errorf("%d entries say who opened the body, %v; want 2", entries, err)
	}
}

// TestSignalPages follows Older and Newer through a list, of all keys and of one.
func TestSignalPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	for n := range 119 {
		s.arrive(s.home, fmt.Sprint("event ", n), "application/json", "{}")
	}
	for _, query := range []string{"", "?key=" + s.home.key.ID.String(), "?key=garbage&before=garbage"} {
		path, seen, sizes := "/w/"+s.home.slug+"/signals"+query, map[string]bool{}, []int{}
		back := ""
		for path != "" {
			doc := parse(t, c.get(path).body)
			links := doc.Find(".sigs .c-time a")
			sizes = append(sizes, links.Length())
			for i := range links.Length() {
				seen[links.Eq(i).AttrOr("href", "")] = true
			}
			back = doc.Find(`nav[aria-label=Pages] a:contains("Newer")`).AttrOr("href", "")
			path = doc.Find(`nav[aria-label=Pages] a:contains("Older")`).AttrOr("href", "")
		}
		if len(seen) != 120 || fmt.Sprint(sizes) != "[50 50 20]" {
			t.Errorf("%q: %d signals in pages of %v", query, len(seen), sizes)
		}
		for _, want := range []int{50, 50} {
			doc := parse(t, c.get(back).body)
			if n := doc.Find(".sigs .c-time a").Length(); n != want {
				t.Errorf("%q: going back shows %d signals, want %d", query, n, want)
			}
			back = doc.Find(`nav[aria-label=Pages] a:contains("Newer")`).AttrOr("href", "")
		}
		if back != "" {
			t.Errorf("%q: in front of the first page is %s", query, back)
		}
	}
	if got := c.get("/w/" + s.home.slug + "/signals?key=" + s.foreign.key.ID.String()); strings.Contains(got.body, "Foreign") {
		t.Error("another workspace's key is named")
	}
}

// TestReadersAreShown: how far a reader is, what it holds back, and what it will
// miss, before it does.
func TestReadersAreShown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	signals := "/w/" + s.home.slug + "/signals"
	if got := c.get(signals); !strings.Contains(got.body, "No program has read here yet") {
		t.Error("without a reader the page does not say so")
	}
	s.Raw().MustExec(`INSERT INTO signal_readers (token_id, workspace_id, epoch, commit_xid, signal_id, read_at) VALUES ($1, $2, 0, '0', $1, now())`, s.home.token.ID, s.home.id)
	for began := time.Now(); time.Since(began) < 30*time.Second; { // other tests write in the same cluster
		if held, err := inbox.NewStore(s.ingestion, s.box).HeldBack(t.Context(), s.home.id); err != nil || held.Signals == 0 {
			break
		}
	}
	if got := c.get(signals); !strings.Contains(got.body, "1 signal behind") || strings.Contains(got.body, "will miss") {
		t.Error("a reader that is behind is not shown so, or there is a warning too soon")
	}
	s.Raw().MustExec(`UPDATE signals SET received_at = now() - interval '84 days' WHERE workspace_id = $1`, s.home.id)
	if got := c.get(signals); !strings.Contains(got.body, "<bdi>Home token</bdi> will miss signals from") {
		t.Error("what a reader will miss is not told a week ahead")
	}
	if got := c.post(signals+"/retention", "keep", "10", "unread", "400", "deliveries", "90", "payloads", "30"); got.StatusCode != 303 {
		t.Errorf("setting retention = %d", got.StatusCode)
	}
	if got := c.get(signals); strings.Contains(got.body, "will miss") || !strings.Contains(got.body, "400 days") {
		t.Error("with more days there is a warning still, or they are not shown")
	}
	for _, form := range [][]string{
		{"keep", "0", "unread", "9", "deliveries", "90", "payloads", "30"},
		{"keep", "x", "unread", "9", "deliveries", "90", "payloads", "30"},
		{"keep", "9", "unread", "8", "deliveries", "90", "payloads", "30"},
		{"keep", "9", "unread", "9", "deliveries", "9", "payloads", "10"},
		{"keep", "9", "unread", "9", "deliveries", "9"},
		{},
	} {
		if got := c.post(signals+"/retention", form...); got.StatusCode != 422 {
			t.Errorf("%v = %d, want 422", form, got.StatusCode)
		}
	}
	if _, err := s.keys.DeactivateToken(t.Context(), audit.Actor{WorkspaceID: s.home.id, Kind: audit.CLI}, s.home.token.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.get(signals); !strings.Contains(got.body, "works no more") {
		t.Error("a reader that is gone is shown as if signals waited for it")
	}

	// A transaction that writes and stays open is told of.
	tx := s.Raw().MustBegin()
	defer tx.Rollback()
	tx.MustExec(`SELECT pg_current_xact_id()`)
	s.arrive(s.home, "held", "application/json", "{}")
	s.Raw().MustExec(`UPDATE signals SET received_at = now() - interval '61 seconds' WHERE id = (SELECT max(id::text)::uuid FROM signals)`)
	if got := c.get(signals); !strings.Contains(got.body, "Readers wait: ") {
		t.Error("what readers wait for is not shown")
	}
	held, err := inbox.NewStore(s.Console(), s.box).HeldBack(t.Context(), s.home.id)
	if err != nil || held.Signals == 0 || time.Since(held.Since) < time.Minute {
		t.Errorf("HeldBack = %+v, %v", held, err)
	}
}
