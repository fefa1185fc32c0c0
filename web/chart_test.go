package web_test

import (
	"testing"
	"time"

	"keyhook/web"
)

// TestBarsBeginAtMidnight: a day of the chart is a day in UTC, at whatever hour and
// in whatever zone it is looked at, and this hour is in the last bars.
func TestBarsBeginAtMidnight(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("far", 14*3600)
	for _, now := range []time.Time{
		time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 14, 2, 6, 9, time.UTC),
		time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC), time.Date(2026, 11, 24, 13, 0, 0, 0, zone),
	} {
		for name, want := range map[string]struct {
			first, second, last string
			bars                int
		}{
			"24h": {
				now.Add(-23 * time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339), now.Add(-22 * time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339),
				now.Add(time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339), 24,
			},
			"7d":  {"2026-11-17T00:00:00Z", "2026-11-17T04:00:00Z", "2026-11-24T00:00:00Z", 42},
			"30d": {"2026-10-25T00:00:00Z", "2026-10-26T00:00:00Z", "2026-11-24T00:00:00Z", 30},
			"90d": {"2026-08-26T00:00:00Z", "2026-08-28T00:00:00Z", "2026-11-24T00:00:00Z", 45},
			"13m": {"2025-11-01T00:00:00Z", "2025-12-01T00:00:00Z", "2026-12-01T00:00:00Z", 13},
		} {
			moments := web.Moments(name, now)
			at := func(i int) string { return moments[i].UTC().Format(time.RFC3339) }
			if len(moments) != want.bars+1 || at(0) != want.first || at(1) != want.second || at(want.bars) != want.last {
				t.Errorf("%s at %s: %d bars, %s, %s to %s; want %d, %s, %s to %s", name, now, len(moments)-1, at(0), at(1), at(len(moments)-1),
					want.bars, want.first, want.second, want.last)
			}
			if last := len(moments) - 1; now.Before(moments[last-1]) && name != "7d" || !now.Before(moments[last]) {
				t.Errorf("%s at %s: now is not in the last bar, from %s", name, now, at(last-1))
			}
		}
	}
}
