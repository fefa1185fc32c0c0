package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"keyhook/views"
)

// TestChartLabels: one label to a cell of the grid, in the middle of the bars that
// it is about.
func TestChartLabels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		span  string
		first time.Time
		bars  int
		width time.Duration
		want  string
	}{
		{"7d", time.Date(2026, 11, 17, 0, 0, 0, 0, time.UTC), 42, 4 * time.Hour, "17 Nov,18,19,20,21,22,23 Nov"},
		{"7d", time.Date(2026, 8, 30, 0, 0, 0, 0, time.UTC), 42, 4 * time.Hour, "30 Aug,31,1 Sep,2 Sep,3,4,5 Sep"},
		{"30d", time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC), 30, 24 * time.Hour, "27 Oct,1 Nov,6 Nov,11 Nov,16 Nov,21 Nov"},
		{"90d", time.Date(2026, 8, 26, 0, 0, 0, 0, time.UTC), 45, 48 * time.Hour, "30 Aug,9 Sep,19 Sep,29 Sep,9 Oct,19 Oct,29 Oct,8 Nov,18 Nov"},
		{"24h", time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC), 24, time.Hour, "16:00,19:00,22:00,01:00,04:00,07:00,10:00,13:00"},
	} {
		page := keyPage("")
		page.Usage = views.Usage{Range: tt.span}
		for i := range tt.bars {
			page.Usage.Bars = append(page.Usage.Bars, views.Count{From: tt.first.Add(time.Duration(i) * tt.width)})
		}
		labels := render(t, views.Key(page)).Find(".chart .x.x-days span").Map(func(_ int, s *goquery.Selection) string { return s.Text() })
		if got := strings.Join(labels, ","); got != tt.want {
			t.Errorf("%s from %s: labels %s, want %s", tt.span, tt.first.Format(time.DateOnly), got, tt.want)
		}
	}
}

// TestMonthLabels: the two months that stand twice name their year.
func TestMonthLabels(t *testing.T) {
	t.Parallel()
	page := keyPage("")
	page.Usage = views.Usage{Range: "13m"}
	for i := range 13 {
		page.Usage.Bars = append(page.Usage.Bars, views.Count{From: time.Date(2025, time.Month(11+i), 1, 0, 0, 0, 0, time.UTC)})
	}
	drawn := render(t, views.Key(page))
	labels := drawn.Find(".chart .x-months span").Map(func(_ int, s *goquery.Selection) string { return s.Text() })
	if got := strings.Join(labels, ","); got != "Nov ’25,Dec,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov ’26" {
		t.Errorf("labels %s", got)
	}
	if title := drawn.Find(".chart title").First().Text(); !strings.HasPrefix(title, "Nov 2025 UTC") {
		t.Errorf("the first month is called %q", title)
	}
}

// TestSpike: one huge column does not hide that others have something.
func TestSpike(t *testing.T) {
	t.Parallel()
	page := keyPage("")
	page.Usage = views.Usage{Range: "30d", Bars: counts(30, 24*time.Hour, 0)}
	page.Usage.Bars[3].Accepted, page.Usage.Bars[4] = 10_000_000, views.Count{Accepted: 1}
	drawn := render(t, views.Key(page))
	for i, want := range map[int]string{3: "133.3", 4: "2.5"} {
		bars := drawn.Find(".chart g").Eq(i).Find("rect.a")
		if got := bars.AttrOr("height", ""); bars.Length() != 1 || got != want {
			t.Errorf("column %d is %s units high, want %s", i, got, want)
		}
	}
	if top := drawn.Find(".chart .y span").First().Text(); top != "12M" {
		t.Errorf("the scale ends at %s, want 12M", top)
	}
}
