package web_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
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
