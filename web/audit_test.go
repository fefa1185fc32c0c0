package web_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
)

// auditPath is the home workspace's page of the trail, with more behind it.
func (s *stage) auditPath(more string) string { return "/w/" + s.home.slug + "/audit" + more }

// note adds n entries to the home workspace's trail.
func (s *stage) note(n int, by audit.Actor, action audit.Action, target audit.Target, before, after audit.Fields) {
	s.t.Helper()
	by.WorkspaceID = s.home.id
	changes := make([]audit.Change, n)
	for i := range changes {
		changes[i] = audit.Change{Action: action, Target: target, Before: before, After: after}
	}
	err := s.Console().InTx(context.Background(), func(tx *sqlx.Tx) error { return audit.RecordAll(context.Background(), tx, by, changes) })
	if err != nil {
		s.t.Fatal(err)
	}
}

// tamper runs a statement as the database's owner, who has taken the trigger away.
func (s *stage) tamper(statement string, args ...any) {
	s.t.Helper()
	raw := s.Raw()
	raw.MustExec(`ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only`)
	raw.MustExec(statement, args...)
	raw.MustExec(`ALTER TABLE audit_log ENABLE TRIGGER audit_log_append_only`)
}

// verify presses the button, has the verifier do its work, and returns the page.
func (s *stage) verify(c *client) *goquery.Document {
	s.t.Helper()
	if got := c.post(s.auditPath("/verify")); got.StatusCode != 303 || got.Header.Get("Location") != s.auditPath("") {
		s.t.Fatalf("verify = %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if err := s.verifier().Work(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return parse(s.t, c.get(s.auditPath("")).body)
}

func (s *stage) verifier() *audit.Verifier {
	return audit.NewVerifier(audit.NewStore(s.Maintenance()), s.ledger)
}

func text(page *goquery.Document, selector string) string {
	return strings.Join(strings.Fields(page.Find(selector).Text()), " ")
}

// numbers are the entries on a page, in their order.
func numbers(page *goquery.Document) (list []string) {
	page.Find(".audit tbody tr").Each(func(_ int, row *goquery.Selection) {
		list = append(list, strings.TrimPrefix(row.AttrOr("id", ""), "entry-"))
	})
	return list
}

// TestVerificationOnThePage goes through the states of the line: never, waiting,
// verifying, interrupted, verified.
func TestVerificationOnThePage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.join("auditor"))
	page := parse(t, c.get(s.auditPath("")).body)
	if got := text(page, "#verification h2"); got != "Never verified here" || page.Find("#verification [hx-get]").Length() != 0 || page.Find("#verification").AttrOr("hx-get", "") != "" {
		t.Errorf("before any verification the line says %q, or asks again", got)
	}
	for range 3 { // pressed again and again, one goes on
		c.post(s.auditPath("/verify"))
	}
	var asked int
	if err := s.Raw().Get(&asked, `SELECT count(*) FROM audit_verifications`); err != nil || asked != 1 {
		t.Errorf("%d verifications were asked for, %v; want 1", asked, err)
	}
	for _, tt := range []struct{ change, want string }{
		{`UPDATE audit_verifications SET checked = 0`, "The verification is about to begin"},
		{`UPDATE audit_verifications SET seen_at = now(), attempts = 1, checked = 3, total = 9`, "Checking 3 of 9"},
		{`UPDATE audit_verifications SET seen_at = now() - interval '20 seconds'`, "The verification was interrupted"},
	} {
		s.Raw().MustExec(tt.change)
		got := c.get(s.auditPath("/verification"))
		part := parse(t, got.body)
		if heading := text(part, "#verification h2"); heading != tt.want || part.Find("#verification").AttrOr("hx-get", "") != s.auditPath("/verification") || part.Find("#verification form").Length() != 0 {
			t.Errorf("%s: the line is %s", tt.change, text(part, "#verification"))
		}
		if whole := parse(t, c.get(s.auditPath("")).body); text(whole, "#verification h2") != tt.want || !strings.Contains(text(whole, "noscript"), "See how far it is") {
			t.Errorf("%s: without script the line is %s", tt.change, text(whole, "#verification"))
		}
	}
	// The process that ran it is gone; the next one takes it up.
	if err := s.verifier().Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := c.do("GET", s.auditPath("/verification"), nil, "HX-Request", "true")
	if got.Header.Get("HX-Refresh") != "true" {
		t.Error("the open page is not told that there is a verdict")
	}
	page = parse(t, c.get(s.auditPath("")).body)
	if heading := text(page, "#verification h2"); heading != "All 6 entries verified" || !strings.Contains(text(page, "#verification"), "by auditor. No checkpoint was there") {
		t.Errorf("the line is %s", text(page, "#verification"))
	}
	entries, err := s.trail.All(t.Context(), s.home.id.String(), 6, 10)
	if err != nil || len(entries) != 1 || entries[0].Action != audit.TrailVerified || entries[0].ActorLabel != "auditor" || entries[0].TargetLabel != "6 entries" || entries[0].RequestID == "" {
		t.Errorf("the verdict is recorded as %+v, %v", entries, err)
	}
	// With a checkpoint it rests on more, and what came since is told.
	c.post(s.auditPath("/checkpoint"))
	page = s.verify(c)
	if got := text(page, "#verification"); !strings.Contains(got, "All 8 entries verified") || !strings.Contains(got, "Held against 1 signed checkpoint.") {
		t.Errorf("the line is %s", got)
	}
	s.note(2, audit.Actor{Kind: audit.CLI, Label: "root@host"}, audit.KeyEdited, audit.Target{Kind: "key", Label: "x"}, nil, nil)
	if got := text(parse(t, c.get(s.auditPath("")).body), "#verification"); !strings.Contains(got, "The first 8 entries verified") || !strings.Contains(got, "2 newer entries are not yet") {
		t.Errorf("the line is %s", got)
	}
	if got := text(parse(t, c.get("/w/"+s.home.slug+"/overview").body), ".trail-line"); !strings.Contains(got, "Audit trail: 8 entries verified") {
		t.Errorf("the overview says %q", got)
	}
	if got := s.signIn(s.join("member")).get("/w/" + s.home.slug + "/overview").body; strings.Contains(got, "/audit") {
		t.Error("a member is led to the trail")
	}
}

// TestTamperedTrailOnThePage tampers in each way, and looks for the entry on the page.
func TestTamperedTrailOnThePage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, do, heading, says, row string
		missing                      bool
	}{
		{"altered", `UPDATE audit_log SET actor_label = 'Eve' WHERE chain = $1 AND seq = 5`, "entry 5", "The stored hash does not match the entry’s content. Entries up to 4 are intact.", "Content changed after writing. As stored now, may be false", false},
		{"removed", `DELETE FROM audit_log WHERE chain = $1 AND seq = 5`, "entry 5", "was taken out", "There is no entry in this place.", true},
		{"cut", `DELETE FROM audit_log WHERE chain = $1 AND seq > 8`, "entry 9", "The end of the trail is missing", "Missing from here on", true},
		{"swapped", `UPDATE audit_log SET seq = 1000 - seq WHERE chain = $1 AND seq IN (5, 7)`, "entry 5", "", "There is no entry in this place.", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.t = t
			s.note(7, audit.Actor{Kind: audit.CLI, Label: "root@host"}, audit.KeyEdited, audit.Target{Kind: "key", Label: "x"}, audit.Fields{"name": "a"}, audit.Fields{"name": "b"})
			c := s.signIn(s.home.owner)
			c.post(s.auditPath("/checkpoint"))
			s.tamper(tt.do, s.home.id.String())
			page := s.verify(c)
			line := text(page, "#verification")
			if !strings.Contains(line, "Verification failed at "+tt.heading) || !strings.Contains(line, tt.says) || !strings.Contains(line, "Do not delete anything") || page.Find("#verification [role=alert]").Length() != 1 {
				t.Errorf("the line is %s", line)
			}
			link := page.Find(`#verification a[href*="?entry="]`).AttrOr("href", "")
			path, anchor, _ := strings.Cut(link, "#")
			there := parse(t, c.get(path).body)
			if row := text(there, "#"+anchor+".broken"); !strings.Contains(row, tt.row) || (there.Find("#"+anchor+" .c-time").Length() == 0) != tt.missing {
				t.Errorf("%s leads to %q", link, row)
			}
			if n := there.Find(".doubted").Length(); tt.name != "cut" && n == 0 || there.Find(".broken").Length() != 1 {
				t.Errorf("%d entries behind it are not vouched for, %d are broken", n, there.Find(".broken").Length())
			}
			overview := text(parse(t, c.get("/w/"+s.home.slug+"/overview").body), "#wrong")
			if !strings.Contains(overview, "The audit trail is broken at "+tt.heading) {
				t.Errorf("the overview says %s", overview)
			}
		})
	}
}

// TestRewrittenTrailOnThePage: a trail that is right in itself is held against the
// checkpoints, and against those in the file too.
func TestRewrittenTrailOnThePage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	c.post(s.auditPath("/checkpoint"))
	chain := s.home.id.String()
	entries, err := s.trail.All(t.Context(), chain, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var previous audit.Entry
	for _, e := range entries { // anew, with another name in the first
		if e.Seq == 1 {
			e.ActorLabel = "Eve"
		} else {
			e.PrevHash = previous.Hash
		}
		e.Hash = e.Sum()
		s.tamper(`UPDATE audit_log SET actor_label = $3, prev_hash = $4, hash = $5 WHERE chain = $1 AND seq = $2`, chain, e.Seq, e.ActorLabel, e.PrevHash, e.Hash)
		previous = e
	}
	s.Raw().MustExec(`UPDATE audit_heads SET hash = $2 WHERE chain = $1`, chain, previous.Hash)
	s.Raw().MustExec(`ALTER TABLE audit_checkpoints DISABLE TRIGGER audit_checkpoints_append_only`)
	s.Raw().MustExec(`DELETE FROM audit_checkpoints`) // the file has it still
	line := text(s.verify(c), "#verification")
	if !strings.Contains(line, "Verification failed at entry 1") || !strings.Contains(line, "not what was signed") || !strings.Contains(line, fmt.Sprint("up to entry ", len(entries))) {
		t.Errorf("the line is %s", line)
	}
	// A checkpoint that was changed is not believed, and is no reason to say that all is well.
	file, err := os.ReadFile(s.ledger.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.ledger.Path, []byte(strings.Replace(string(file), `"number":1`, `"number":2`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	page := s.verify(c)
	if line := text(page, "#verification"); !strings.Contains(line, "could not be held against its checkpoints") || !strings.Contains(line, "heckpoint 2 can't be believed: its signature does not hold.") || page.Find("#verification.verify-bad").Length() != 1 {
		t.Errorf("the line is %s", line)
	}
}

// TestAuditFilters looks for entries in each way, alone and together.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ada, gone, request := s.join("admin"), uuid.New(), uuid.NewString()
	key := uuid.NewString()
	by := audit.Actor{Kind: audit.User, UserID: ada, Label: "Ada <b>", Address: "2001:db8::7", RequestID: request}
	s.note(1, by, audit.KeyEdited, audit.Target{Kind: "key", ID: key, Label: "Größe & more"}, audit.Fields{"note": "a<b"}, audit.Fields{"note": "50% of it"})                                // 7
	s.note(1, audit.Actor{Kind: audit.User, UserID: gone, Label: "Grace"}, audit.KeyDeactivated, audit.Target{Kind: "key", ID: key, Label: "Other"}, nil, audit.Fields{"reason": "retired"}) // 8
	s.note(1, audit.Actor{Kind: audit.CLI, Label: "root@host"}, audit.TokenDeactivated, audit.Target{Kind: "token", ID: "t", Label: "Reader"}, nil, nil)                                     // 9
	s.tamper(`UPDATE audit_log SET at = '2026-01-0' || seq || 'T10:00:00.000000Z' WHERE chain = $1`, s.home.id.String())
	c := s.signIn(s.home.owner)
	for query, want := range map[string]string{
		"":                                 "9 8 7 6 5 4 3 2 1",
		"who=" + ada.String():              "7",
		"who=" + gone.String():             "8",
		"who=cli":                          "9 2 1",
		"who=system":                       "",
		"action=key.edited":                "7",
		"action=tokens":                    "9 6 5",
		"action=keys&who=" + ada.String():  "7",
		"action=no.such":                   "",
		"address=2001:DB8:0:0::7":          "7",
		"q=gr%C3%B6sse":                    "",
		"q=gr%C3%B6%C3%9Fe":                "7",
		"q=50%25":                          "7",
		"q=5_%25":                          "",
		"q=a%3Cb":                          "7",
		"q=RETIRED":                        "8",
		"q=grace":                          "8",
		"q=" + key:                         "8 7",
		"q=" + request:                     "7",
		"from=2026-01-03&until=2026-01-04": "4 3",
		"until=2026-01-02+09:59":           "1",
		"from=2026-01-08+10:00":            "9 8",
		"range=24h":                        "",
		"from=2026-01-08&action=keys":      "8",
		"before=4":                         "3 2 1",
		"after=4":                          "9 8 7 6 5 4 3 2 1", // the newest page is a full one
		"before=-1":                        "9 8 7 6 5 4 3 2 1",
		"before=99999999999999999999":      "9 8 7 6 5 4 3 2 1",
	} {
		page := parse(t, c.get(s.auditPath("?"+query)).body)
		if got := strings.Join(numbers(page), " "); got != want {
			t.Errorf("?%s shows %q, want %q", query, got, want)
		}
		if chips := page.Find(".chips .chip").Length(); (chips == 0) != (query == "" || strings.Contains(query, "before=") || strings.Contains(query, "after=")) {
			t.Errorf("?%s has %d chips", query, chips)
		}
	}
	for _, query := range []string{"who=x", "action=Robert%27)%3B+DROP", "from=yesterday", "until=2026-13-01", "range=9y", "from=2026-02-01&until=2026-01-01", "q=" + strings.Repeat("x", 300)} {
		values, _ := url.ParseQuery(query)
		page := parse(t, c.get(s.auditPath("?"+values.Encode())).body)
		if page.Find(".filters .err, .filters [aria-invalid]").Length() == 0 || len(numbers(page)) != 0 {
			t.Errorf("?%s is not refused: %v", query, numbers(page))
		}
	}
	page := parse(t, c.get(s.auditPath("")).body)
	if got := text(page, "#entry-7 .diff"); got != "note: a<b → 50% of it" || page.Find("#entry-7 del").Text() != "a<b" || page.Find("#entry-7 ins").Text() != "50% of it" {
		t.Errorf("the change of entry 7 is %q", got)
	}
	if got := text(page, "#entry-8 .diff"); got != "reason: retired" || !strings.Contains(text(page, "#entry-8 .c-who"), "(deleted)") || strings.Contains(text(page, "#entry-7 .c-who"), "(deleted)") {
		t.Errorf("entry 8 says %q by %q", got, text(page, "#entry-8 .c-who"))
	}
	if got := page.Find("#entry-7 .c-tgt > a").AttrOr("href", ""); got != "/w/"+s.home.slug+"/keys/"+key {
		t.Errorf("entry 7 leads to %q", got)
	}
	if got := page.Find("#entry-7 .facts a").AttrOr("href", ""); got != s.auditPath("?q="+request) {
		t.Errorf("the request of entry 7 leads to %q", got)
	}
	var hash []byte
	if err := s.Raw().Get(&hash, `SELECT hash FROM audit_log WHERE chain = $1 AND seq = 7`, s.home.id.String()); err != nil || page.Find("#entry-7 .hash-full").Text() != hex.EncodeToString(hash) {
		t.Errorf("entry 7's hash in print is %q, want %x, %v", page.Find("#entry-7 .hash-full").Text(), hash, err)
	}
	printed := text(parse(t, c.get(s.auditPath("?action=keys")).body), ".print-only")
	if !strings.Contains(printed, "Workspace Home. Entries 3 to 8, of those with action “keys”.") || !strings.Contains(printed, "UTC") {
		t.Errorf("in print it says %q", printed)
	}
}

// TestAuditPages goes through a long trail and back.
func TestAuditPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.note(120, audit.Actor{Kind: audit.CLI, Label: "root@host"}, audit.KeyEdited, audit.Target{Kind: "key", Label: "x"}, nil, nil) // 7 to 126
	c := s.signIn(s.home.owner)
	path := s.auditPath("?who=cli")
	follow := func(label, want string) {
		t.Helper()
		page := parse(t, c.get(path).body)
		if list := numbers(page); list[0]+"-"+list[len(list)-1] != want {
			t.Errorf("%s shows %s to %s, want %s", path, list[0], list[len(list)-1], want)
		}
		path = ""
		page.Find(`nav[aria-label="Pages"] a`).Each(func(_ int, link *goquery.Selection) {
			if strings.Contains(link.Text(), label) {
				path = link.AttrOr("href", "")
			}
		})
	}
	follow("Older", "126-77")
	follow("Older", "76-27")
	follow("Newer", "26-1")
	follow("Newer", "76-27")
	follow("Newer", "126-77")
	if path != "" {
		t.Errorf("the newest page leads on to %s", path)
	}
	if list := numbers(parse(t, c.get(s.auditPath("?rows=500")).body)); len(list) != 126 {
		t.Errorf("to be printed there are %d entries, want 126", len(list))
	}
	page := parse(t, c.get(s.auditPath("?entry=60")).body)
	if list := numbers(page); list[0] != "65" || page.Find("#entry-60.gone-to").Length() != 1 {
		t.Errorf("going to entry 60 shows %v", list)
	}
}

// TestVerifiedOutside: somebody's word is taken if the hash is the one here.
func TestVerifiedOutside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.join("auditor"))
	entries, err := s.trail.All(t.Context(), s.home.id.String(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	right := hex.EncodeToString(entries[1].Hash)
	before := s.state()
	for _, tt := range []struct{ entry, hash, says string }{
		{"", "", "Write the number"}, {"x", right, "Write the number"}, {"-2", right, "Write the number"}, {"2", "abc", "64 hexadecimal digits"},
		{"99", right, "There is no such entry here"}, {"3", right, "another hash here"}, {"2", strings.Repeat("0", 64), "keep that file"},
	} {
		got := c.post(s.auditPath("/outside"), "entry", tt.entry, "hash", tt.hash)
		page := parse(t, got.body)
		if got.StatusCode != 422 || !strings.Contains(text(page, "#form-errors"), tt.says) || page.Find("#outside input[name=entry]").AttrOr("value", "") != tt.entry {
			t.Errorf("entry %q with %q = %d: %s", tt.entry, tt.hash, got.StatusCode, text(page, "#form-errors"))
		}
	}
	if after := s.state(); len(after) != len(before) {
		t.Error("what was refused changed something")
	}
	if got := c.post(s.auditPath("/outside"), "entry", "2", "hash", right); got.StatusCode != 303 {
		t.Fatalf("the right hash = %d: %.500s", got.StatusCode, got.body)
	}
	if got := text(parse(t, c.get(s.auditPath("")).body), "#verification"); !strings.Contains(got, "Never verified here") || !strings.Contains(got, "Verified outside up to entry 2, noted by auditor on 20") {
		t.Errorf("the line is %s", got)
	}
}

// TestAuditExportOnThePage: the file is what the command writes, and can be verified.
func TestAuditExportOnThePage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.note(1200, audit.Actor{Kind: audit.CLI, Label: "root@host"}, audit.KeyEdited, audit.Target{Kind: "key", Label: "x"}, nil, audit.Fields{"name": "=1+1"})
	c := s.signIn(s.home.owner)
	got := c.post(s.auditPath("/export"), "format", "ndjson")
	verdict, err := audit.Verify(audit.ReadExport(strings.NewReader(got.body)), func(string) audit.Known { return audit.Nothing() })
	if err != nil || verdict.String() != "ok, 1207 entries" || !strings.Contains(got.Header.Get("Content-Disposition"), `filename="audit-home-`) || got.Trailer.Get("Keyhook-Export") != "whole" {
		t.Errorf("the export verifies as %s, %v, with %v", verdict, err, got.Header)
	}
	if lines := strings.Split(strings.TrimSpace(got.body), "\n"); !strings.Contains(lines[len(lines)-1], `"audit.exported"`) {
		t.Errorf("the last line is %s", lines[len(lines)-1])
	}
	part := c.post(s.auditPath("/export"), "format", "csv", "filter", "action=evidence")
	if rows := strings.Count(part.body, "\n"); rows != 3 || !strings.Contains(part.body, `""filter"":""action=evidence""`) {
		t.Errorf("what the filter shows is %d rows: %s", rows, part.body)
	}
	for _, form := range [][]string{{"format", "xml"}, {"format", "csv", "filter", "who=x"}, {"format", "csv", "filter", "%zz"}} {
		if got := c.post(s.auditPath("/export"), form...); got.StatusCode != 422 {
			t.Errorf("%v = %d, want 422", form, got.StatusCode)
		}
	}
}
