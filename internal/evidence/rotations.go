package evidence

import (
	"time"

	"keyhook/internal/audit"
)

// A Rotation is one replacement of a key's credentials, with its overlap: the time
// in which the old ones worked beside the new ones.
type Rotation struct {
	At      string `json:"at"`
	By      Actor  `json:"by"`
	What    string `json:"what"`    // both, api_key, secret
	Renewed bool   `json:"renewed"` // after a leak, so there was nothing to overlap with

	OldAPIKey      string `json:"old_api_key"` // what the replaced ones were recognised by
	OldFingerprint string `json:"old_fingerprint"`
	NewAPIKey      string `json:"new_api_key"`
	NewFingerprint string `json:"new_fingerprint"`

	Planned string `json:"overlap_planned"` // its end as it was chosen first; "" for none
	Moved   int    `json:"overlap_moved"`   // how often the end was changed
	EndsAt  string `json:"overlap_ends_at"` // when the old ones stopped, or will; "" once undone
	Ended   string `json:"overlap_ended"`   // how: at once, as planned, stopped, replaced, leaked, undone; "": it goes on

	open map[string]bool // the kinds of credentials whose overlap goes on
}

// Rotations gathers the rotations of a key from its entries in their order.
type rotations struct{ all []*Rotation }

func partsOf(what string) map[string]bool {
	if what == "both" {
		return map[string]bool{"api_key": true, "secret": true}
	}
	return map[string]bool{what: true}
}

func (r *rotations) read(e audit.Entry) {
	before, after := fieldsOf(e.Before), fieldsOf(e.After)
	switch e.Action {
	case audit.KeyRotated, audit.KeyRenewed:
		r.add(e, before, after)
	case audit.OverlapMoved:
		if o := r.overlapOf(text(after, "rotated"), e.At); o != nil {
			o.EndsAt, o.Moved = text(after, "overlap_ends"), o.Moved+1
		}
	case audit.OverlapEnded:
		if o := r.overlapOf(text(after, "rotated"), e.At); o != nil {
			o.end(e.At, "stopped")
		}
	case audit.RotationUndone:
		for i := len(r.all) - 1; i >= 0; i-- {
			if o := r.all[i]; o.going(e.At) {
				o.end("", "undone")
				return
			}
		}
	case audit.KeyLeaked:
		for _, o := range r.all {
			if o.going(e.At) {
				o.end(e.At, "leaked")
			}
		}
	}
}

func (r *rotations) add(e audit.Entry, before, after map[string]any) {
	rotation := &Rotation{
		At: e.At, By: actorOf(e), What: text(after, "rotated"), Renewed: e.Action == audit.KeyRenewed,
		OldAPIKey: text(before, "api_key"), OldFingerprint: text(before, "fingerprint"), NewAPIKey: text(after, "api_key"), NewFingerprint: text(after, "fingerprint"),
	}
	if rotation.What == "" { // a renewal replaces all that the key has
		rotation.What = map[bool]string{true: "both", false: "secret"}[rotation.NewAPIKey != ""]
	}
	parts := partsOf(rotation.What)
	for _, o := range r.all {
		if !o.going(e.At) {
			continue
		}
		for part := range parts {
			delete(o.open, part)
		}
		if len(o.open) == 0 {
			o.end(e.At, "replaced")
		}
	}
	if ends := text(after, "overlap_ends"); ends != "" && ends != "now" {
		rotation.Planned, rotation.EndsAt, rotation.open = ends, ends, parts
	} else {
		rotation.EndsAt, rotation.Ended = e.At, "at once"
	}
	r.all = append(r.all, rotation)
}

// overlapOf finds the latest overlap of what was rotated that went on at a moment.
func (r *rotations) overlapOf(what, at string) *Rotation {
	wanted := partsOf(what)
	for i := len(r.all) - 1; i >= 0; i-- {
		o := r.all[i]
		same := o.going(at) && len(o.open) == len(wanted)
		for part := range wanted {
			same = same && o.open[part]
		}
		if same {
			return o
		}
	}
	return nil
}

func (o *Rotation) end(at, how string) { o.EndsAt, o.Ended, o.open = at, how, nil }

// going reports whether the overlap went on at a moment. One that was over by then
// had ended as planned.
func (o *Rotation) going(at string) bool {
	if o.Ended != "" {
		return false
	}
	moment, err := time.Parse(time.RFC3339, at)
	end, endErr := time.Parse(time.RFC3339, o.EndsAt)
	if err != nil || endErr != nil || moment.Before(end) {
		return true
	}
	o.end(o.EndsAt, "as planned")
	return false
}

// at returns the rotations as they stand at a moment, the earliest first.
func (r *rotations) at(now time.Time) []Rotation {
	list := make([]Rotation, len(r.all))
	for i, o := range r.all {
		o.going(audit.Stamp(now))
		list[i] = *o
	}
	return list
}
