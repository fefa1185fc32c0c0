package web_test

import (
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
)

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
	toPrint, _ := parse(t, c.get(s.auditPath("")).body).Find("#trail a[href*='rows=500']").Attr("href")
	if list := numbers(parse(t, c.get(toPrint).body)); len(list) != 126 {
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
	before := s.rows()
	for _, tt := range []struct{ entry, hash, says string }{
		{"", "", "Write the number"},
		{"x", right, "Write the number"},
		{"-2", right, "Write the number"},
		{"2", "abc", "64 hexadecimal digits"},
		{"99", right, "There is no such entry here"},
		{"3", right, "another hash here"},
		{"2", strings.Repeat("0", 64), "keep that file"},
	} {
		got := c.post(s.auditPath("/outside"), "entry", tt.entry, "hash", tt.hash)
		page := parse(t, got.body)
		if got.StatusCode != 422 || !strings.Contains(text(page, "#form-errors"), tt.says) || page.Find("#outside input[name=entry]").AttrOr("value", "") != tt.entry {
			t.Errorf("entry %q with %q = %d: %s", tt.entry, tt.hash, got.StatusCode, text(page, "#form-errors"))
		}
	}
	if diff := cmp.Diff(before, s.rows()); diff != "" {
		t.Errorf("what was refused changed something:\n%s", diff)
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
