package audit

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"time"
)

// A Kind says how a chain differs from the one that was written.
type Kind string

// The kinds. Scripts read them.
const (
	Altered   Kind = "altered"   // an entry is not what its hash covers
	Removed   Kind = "removed"   // entries are missing before others
	Inserted  Kind = "inserted"  // an entry was never part of the chain
	Reordered Kind = "reordered" // an entry stands in another's place
	Cut       Kind = "cut"       // the end is missing
	Rewritten Kind = "rewritten" // right in itself, and not what was signed
)

// A Verdict is what a verification found.
type Verdict struct {
	Entries int64 // that were read
	At      int64 // the first place whose entry is wrong or missing; 0: none
	Kind    Kind  // of what is wrong there
	Until   int64 // of a rewritten chain: the entry that contradicts what was signed; the one at At may be right still
	Head    Head  // the last entry that was in its place; no Seq: there was none
}

// OK reports whether nothing is wrong.
func (v Verdict) OK() bool { return v.Kind == "" }

// String returns the line that scripts read.
func (v Verdict) String() string {
	if v.OK() {
		return fmt.Sprintf("ok, %d entries", v.Entries)
	}
	return fmt.Sprintf("broken at %d: %s", v.At, v.Kind)
}

// Known is what is known of a chain apart from its entries.
type Known struct {
	marks map[int64][]byte // hashes by place; nil: two that differ were signed for it
	end   int64            // the last place, or openEnd

	// notBefore is when a chain that no checkpoint names may have begun: each names
	// all that had an entry. Zero: at any time.
	notBefore time.Time
}

const (
	openEnd = -1 // nothing says where the chain ends
	noEnd   = -2 // something should say it, and does not
)

// clocksApart is how far the clocks of instances may be apart without a chain being
// taken for one that was not there.
const clocksApart = time.Hour

// Nothing is known of a chain of which there are only the entries.
func Nothing() Known { return Known{marks: map[int64][]byte{}, end: openEnd} }

// Note adds that the entry at a place has a hash.
func (k Known) Note(place int64, hash []byte) {
	if old, ok := k.marks[place]; ok && !bytes.Equal(old, hash) {
		hash = nil
	}
	k.marks[place] = hash
}

// copy returns a Known that can be noted in without changing k.
func (k Known) copy() Known {
	k.marks = maps.Clone(k.marks)
	return k
}

// Ending returns k with the end that the database notes for the chain; nil: it
// notes none.
func (k Known) Ending(head *Head) Known {
	k.end = noEnd
	if head != nil {
		k.end = head.Seq
		k.Note(head.Seq, head.Hash)
	}
	return k
}

// last returns the greatest place that must be there.
func (k Known) last() int64 {
	last := max(k.end, 0)
	for place := range k.marks {
		last = max(last, place)
	}
	return last
}

// Verify reads a chain in the order in which it stands and holds it against what
// is known of it. It keeps two entries in memory, whatever the chain's length, and
// needs neither a database nor the program that wrote it. A line that is no entry
// comes as the zero Entry. Its error is one of reading.
func Verify(entries iter.Seq2[Entry, error], known func(chain string) Known) (Verdict, error) {
	next, stop := iter.Pull2(entries)
	defer stop()
	w := walk{next: next}
	for {
		entry, more, err := w.read()
		switch {
		case err != nil:
			return Verdict{}, fmt.Errorf("read the trail: %w", err)
		case !more:
			return w.finish(known), nil
		case !joins(entry, w.previous):
			verdict, err := w.judge(entry)
			if err != nil {
				return Verdict{}, fmt.Errorf("read the trail: %w", err)
			}
			verdict.Entries, verdict.Head = w.count, w.head
			return verdict, nil
		}
		if w.previous.Seq == 0 {
			w.known = known(entry.Chain)
		}
		w.compare(entry)
		w.previous, w.head = entry, Head{entry.Chain, entry.Seq, entry.Hash}
	}
}

// A walk is a verification under way.
type walk struct {
	next     func() (Entry, error, bool)
	known    Known
	previous Entry // the last one that was in its place; zero before the first
	head     Head
	count    int64
	vouched  int64   // the last place whose hash is known from elsewhere
	doubt    Verdict // the first contradiction to what was signed
}

func (w *walk) read() (Entry, bool, error) {
	entry, err, more := w.next()
	if more && err == nil {
		w.count++
	}
	return entry, more, err
}

// compare holds an entry that is in its place against what was signed for it. What
// no mark vouches for may have been rewritten, from the last vouched place on.
func (w *walk) compare(entry Entry) {
	hash, marked := w.known.marks[entry.Seq]
	switch {
	case entry.Seq == 1 && entry.Moment().Before(w.known.notBefore):
		w.doubt = Verdict{At: 1, Kind: Rewritten, Until: 1}
	case !marked || !w.doubt.OK():
	case bytes.Equal(hash, entry.Hash):
		w.vouched = entry.Seq
	default:
		w.doubt = Verdict{At: w.vouched + 1, Kind: Rewritten, Until: entry.Seq}
	}
}

// finish judges a chain that is right in itself.
func (w *walk) finish(known func(string) Known) Verdict {
	last := w.previous.Seq
	if last == 0 {
		w.known = known("")
	}
	verdict := Verdict{}
	switch {
	case !w.doubt.OK():
		verdict = w.doubt
	case w.known.last() > last, w.known.end == noEnd && last > 0:
		verdict = Verdict{At: last + 1, Kind: Cut}
	case w.known.end >= 0 && w.known.end < last:
		verdict = Verdict{At: w.known.end + 1, Kind: Inserted}
	}
	verdict.Entries, verdict.Head = w.count, w.head
	return verdict
}

// judge says what happened where entry does not join the one before. A rewriting
// that was seen before that is the first wrong thing, unless it is the same one.
func (w *walk) judge(entry Entry) (Verdict, error) {
	verdict, err := w.explain(entry)
	if !w.doubt.OK() && verdict.At > w.doubt.Until {
		verdict = w.doubt
	}
	return verdict, err
}

func (w *walk) explain(entry Entry) (Verdict, error) {
	previous, place := w.previous, w.previous.Seq+1
	if fits(entry, previous) {
		return Verdict{At: place, Kind: Altered}, nil // its number alone
	}
	after, more, err := w.read()
	if err != nil {
		return Verdict{}, err
	}
	switch own := w.ownPlace(entry); {
	case twin(entry, previous):
		return Verdict{At: w.falseTwin(entry, after), Kind: Inserted}, nil
	case more && fits(after, previous) && (own <= place || entry.Chain != after.Chain), own > 0 && own < place:
		return Verdict{At: place, Kind: Inserted}, nil
	case own == 0, previous.Seq == 0 && own == place, previous.Seq > 0 && entry.Chain != previous.Chain:
		return Verdict{At: place, Kind: Altered}, nil
	case own == place: // it goes on from another entry than the one that stands before it
		return Verdict{At: previous.Seq, Kind: Altered}, nil
	}
	return w.fromFurtherOn(entry, after, more)
}

// fromFurtherOn judges an entry that belongs further on: is the one that belongs
// here behind it, and is it there twice?
func (w *walk) fromFurtherOn(entry, after Entry, more bool) (Verdict, error) {
	found, again := false, false
	var err error
	for ; more; after, more, err = w.read() {
		if err != nil {
			return Verdict{}, err
		}
		found = found || fits(after, w.previous)
		again = again || bytes.Equal(after.Hash, entry.Hash)
	}
	verdict := Verdict{At: w.previous.Seq + 1, Kind: Removed}
	switch {
	case found && again:
		verdict.Kind = Inserted
	case found:
		verdict.Kind = Reordered
	}
	return verdict, nil
}

// falseTwin says which of two entries for one place was never part of the chain:
// the one from which the rest does not go on.
func (w *walk) falseTwin(entry, after Entry) int64 {
	mark := w.known.marks[w.previous.Seq]
	switch {
	case bytes.Equal(entry.Hash, w.previous.Hash): // a copy
	case bytes.Equal(after.PrevHash, entry.Hash), after.Hash == nil && bytes.Equal(mark, entry.Hash):
		return w.previous.Seq
	}
	return w.previous.Seq + 1
}

// furthest is how many places an entry that was given another number is looked for.
const furthest = 100_000

// ownPlace returns the number with which entry's hash is right: its own, or, where
// the numbers were closed up around a change, one further on. 0: there is none.
func (w *walk) ownPlace(entry Entry) int64 {
	if bytes.Equal(entry.Hash, entry.Sum()) {
		return entry.Seq
	}
	if entry.Hash == nil || bytes.Equal(entry.PrevHash, w.previous.Hash) {
		return 0 // it belongs here
	}
	for range furthest {
		entry.Seq++
		if bytes.Equal(entry.Hash, entry.Sum()) {
			return entry.Seq
		}
	}
	return 0
}

// joins also holds the chain's name to its one form: what is known of a chain is
// found by it.
func joins(entry, previous Entry) bool {
	if previous.Seq > 0 {
		return entry.Follows(previous) && entry.Chain == previous.Chain
	}
	_, named := ParseChain(entry.Chain)
	return named && entry.Follows(previous)
}

// fits reports whether entry joins previous once it has the number of that place.
func fits(entry, previous Entry) bool {
	entry.Seq = previous.Seq + 1
	return joins(entry, previous)
}

// twin reports whether entry claims the place of previous, under whatever number.
func twin(entry, previous Entry) bool {
	entry.Seq = previous.Seq
	return previous.Seq > 0 && bytes.Equal(entry.PrevHash, previous.PrevHash) && bytes.Equal(entry.Hash, entry.Sum())
}
