package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyhook/internal/audit"
)

// chainOf makes a chain of n entries.
func chainOf(name string, n int) (entries []audit.Entry) {
	for i := range n {
		entries = append(entries, audit.Entry{
			Chain: name, At: fmt.Sprintf("2026-11-23T14:%02d:%02d.278000Z", i/60%60, i%60), ActorKind: audit.User, ActorID: "ada", ActorLabel: "Ada",
			Action: audit.KeyEdited, TargetKind: "key", TargetID: fmt.Sprint("k", i%7), TargetLabel: "Größe <&> \u2028", Address: "192.0.2.1",
			Before: `{"name":"a"}`, After: fmt.Sprintf(`{"name":"b%d"}`, i),
		})
	}
	return rehash(entries, 0)
}

// rehash numbers and chains the entries anew from one on, as who has the database
// and the program could.
func rehash(entries []audit.Entry, from int) []audit.Entry {
	for i := from; i < len(entries); i++ {
		entries[i].Seq, entries[i].PrevHash = int64(i+1), make([]byte, 32)
		if i > 0 {
			entries[i].PrevHash = entries[i-1].Hash
		}
		entries[i].Hash = entries[i].Sum()
	}
	return entries
}

func exported(t *testing.T, entries []audit.Entry) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, entry := range entries {
		line, err := entry.Line()
		if err != nil {
			t.Fatal(err)
		}
		text.Write(line)
	}
	return text.Bytes()
}

// known signs where the chain stood after some of its places.
func known(t *testing.T, signer *audit.Signer, entries []audit.Entry, places ...int) (*audit.Checkpoints, []byte) {
	t.Helper()
	var file bytes.Buffer
	for i, place := range places {
		point := audit.Checkpoint{Number: int64(i + 1), At: entries[place-1].At, Heads: []audit.Head{
			{Chain: entries[0].Chain, Seq: int64(place), Hash: entries[place-1].Hash}, {Chain: "instance", Seq: 7, Hash: make([]byte, 32)},
		}}
		audit.SignPoint(signer, &point)
		if err := json.NewEncoder(&file).Encode(point); err != nil {
			t.Fatal(err)
		}
	}
	points := audit.NewCheckpoints([]ed25519.PublicKey{signer.Public()})
	if err := points.Read(bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	return points, file.Bytes()
}

func newSigner(t *testing.T) *audit.Signer {
	t.Helper()
	signer, err := audit.OpenSigner(filepath.Join(t.TempDir(), "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// A tampering changes a copy of a chain, and returns it with what must be found.
type tampering struct {
	name string
	do   func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind)
}

var everyTen = []int{10, 20, 30, 40, 50, 60}

// vouched is the last place up to i, counted from 0, that everyTen has.
func vouched(i int) int { return i / 10 * 10 }

var tamperings = []tampering{
	{"a field", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e))
		alter(r, &e[i])
		return e, i + 1, audit.Altered
	}},
	{"a field and its hash", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 1)
		e[i].ActorLabel += "x"
		e[i].Hash = e[i].Sum()
		return e, i + 1, audit.Altered
	}},
	{"removed", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i, n := r.IntN(len(e)-6), 1+r.IntN(5)
		return slices.Delete(e, i, i+n), i + 1, audit.Removed
	}},
	{"removed and closed up", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i, n := r.IntN(len(e)-6), 1+r.IntN(5)
		return renumber(slices.Delete(e, i, i+n)), i + 1, audit.Removed
	}},
	{"a forged one", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 1)
		return slices.Insert(e, i, forged(e, i)), i + 1, audit.Inserted
	}},
	{"a forged one, moved up", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 1)
		return renumber(slices.Insert(e, i, forged(e, i))), i + 1, audit.Inserted
	}},
	{"one without a right hash", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e))
		f := e[i]
		f.ActorLabel = "Eve"
		return slices.Insert(e, i, f), i + 1, audit.Inserted
	}},
	{"a copy", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		from, to := r.IntN(len(e)), r.IntN(len(e))
		if from == to {
			to++
		}
		return slices.Insert(e, to, e[from]), to + 1, audit.Inserted
	}},
	{"swapped", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 1)
		j := i + 1 + r.IntN(len(e)-i-1)
		e[i], e[j] = e[j], e[i]
		return e, i + 1, audit.Reordered
	}},
	{"swapped with their numbers", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 1)
		j := i + 1 + r.IntN(len(e)-i-1)
		e[i], e[j] = e[j], e[i]
		return renumber(e), i + 1, audit.Reordered
	}},
	{"moved", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 2)
		j := i + 2 + r.IntN(len(e)-i-2)
		moved := e[i]
		return slices.Insert(slices.Delete(e, i, i+1), j-1, moved), i + 1, audit.Reordered
	}},
	{"cut", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		n := r.IntN(len(e))
		return e[:n], n + 1, audit.Cut
	}},
	{"rewritten", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e))
		e[i].After = `{"name":"never"}`
		return rehash(e, i), vouched(i) + 1, audit.Rewritten
	}},
	{"removed and rewritten", func(r *rand.Rand, e []audit.Entry) ([]audit.Entry, int, audit.Kind) {
		i := r.IntN(len(e) - 10) // the last place but one that was signed is still there
		return rehash(slices.Delete(e, i, i+1), i), vouched(i) + 1, audit.Rewritten
	}},
}

func alter(r *rand.Rand, e *audit.Entry) {
	texts := []*string{
		&e.Chain, &e.At, (*string)(&e.ActorKind), &e.ActorID, &e.ActorLabel, (*string)(&e.Action), &e.TargetKind, &e.TargetID, &e.TargetLabel,
		&e.Address, &e.RequestID, &e.Before, &e.After,
	}
	switch i := r.IntN(len(texts) + 3); i {
	case len(texts):
		e.Seq += int64(1 + r.IntN(5))
	case len(texts) + 1:
		e.Hash = flip(r, e.Hash)
	case len(texts) + 2:
		e.PrevHash = flip(r, e.PrevHash)
	default:
		*texts[i] += "x"
	}
}

func flip(r *rand.Rand, hash []byte) []byte {
	hash = bytes.Clone(hash)
	hash[r.IntN(len(hash))] ^= 1 << r.IntN(8)
	return hash
}

func forged(e []audit.Entry, i int) audit.Entry {
	f := e[i]
	f.ActorLabel = "Eve"
	f.Hash = f.Sum()
	return f
}

// renumber gives each entry the number of its place: in a table two can't share one.
func renumber(e []audit.Entry) []audit.Entry {
	for i := range e {
		e[i].Seq = int64(i + 1)
	}
	return e
}

// TestTamperings tampers 500 times with a chain of which every tenth place was
// signed, and holds the verdict, and that of the verifier in docs, against what
// was done.
func TestTamperings(t *testing.T) {
	t.Parallel()
	signer := newSigner(t)
	original := chainOf("0193586e-3c00-7000-8000-000000000001", 60)
	points, file := known(t, signer, original, everyTen...)
	independent := newIndependent(t, signer, file)
	if got := verdict(t, exported(t, original), points); got.String() != "ok, 60 entries" {
		t.Fatalf("Verify(original) = %s, want ok", got)
	}
	independent.check(t, "the original", exported(t, original), fmt.Sprintf("ok, 60 entries, the last one's hash is %x", original[59].Hash))
	r := rand.New(rand.NewPCG(7, 11))
	found := 0
	for n := range 500 {
		tamper := tamperings[n%len(tamperings)]
		changed, at, kind := tamper.do(r, slices.Clone(original))
		text := exported(t, changed)
		if got := verdict(t, text, points); got.At != int64(at) || got.Kind != kind {
			t.Errorf("%s: Verify = %s, want broken at %d: %s", tamper.name, got, at, kind)
			continue
		}
		found++
		if n < len(tamperings) {
			independent.check(t, tamper.name, text, "broken")
		}
	}
	if found != 500 {
		t.Errorf("found %d of 500 tamperings", found)
	}
}

func verdict(t *testing.T, export []byte, points *audit.Checkpoints) audit.Verdict {
	t.Helper()
	got, err := audit.Verify(audit.ReadExport(bytes.NewReader(export)), points.Of)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestVerifyKeepsNothing verifies a long chain: what it allocates and keeps is no more
// than for a short one.
func TestVerifyKeepsNothing(t *testing.T) { // alone: others' memory would count
	const n = 100_000
	live := uint64(0)
	entries := func(yield func(audit.Entry, error) bool) {
		var previous audit.Entry
		for i := range n {
			e := audit.Entry{Chain: "instance", Seq: int64(i + 1), After: strings.Repeat("x", 500), PrevHash: make([]byte, 32)}
			if i > 0 {
				e.PrevHash = previous.Hash
			}
			e.Hash = e.Sum()
			previous = e
			if !yield(e, nil) {
				return
			}
			if i == 1000 || i == n-1 {
				now := heap()
				if i == 1000 {
					live = now
				} else if now > live+8<<20 {
					t.Errorf("%d bytes are kept after %d entries, %d after 1000", now, n, live)
				}
			}
		}
	}
	got, err := audit.Verify(entries, func(string) audit.Known { return audit.Nothing() })
	if err != nil || got.String() != "ok, 100000 entries" {
		t.Errorf("Verify = %s, %v, want ok", got, err)
	}
}
