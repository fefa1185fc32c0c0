package evidence

import (
	"fmt"
	"strings"
	"time"

	"keyhook/internal/fault"
)

// A Span is what a review covers: a day or a quarter, in UTC. A review tells how
// things stood at its end.
type Span struct {
	Covers string // 2026-09-30 or 2026-Q3
	From   time.Time
	Until  time.Time // not in it; the moment of asking if the span is not over
	Whole  bool      // it is over
}

// ParseSpan reads a day or a quarter. One that has not begun is refused.
func ParseSpan(text string, now time.Time) (Span, error) {
	text, now = strings.ToUpper(strings.TrimSpace(text)), now.UTC()
	span, ok := parseDay(text)
	if !ok {
		span, ok = parseQuarter(text)
	}
	switch {
	case !ok || span.From.Year() < 2000:
		return Span{}, fault.On("covers", fault.Invalid, "Write a date such as 2026-09-30 or a quarter such as 2026-Q3.")
	case span.From.After(now):
		return Span{}, fault.On("covers", fault.Invalid, "That has not begun yet. Choose a date or quarter that has.")
	}
	if span.Whole = !span.Until.After(now); !span.Whole {
		span.Until = now.Truncate(time.Microsecond)
	}
	return span, nil
}

func parseDay(text string) (Span, bool) {
	from, err := time.Parse(time.DateOnly, text)
	return Span{Covers: text, From: from, Until: from.AddDate(0, 0, 1)}, err == nil
}

func parseQuarter(text string) (Span, bool) {
	year, quarter, found := strings.Cut(text, "-Q")
	if !found || len(year) != 4 || len(quarter) != 1 || quarter < "1" || quarter > "4" {
		return Span{}, false
	}
	from, err := time.Parse("2006-01-02", fmt.Sprintf("%s-%02d-01", year, 3*int(quarter[0]-'0')-2))
	return Span{Covers: text, From: from, Until: from.AddDate(0, 3, 0)}, err == nil
}

// LastQuarter names the latest quarter that is over.
func LastQuarter(now time.Time) string {
	before := now.UTC().AddDate(0, -(int(now.UTC().Month())-1)%3, -now.UTC().Day())
	return fmt.Sprintf("%d-Q%d", before.Year(), (int(before.Month())+2)/3)
}
