package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"
)

// countHour writes a count of an hour as the roll-up leaves it.
func (s *stage) countHour(key, workspace uuid.UUID, hour time.Time, outcome, reason string, n int, bucket string) {
	s.t.Helper()
	s.Raw().MustExec(`INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, not_kept, last_at, `+bucket+`)
		VALUES ($1, $2, 1, $3, $4, $5, $6, 0, $2, $6)`, key, hour, outcome, reason, workspace, n)
}

func (a answer) page(t *testing.T) *goquery.Document {
	t.Helper()
	page, err := goquery.NewDocumentFromReader(strings.NewReader(a.body))
	if err != nil || a.StatusCode != 200 {
		t.Fatalf("answer %d, %v", a.StatusCode, err)
	}
	return page
}

// cells are a table's texts, row by row.
func cells(page *goquery.Document, table string) (rows []string) {
	page.Find(table + " tbody tr").Each(func(_ int, row *goquery.Selection) {
		texts := row.Find("th, td").Map(func(_ int, cell *goquery.Selection) string {
			cell.Find(".sub").Remove()
			return strings.TrimSpace(cell.Text())
		})
		rows = append(rows, strings.Join(texts, "|"))
	})
	return rows
}

// TestUsagePage: the numbers of a range, each with a way to the requests that it
// counts, and nothing of another workspace.
func TestUsagePage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	now := time.Now().UTC()
	today := now.Truncate(24 * time.Hour)
	key, home := s.home.key.ID, s.home.id
	s.countHour(key, home, today, "accepted", "", 899, "took_4")
	s.countHour(key, home, today, "duplicate", "", 50, "took_4")
	s.countHour(key, home, today, "refused", "signature_wrong", 40, "took_64")
	s.countHour(key, home, today, "refused", "malformed_api_key", 10, "took_64")
	s.countHour(key, home, today.AddDate(0, -11, 0), "accepted", "", 5_000_000_000, "took_more")
	s.countHour(s.foreign.key.ID, s.foreign.id, today, "refused", "invalid_json", 77_777, "took_1")
	c := s.signIn(s.home.owner)

	for _, path := range []string{"/w/" + s.home.slug + "/usage", "/w/" + s.home.slug + "/keys/" + key.String()} {
		page := c.get(path + "?range=30d").page(t)
		if text := page.Find(".legend-row").First().Text(); !strings.Contains(text, "Accepted 900") || !strings.Contains(text, "Duplicate 50") || !strings.Contains(text, "Refused 50") {
			t.Errorf("%s: the legend says %q, want 900, 50 and 50", path, text) // 900: one arrived when the stage was set
		}
		rows := cells(page, `table:contains("Requests per day")`)
		if want := today.Format("2 Jan") + "|900|50|50"; len(rows) != 30 || rows[29] != want || rows[0][strings.Index(rows[0], "|"):] != "|0|0|0" {
			t.Errorf("%s: %d days, the last %q, want 30 and %q", path, len(rows), rows[len(rows)-1], want)
		}
		if got := cells(page, `table:contains("by reason")`); fmt.Sprint(got) != "[Signature wrong|80.00 %|40 Malformed API key|20.00 %|10]" {
			t.Errorf("%s: reasons %q", path, got)
		}
		times := cells(page, `table:contains("Answer times per day")`)
		if want := today.Format("2 Jan") + "|within 4 ms|within 64 ms"; times[29] != want || !strings.HasSuffix(times[0], "|none|none") {
			t.Errorf("%s: answer times %q, want %q", path, times[29], want)
		}
		long := c.get(path + "?range=13m").page(t)
		if rows := cells(long, `table:contains("Requests per month")`); len(rows) != 13 || !strings.Contains(strings.Join(rows, " "), "|5,000,000,000|0|0") {
			t.Errorf("%s: months %q", path, rows)
		}
		if text := long.Find(".legend-row").Last().Text(); strings.Count(text, "over 1,024 ms") != 2 {
			t.Errorf("%s: the answer times are %q", path, text)
		}
		if strings.Contains(c.get(path).body, "77,777") {
			t.Errorf("%s tells what another workspace received", path)
		}
	}
	if got := cells(c.get("/w/"+s.home.slug+"/usage?range=30d").page(t), `table:contains("by key")`); fmt.Sprint(got) != "[Home key|100.00 %|1,000|50|50]" {
		t.Errorf("busiest keys: %q", got)
	}
}

// TestUsageLinks: a reason and a bar lead to the requests that they count; what is
// too old to have rows leads nowhere.
func TestUsageLinks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	s.countHour(s.home.key.ID, s.home.id, today, "refused", "signature_wrong", 40, "took_64")
	s.countHour(s.home.key.ID, s.home.id, today.AddDate(0, -9, 0), "refused", "signature_wrong", 40, "took_64")
	c := s.signIn(s.home.owner)
	for path, key := range map[string]string{"/usage": "", "/keys/" + s.home.key.ID.String(): s.home.key.ID.String()} {
		page := c.get("/w/" + s.home.slug + path + "?range=30d").page(t)
		link := page.Find(`table:contains("by reason") tbody a`).AttrOr("href", "")
		at, query, _ := strings.Cut(link, "?")
		got, err := url.ParseQuery(query)
		want := url.Values{"outcome": {"refused"}, "reason": {"signature_wrong"}, "from": {today.AddDate(0, 0, -29).Format("2006-01-02T15:04")}, "until": {today.AddDate(0, 0, 1).Format("2006-01-02T15:04")}}
		if key != "" {
			want.Set("key", key)
		}
		if err != nil || at != "/w/"+s.home.slug+"/deliveries" || got.Encode() != want.Encode() {
			t.Errorf("%s: the reason leads to %s, want %s", path, link, want.Encode())
		}
		if n := page.Find(`.chart a[tabindex="-1"]`).Length(); n != 1 {
			t.Errorf("%s: %d columns are links, want that with requests", path, n)
		}
		long := c.get("/w/" + s.home.slug + path + "?range=13m").page(t)
		if rows, links := cells(long, `table:contains("Requests per month")`), long.Find(`table:contains("Requests per month") tbody a`).Length(); len(rows) != 13 || links != 1 {
			t.Errorf("%s: %d of %d months are links, want this one", path, links, len(rows))
		}
	}
}

// TestUsageOfNothing: every range of an empty workspace and of a nonsense range.
func TestUsageOfNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Raw().MustExec(`DELETE FROM delivery_tallies`)
	c := s.signIn(s.home.owner)
	for name, bars := range map[string]int{"24h": 24, "7d": 42, "30d": 30, "90d": 45, "13m": 13, "": 42, "7%00": 42, "9999d": 42} {
		page := c.get("/w/" + s.home.slug + "/usage?range=" + name).page(t)
		if n := page.Find(".chart g").Length(); n != bars {
			t.Errorf("range %q: %d bars, want %d", name, n, bars)
		}
		if text := page.Find("main").Text(); !strings.Contains(text, "No request came in this time.") || !strings.Contains(text, "No key was used in this time.") {
			t.Errorf("range %q does not say that it is empty", name)
		}
	}
}
