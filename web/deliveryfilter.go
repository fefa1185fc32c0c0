package web

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// logRanges are the ranges of time that can be chosen by name.
var logRanges = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

// maxFilterText bounds what is typed into a field of the filter, in bytes.
const maxFilterText = 255

// A deliveryFilter is a filter of deliveries as it stands in an address: what was
// typed, which is shown again, and what it means.
type deliveryFilter struct {
	Range string // a name in logRanges, or ""
	inbox.DeliveryFilter
	typed url.Values
	Wrong map[string]string // what can't be understood, by field; it filters nothing
}

// filterFields are the names of the filter in an address, in the order in which
// they are written.
var filterFields = []string{"range", "from", "until", "zone", "key", "outcome", "reason", "scheme", "auth", "generation", "address", "source", "ref", "q"}

// deliveryFilterIn reads the filter in query. A range counts back from now; from and
// until, in UTC where no zone is named, go before it.
func deliveryFilterIn(query url.Values, now time.Time) deliveryFilter {
	f := deliveryFilter{typed: url.Values{}, Wrong: map[string]string{}}
	get := func(name string) string {
		text := strings.TrimSpace(strings.ToValidUTF8(query.Get(name), ""))
		if text == "" || strings.ContainsRune(text, 0) {
			return ""
		}
		f.typed.Set(name, text)
		if len(text) > maxFilterText {
			f.Wrong[name] = "That is too long to look for: use at most 255 bytes."
			return ""
		}
		return text
	}
	f.readTimes(get, now)
	f.readChoices(get)
	f.Scheme, f.Source, f.SourceRef, f.Text = get("scheme"), get("source"), get("ref"), get("q")
	if text := get("generation"); text != "" {
		if n, err := strconv.ParseInt(text, 10, 31); err != nil || n < 1 {
			f.Wrong["generation"] = "A generation is a whole number from 1."
		} else {
			f.Generation = int(n)
		}
	}
	f.Address = f.readAddress(get("address"))
	return f
}

// readChoices reads what is chosen from a list. A value that is on none of them was
// written by hand, and is told, for it would seem to filter.
func (f *deliveryFilter) readChoices(get func(string) string) {
	if text := get("key"); text != "" {
		id, err := uuid.Parse(text)
		if f.Key = id; err != nil {
			f.Wrong["key"] = "There is no key with that id."
		}
	}
	if text := get("outcome"); text != "" {
		if f.Outcome = inbox.Outcome(known(text, []string{"accepted", "duplicate", "refused"})); f.Outcome == "" {
			f.Wrong["outcome"] = "An outcome is accepted, duplicate or refused."
		}
	}
	if reason := inbox.Reason(get("reason")); reason.Explain() != "" {
		f.Reason = reason
	} else if reason != "" {
		f.Wrong["reason"] = "There is no such reason."
	}
	if text := get("auth"); text != "" {
		if f.Method = inbox.Method(known(text, inbox.Methods())); f.Method == "" {
			f.Wrong["auth"] = "There is no such proof."
		}
	}
}

func (f *deliveryFilter) readTimes(get func(string) string, now time.Time) {
	if name := get("range"); logRanges[name] > 0 {
		f.Range, f.From = name, now.Add(-logRanges[name])
	}
	zone, err := time.LoadLocation(get("zone"))
	if err != nil || zone == time.Local {
		f.Wrong["from"] = "There is no such time zone."
		return
	}
	from, until := f.readTime("from", get("from"), zone), f.readTime("until", get("until"), zone)
	if from.IsZero() && until.IsZero() {
		f.typed.Del("zone")
	}
	if !from.IsZero() || !until.IsZero() {
		f.Range, f.From, f.Until = "", from, until
		f.typed.Del("range")
	}
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		f.Wrong["until"] = "The end must be after the beginning."
	}
}

// timeForms are the ways in which a moment may be written: those of a browser's
// field and of a link.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

func (f *deliveryFilter) readTime(name, text string, zone *time.Location) time.Time {
	at, ok := parseMoment(text, zone)
	if !ok && text != "" {
		f.Wrong[name] = notMoment + "."
	}
	return at
}

const notMoment = "Write the time like 2026-11-23 14:02"

// parseMoment reads a moment in one of timeForms. What names no zone is in zone.
func parseMoment(text string, zone *time.Location) (at time.Time, ok bool) {
	for _, form := range timeForms {
		if at, err := time.ParseInLocation(form, text, zone); err == nil && at.Year() >= 1970 && at.Year() < 10000 {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

func (f *deliveryFilter) readAddress(text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked()
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		f.Wrong["address"] = "Write an address like 203.0.113.9, or a network like 203.0.113.0/24."
		return netip.Prefix{}
	}
	address = address.Unmap()
	return netip.PrefixFrom(address, address.BitLen())
}

// Typed returns what was typed into a field.
func (f deliveryFilter) Typed(field string) string { return f.typed.Get(field) }

// TypedIn returns what to show in a field for who reads times in a zone, whatever zone
// they were written in.
func (f deliveryFilter) TypedIn(zone *time.Location) func(string) string {
	return func(field string) string {
		at := map[string]time.Time{"from": f.From, "until": f.Until}[field]
		switch {
		case f.Range != "" || at.IsZero():
			return f.Typed(field)
		case at.Nanosecond() != 0:
			return at.In(zone).Format("2006-01-02 15:04:05.999999999")
		case at.Second() != 0:
			return at.In(zone).Format("2006-01-02 15:04:05")
		}
		return at.In(zone).Format("2006-01-02 15:04")
	}
}

// Any reports whether anything is filtered.
func (f deliveryFilter) Any() bool { return len(f.typed) > 0 }

// Query returns the filter as it stands in an address, with other values in some
// fields; "" takes one out.
func (f deliveryFilter) Query(other map[string]string) string {
	var parts []string
	for _, name := range filterFields {
		text, changed := other[name]
		if !changed {
			text = f.typed.Get(name)
		}
		if text != "" {
			parts = append(parts, name+"="+url.QueryEscape(text))
		}
	}
	var more []string
	for name, text := range other {
		if !slices.Contains(filterFields, name) && text != "" {
			more = append(more, name+"="+url.QueryEscape(text))
		}
	}
	slices.Sort(more)
	return strings.Join(append(parts, more...), "&")
}

// InWords are the dates that are asked for, to be read behind "Nothing"; "" is any
// time.
func (f deliveryFilter) InWords(zone *time.Location) string {
	moment := func(t time.Time) string {
		if t.Second() != 0 {
			return t.In(zone).Format("2 Jan 2006, 15:04:05")
		}
		return t.In(zone).Format("2 Jan 2006, 15:04")
	}
	from, until := f.From, f.Until
	if f.Range != "" {
		from = from.Truncate(time.Minute)
	}
	switch {
	case from.IsZero() && until.IsZero():
		return ""
	case until.IsZero():
		return "since " + moment(from) + from.In(zone).Format(" MST")
	case from.IsZero():
		return "before " + moment(until) + until.In(zone).Format(" MST")
	}
	return "between " + moment(from) + " and " + moment(until) + until.In(zone).Format(" MST")
}
