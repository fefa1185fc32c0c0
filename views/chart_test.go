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
