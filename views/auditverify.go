package views

import (
	"fmt"
	"time"
)

// The states of a verification besides those with a verdict: "ok", "broken",
// "impossible" and "given_up".
const (
	NeverVerified = "never"
	Waiting       = "waiting"
	Verifying     = "verifying"
	Interrupted   = "interrupted" // nothing is heard of it any more
)

// A VerificationPart tells how a trail's verification stands. While one goes on it
// fetches itself again and again.
type VerificationPart struct {
	Nonce, Slug    string
	Now            time.Time
	State          string
	Before         string // the last verdict, while another is waited for
	Length         int64  // of the trail
	Checked, Total int64
	By             string // who asked for it
	At             time.Time
	Entries        int64  // that are right, from the first on
	HeadHash       string // of the last of them
	Kind           string
	BrokenAt       int64
	Until          int64
	Checkpoints    int
	KeyIDs         string
	OtherKey       bool // others than this instance's signed them
	Trouble        string
	Outside        *OutsideNote
	Signed         *SignedHead
}

// An OutsideNote is what somebody said of a verification elsewhere.
type OutsideNote struct {
	By    string
	At    time.Time
	Entry int64
}

// A SignedHead is a trail's end in a checkpoint.
type SignedHead struct {
	Entry  int64
	Hash   string
	At     time.Time
	Number int64
	KeyID  string
}

// GoesOn reports whether a verdict is waited for.
func (p VerificationPart) GoesOn() bool {
	return p.State == Waiting || p.State == Verifying || p.State == Interrupted
}

// bad reports whether the last verdict is that the trail was touched.
func (p VerificationPart) bad() bool {
	return p.State == "broken" || p.State == "impossible" || p.GoesOn() && (p.Before == "broken" || p.Before == "impossible")
}

func (p VerificationPart) icon() string {
	switch {
	case p.bad():
		return "shield-alert"
	case p.State == "ok":
		return "shield-check"
	case p.GoesOn():
		return "hourglass"
	}
	return "shield-alert"
}

// look is the class of the line.
func (p VerificationPart) look() string {
	switch {
	case p.bad():
		return "verify-bad"
	case p.State == "ok":
		return "verify-ok"
	}
	return ""
}

// heading is the fact.
func (p VerificationPart) heading() string {
	switch p.State {
	case "ok":
		if p.newer() > 0 {
			return "The first " + plural(p.Entries, "entry", "entries") + " verified"
		}
		return "All " + plural(p.Entries, "entry", "entries") + " verified"
	case "broken":
		return "Verification failed at entry " + number(p.BrokenAt)
	case "impossible":
		return "The trail could not be held against its checkpoints"
	case "given_up":
		return "The verification did not finish"
	case Waiting:
		return "The verification is about to begin"
	case Verifying:
		return "Checking " + number(p.Checked) + " of " + number(p.Total)
	case Interrupted:
		return "The verification was interrupted"
	}
	return "Never verified here"
}

// newer is how many entries there are behind the verified ones, apart from that of
// the verification.
func (p VerificationPart) newer() int64 { return max(0, p.Length-p.Entries-1) }

// wrong says what is wrong with a broken trail, and what is still right.
func (p VerificationPart) wrong() string {
	at := number(p.BrokenAt)
	text := map[string]string{
		"altered":   "The stored hash does not match the entry’s content.",
		"removed":   "Entry " + at + ", and perhaps some behind it, was taken out.",
		"inserted":  "The entry was never part of the trail.",
		"reordered": "Another entry stands in its place.",
		"cut":       "The end of the trail is missing from there on.",
		"rewritten": fmt.Sprintf("The trail is right in itself, and not what was signed: from there on, up to entry %s at the latest, it was written anew.", number(p.Until)),
	}[p.Kind]
	switch {
	case p.BrokenAt == 2:
		text += " Entry 1 is intact."
	case p.BrokenAt > 2:
		text += " Entries up to " + number(p.BrokenAt-1) + " are intact."
	}
	return text
}

// trail is the finding about the audit trail.
func (p OverviewPage) trail() Finding {
	v := p.Verification
	if v == nil || !v.bad() {
		return Finding{}
	}
	f := Finding{Grave: true, Icon: "shield-alert", Fact: "The audit trail is broken at entry " + number(v.BrokenAt), Why: "Do not delete anything: export the proof.", Href: p.in("audit"), Link: "Open the trail"}
	if v.State == "impossible" || v.Before == "impossible" {
		f.Fact = "The audit trail could not be held against its checkpoints"
	}
	return f
}

// glance is the verification in a line.
func (p VerificationPart) glance() string {
	switch p.State {
	case "ok":
		return number(p.Entries) + " entries verified"
	case "broken":
		return "broken at entry " + number(p.BrokenAt)
	case "impossible", "given_up":
		return "the last verification has no verdict"
	case NeverVerified:
		return "never verified here"
	}
	return "a verification goes on"
}

// against says what the verdict rests on.
func (p VerificationPart) against() string {
	switch {
	case p.Checkpoints == 0:
		return "No checkpoint was there to hold it against: that its end is missing, or that all of it was written anew, would not show."
	case p.OtherKey:
		return "Held against " + plural(int64(p.Checkpoints), "checkpoint", "checkpoints") + ", signed with " + p.KeyIDs + ": not this instance’s key alone."
	}
	return "Held against " + plural(int64(p.Checkpoints), "signed checkpoint", "signed checkpoints") + "."
}
