package web_test

import (
	"testing"
	"time"

	"keyhook/internal/inbox"
	"keyhook/web"
)

// TestBarsBeginAtMidnight: a day of the chart is a day in UTC, at whatever hour it
// is looked at, and today is in it.
func TestBarsBeginAtMidnight(t *testing.T) {
	t.Parallel()
	for _, now := range []time.Time{
		time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 14, 2, 6, 9, time.UTC), time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC),
	} {
		for name, want := range map[string]struct {
			first string
			bars  int
			width time.Duration
		}{
			"7d":  {"2026-11-17T00:00:00Z", 42, 4 * time.Hour},
			"30d": {"2026-10-25T00:00:00Z", 30, 24 * time.Hour},
			"24h": {now.Add(-23 * time.Hour).Truncate(time.Hour).Format(time.RFC3339), 24, time.Hour},
		} {
			first := web.First(name, now)
			counts := []inbox.HourCount{{Hour: first.Add(-time.Hour), Accepted: 1000}, {Hour: first, Accepted: 1}, {Hour: now.Truncate(time.Hour), Refused: 10}}
			bars := web.Bars(name, counts, now)
			if len(bars) != want.bars || first.Format(time.RFC3339) != want.first || !bars[0].From.Equal(first) || bars[1].From.Sub(first) != want.width {
				t.Errorf("%s at %s: %d bars from %s, want %d from %s, each %s", name, now, len(bars), first, want.bars, want.first, want.width)
			}
			var accepted, refused int64
			for _, bar := range bars {
				accepted += bar.Accepted
				if bar.Refused > 0 && (now.Before(bar.From) || now.Sub(bar.From) >= want.width) {
					t.Errorf("%s at %s: this hour is counted from %s", name, now, bar.From)
				}
				refused += bar.Refused
			}
			if accepted != 1 || bars[0].Accepted != 1 || refused != 10 {
				t.Errorf("%s at %s: %d accepted and %d refused, want 1 in the first bar and 10", name, now, accepted, refused)
			}
		}
	}
}
