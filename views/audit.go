package views

import "strings"

// An AuditPage is a part of a workspace's audit trail, the newest entry first.
type AuditPage struct {
	Page
	Verification VerificationPart
	Filter       AuditFilter
	Rows         []AuditRow
	Each         int    // rows on a page
	Newer, Older string // addresses; "" where there is nothing
	ToPrint      string // the address of many entries at a time; "" where these are all
	Reached      int64  // the search got that far and no further; 0: it is complete
	GoOn         string // the address that it goes on at
	GoneTo       int64  // the entry that was asked for
	Export       string // the filter, for an export of what it shows
	Clear        string // the address without a filter

	KeyID, PublicKey string // of checkpoints
	CanSign          bool
	Entry, Hash      string // typed of a verification outside
	Errors           map[string]string
}

// An AuditFilter is the form of the filter, and who and what can be chosen in it.
type AuditFilter struct {
	DeliveryFilter
	People, Actions []Option
}

// An AuditRow is an entry, or the place of one that is missing.
type AuditRow struct {
	TrailEntry
	Seq                int64
	Stored             string // the moment as the entry has it
	Hash, Previous     string // hex
	ActorKind, ActorID string
	TargetKind         string
	TargetID, Target   string
	TargetHref         string // "": there is no page of it
	RequestID          string
	RequestHref        string // of the other entries of the request

	Missing bool // there is no entry in this place
	Broken  bool // it is the first that is wrong
	Doubted bool // it stands behind one that is
}

// Mark marks the rows that the last verification does not vouch for, and puts in the
// place of an entry that is missing.
func (p *AuditPage) Mark() {
	v := p.Verification
	if v.BrokenAt == 0 || v.State != "broken" && v.Before != "broken" {
		return
	}
	place := len(p.Rows)
	found := false
	for i := range p.Rows {
		row := &p.Rows[i]
		row.Broken, row.Doubted = row.Seq == v.BrokenAt, row.Seq > v.BrokenAt
		found = found || row.Broken
		if row.Seq < v.BrokenAt {
			place = min(place, i)
		}
	}
	here := (place > 0 || p.Newer == "") && (place < len(p.Rows) || p.Older == "")
	if found || !here && p.GoneTo != v.BrokenAt || len(p.Filter.Chips) > 0 || len(p.Rows) == 0 {
		return
	}
	missing := AuditRow{Seq: v.BrokenAt, Missing: true, Broken: true}
	p.Rows = append(p.Rows[:place:place], append([]AuditRow{missing}, p.Rows[place:]...)...)
}

// doubt says what is wrong with the first wrong entry.
func (p AuditPage) doubt() string {
	return map[string]string{
		"altered": "Content changed after writing", "removed": "An entry before this one was taken out", "inserted": "Never part of the trail",
		"reordered": "Not the entry that belongs here", "cut": "Missing from here on", "rewritten": "Written anew from here on, or further up",
	}[p.Verification.Kind]
}

// printed says which entries are on the page.
func (p AuditPage) printed() string {
	if len(p.Rows) == 0 {
		return "No entries."
	}
	text := "Entries " + number(p.Rows[len(p.Rows)-1].Seq) + " to " + number(p.Rows[0].Seq)
	var parts []string
	for _, chip := range p.Filter.Chips {
		parts = append(parts, strings.ToLower(chip.Label)+" “"+visible(chip.Value)+"”")
	}
	if len(parts) > 0 {
		return text + ", of those with " + strings.Join(parts, " and ") + "."
	}
	return text + ", without a filter."
}

// sentence makes a sentence of words that stand after a colon elsewhere.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return initial(text) + text[len(firstLetter(text)):] + "."
}

func firstLetter(text string) string {
	for _, letter := range text {
		return string(letter)
	}
	return ""
}
