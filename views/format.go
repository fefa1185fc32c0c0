package views

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

type zoneKey struct{}

// InZone returns ctx for whoever sees times in a zone. Without one they are in UTC,
// as trails, exports and what addresses hold always are.
func InZone(ctx context.Context, zone *time.Location) context.Context {
	return context.WithValue(ctx, zoneKey{}, zone)
}

// Zone is the zone in which the reader sees times.
func Zone(ctx context.Context) *time.Location {
	if zone, ok := ctx.Value(zoneKey{}).(*time.Location); ok {
		return zone
	}
	return time.UTC
}

// zoneName is what the zone is called in headings, such as UTC or Europe/Berlin.
func zoneName(ctx context.Context) string { return Zone(ctx).String() }

// in writes a moment for the reader; MST in layout is the zone at that time.
func in(ctx context.Context, t time.Time, layout string) string {
	return t.In(Zone(ctx)).Format(layout)
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func isoDay(t time.Time) string { return t.UTC().Format("2006-01-02") }

// dayOf names the reader's day that a moment is in.
func dayOf(ctx context.Context, t time.Time) string { return in(ctx, t, "2006-01-02") }

// stamp is a moment in full, such as 29 Nov 2026, 23:59 UTC.
func stamp(ctx context.Context, t time.Time) string { return in(ctx, t, "2 Jan 2006, 15:04 MST") }

// moment is one to the second, for tables.
func moment(ctx context.Context, t time.Time) string { return in(ctx, t, "2006-01-02 15:04:05 MST") }

// exact is a moment as a tooltip and the trail show it.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func day(ctx context.Context, t time.Time) string { return in(ctx, t, "2 Jan 2006") }

// clock is the time of day of a log's row, to the millisecond.
func clock(ctx context.Context, t time.Time) string { return in(ctx, t, "15:04:05.000") }

// since tells t's distance from now in the largest unit that fits, as app.js does.
func since(t, now time.Time) string {
	switch d := max(now.Sub(t), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return plural(int64(d.Hours()/24), "day", "days") + " ago"
	}
}

// left tells how long it is until t.
func left(t, now time.Time) string {
	d := t.Sub(now)
	if d < time.Hour {
		return "in less than 1 h"
	}
	if d < 48*time.Hour {
		return fmt.Sprintf("in %d h", int(d.Hours()))
	}
	return plural(int64(d.Hours()/24), "day", "days")
}

// remaining is how long it is until t, without a word before it.
func remaining(t, now time.Time) string {
	switch d := t.Sub(now); {
	case d < time.Minute:
		return "less than a minute left"
	case d < time.Hour:
		return fmt.Sprintf("%d min left", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h left", int(d.Hours()))
	default:
		return plural(int64(d.Hours()/24), "day", "days") + " left"
	}
}

// number writes n with commas between thousands.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// plural is the number and the word that goes with it.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// share is part of whole in per cent.
func share(part, whole int64) string {
	if whole == 0 || part == 0 {
		return "0 %"
	}
	percent := 100 * float64(part) / float64(whole)
	if percent < 0.01 {
		return "under 0.01 %"
	}
	return strconv.FormatFloat(percent, 'f', 2, 64) + " %"
}

// size is a number of bytes as people say it.
func size(n int64) string {
	switch {
	case n < 1000:
		return plural(n, "byte", "bytes")
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1_000_000)
	}
}

// took is how long a request lasted.
func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// initials are the one or two letters that stand for a person.
func initials(name string) string {
	words := strings.Fields(name)
	if len(words) == 0 {
		return "?"
	}
	letters := initial(words[0])
	if len(words) > 1 {
		letters += initial(words[len(words)-1])
	}
	return letters
}

func initial(word string) string {
	letter, _ := utf8.DecodeRuneInString(word)
	return string(unicode.ToUpper(letter))
}

// visible shows what a terminal or a browser would act on instead of showing:
// control characters and marks that turn the direction of writing.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20 || r == 0x7f:
			return controlPicture(r)
		case unicode.In(r, unicode.Cf, unicode.Cc, unicode.Zl, unicode.Zp):
			return '\uFFFD'
		}
		return r
	}, text)
}

// VisibleText is visible for a text of several lines.
func VisibleText(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = visible(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// controlPicture is the printable character for a control character.
func controlPicture(r rune) rune {
	if r == 0x7f {
		return '\u2421'
	}
	return '\u2400' + r
}

func keysWord(n int) string { return plural(int64(n), "key", "keys") }

// these begins a sentence about the keys of a batch, of which there is one at least.
func these(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
