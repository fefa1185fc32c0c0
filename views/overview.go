package views

import (
	"context"
	"time"
)

// An OverviewPage answers whether anything is wrong.
type OverviewPage struct {
	Page
	Refusals     RefusalFacts
	Ghosts       []GhostFacts    // a row for each key, the latest use first
	Overlaps     []EndingOverlap // that end within a day, the soonest first
	Forwards     []ForwardFacts  // the latest first
	Expiring     KeySet          // within 30 days, the soonest first
	WithinWeek   int             // of them
	NeverUsed    KeySet
	Idle         KeySet // for 30 days
	LongIdle     KeySet // of them, for 90
	NeverExpires KeySet
	OwnerGone    KeySet
	Verification *VerificationPart // of the audit trail; nil: not for the reader
}

// RefusalFacts are how much was refused in the last 24 hours, and what is usual.
type RefusalFacts struct {
	Requests, Refused int64
	Usual             float64 // a share between 0 and 1
	Days              int     // that it is the median of; 0: nothing is usual yet
	Unusual           bool
	Top               []RefusedKey // where it is unusual, the most first
}

// A RefusedKey is a key with what was refused of it for one reason.
type RefusedKey struct {
	ID, Name, Reason string
	Refused          int64
}

// GhostFacts are the uses of a key's stopped credentials.
type GhostFacts struct {
	KeyID, KeyName string
	Reason         string // the latest one
	Week, Day      int64  // requests in 7 days, in 24 hours
	LastAt         time.Time
	Address, Agent string // of the latest; "" if no row of it was kept
}

// An EndingOverlap is an overlap with how often the old credentials came.
type EndingOverlap struct {
	KeyID, KeyName, What string
	Until                time.Time
	Old                  int64
	LastOldAt            *time.Time
	InUse                bool // and somebody seems to need them
}

// ForwardFacts are a peer that forwards addresses without being trusted.
type ForwardFacts struct {
	Proxy    string
	Requests int64 // in 24 hours
	LastAt   time.Time
}

// A KeySet is how many keys there are of a kind, and the first few.
type KeySet struct {
	Count int
	First []KeyMention
}

// A KeyMention is a key that a set names.
type KeyMention struct {
	ID, Name              string
	ExpiresAt, LastUsedAt *time.Time
	CreatedAt             time.Time
}

// A Finding is a fact with its number, who it is about, and where to mend it.
type Finding struct {
	Grave      bool // or it may wait
	Icon       string
	Fact, Why  string
	About      []About
	More       int    // that About leaves out
	Href, Link string // "" for none
}

// An About is one of those that a finding is about.
type About struct{ Href, Name, Text string }

// ghostWords say how a stopped credential came to be used, by reason.
var ghostWords = map[string]string{
	"key_inactive": "deactivated", "key_expired": "expired", "credential_ended": "stopped credential", "credential_expired": "overlap over",
	"credential_leaked": "leaked credential",
}

// ghostWord is ghostWords' entry, or the reason itself.
func ghostWord(reason string) string {
	if word, known := ghostWords[reason]; known {
		return word
	}
	return reason
}

// wrong are the findings that need somebody now, the gravest first.
func (p OverviewPage) wrong(ctx context.Context) (list []Finding) {
	for _, f := range []Finding{p.trail(), p.refusals(), p.ghosts(), p.overlaps(ctx, true), p.expiring(ctx, true), p.forwards()} {
		if f.Fact != "" {
			list = append(list, f)
		}
	}
	return list
}

// tidy are the findings that may wait.
func (p OverviewPage) tidy(ctx context.Context) (list []Finding) {
	for _, f := range []Finding{
		p.expiring(ctx, false), p.overlaps(ctx, false),
		p.set(ctx, p.OwnerGone, "users", "owner-gone", "has no owner", "have no owner", "Nobody who belongs to this workspace answers for them.", made),
		p.set(ctx, p.NeverUsed, "circle-dashed", "never-used", "was never used", "were never used", "", made),
		p.set(ctx, p.LongIdle, "hourglass", "idle-90", "was not used for 90 days", "were not used for 90 days", "", used),
		p.set(ctx, p.Idle, "hourglass", "idle", "was not used for 30 days", "were not used for 30 days", "", used),
		p.set(ctx, p.NeverExpires, "clock-alert", "never-expires", "never expires", "never expire", "", made),
	} {
		if f.Fact != "" {
			list = append(list, f)
		}
	}
	return list
}

func made(ctx context.Context, k KeyMention, now time.Time) string {
	return "made " + day(ctx, k.CreatedAt)
}

func used(ctx context.Context, k KeyMention, now time.Time) string {
	if k.LastUsedAt == nil {
		return made(ctx, k, now) + ", never used"
	}
	return "last used " + since(*k.LastUsedAt, now)
}

func ends(ctx context.Context, k KeyMention, now time.Time) string {
	text := endsIn(*k.ExpiresAt, now) + ", " + stamp(ctx, *k.ExpiresAt)
	if k.LastUsedAt == nil {
		return text + ", never used"
	}
	return text + ", last used " + since(*k.LastUsedAt, now)
}

// status is the list of keys under one filter.
func (p OverviewPage) status(filter string) string { return p.keys() + "?status=" + filter }

// set is the finding about a set of keys.
func (p OverviewPage) set(ctx context.Context, s KeySet, icon, filter, one, many, why string, text func(context.Context, KeyMention, time.Time) string) Finding {
	if s.Count == 0 {
		return Finding{}
	}
	f := Finding{Icon: icon, Fact: keysThat(s.Count, one, many), Why: why, More: s.Count - len(s.First), Href: p.status(filter), Link: "See all"}
	for _, k := range s.First {
		f.About = append(f.About, About{p.keys(k.ID), k.Name, text(ctx, k, p.Now)})
	}
	if s.Count == 1 {
		f.Href, f.Link = p.keys(s.First[0].ID), "Open key"
	}
	return f
}

func keysThat(n int, one, many string) string {
	if n == 1 {
		return "1 key " + one
	}
	return number(int64(n)) + " keys " + many
}

// expiring is grave if a key ends within a week.
func (p OverviewPage) expiring(ctx context.Context, grave bool) Finding {
	if grave != (p.WithinWeek > 0) {
		return Finding{}
	}
	f := p.set(ctx, p.Expiring, "clock-alert", "expiring", "expires within 30 days", "expire within 30 days", "", ends)
	if grave {
		f.Grave, f.Why = p.Expiring.First[0].ExpiresAt.Sub(p.Now) < 24*time.Hour, "Then their requests get 401. Edit a key to give it a later date: new credentials end with it, too."
		f.Fact = keysThat(p.WithinWeek, "expires within 7 days", "expire within 7 days")
		if p.Expiring.Count > p.WithinWeek {
			f.Fact += ", " + number(int64(p.Expiring.Count)) + " within 30"
		}
	}
	return f
}
