package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"keyhook/internal/audit"
)

// cut makes the texts of an entry or a checkpoint out of one: whatever it holds may
// end anywhere in each of them.
func cut(text []byte, n int) []string {
	parts := strings.SplitN(string(text), "|", n)
	return append(parts, make([]string, n-len(parts))...)
}

func entryOf(seq int64, text []byte) audit.Entry {
	t := cut(text, 14)
	return audit.Entry{
		Chain: t[0], Seq: seq, At: t[1], ActorKind: audit.ActorKind(t[2]), ActorID: t[3], ActorLabel: t[4], Action: audit.Action(t[5]),
		TargetKind: t[6], TargetID: t[7], TargetLabel: t[8], Address: t[9], RequestID: t[10], Before: t[11], After: t[12], PrevHash: []byte(t[13]),
	}
}

func pointOf(number int64, text []byte) audit.Checkpoint {
	t := cut(text, 64)
	c := audit.Checkpoint{Number: number, At: t[0], KeyID: t[1], PublicKey: []byte(t[2])}
	for i := 3; i+1 < len(t) && t[i]+t[i+1] != ""; i += 2 {
		c.Heads = append(c.Heads, audit.Head{Chain: t[i], Seq: number + int64(i), Hash: []byte(t[i+1])})
	}
	return c
}

// alike compares what is hashed, field by field.
func alike(a, b audit.Entry) bool {
	return a.Chain == b.Chain && a.Seq == b.Seq && a.At == b.At && a.ActorKind == b.ActorKind && a.ActorID == b.ActorID && a.ActorLabel == b.ActorLabel &&
		a.Action == b.Action && a.TargetKind == b.TargetKind && a.TargetID == b.TargetID && a.TargetLabel == b.TargetLabel && a.Address == b.Address &&
		a.RequestID == b.RequestID && a.Before == b.Before && a.After == b.After && bytes.Equal(a.PrevHash, b.PrevHash)
}

// FuzzEncodingInjective: two entries that differ anywhere encode differently, and one
// that does not encodes the same. Of each text also its neighbours are tried, in
// which a part has moved from one field into the next.
func FuzzEncodingInjective(f *testing.F) {
	long := strings.Repeat("x", 300)
	f.Add(int64(1), []byte("instance|2026-11-23T14:02:06.278000Z|user|1|Ada|key.edited|key|2|Shop||||"), int64(1), []byte("instance|2026-11-23T14:02:06.278000Z|user|1|Ada|key.edited|ke|y2|Shop||||"))
	f.Add(int64(12), []byte("a|3"), int64(1), []byte("a|23"))
	f.Add(int64(-1), []byte("||\x00\x00\x00\x00\x00\x00\x00\x01a"), int64(-1), []byte("|\x00\x00\x00\x00\x00\x00\x00\x01a|"))
	f.Add(int64(0), []byte(long+"|"+long), int64(0), []byte(long+long+"|"))
	f.Add(int64(1), []byte("||||||||||||\xff\xfe|"+long), int64(1), []byte("||||||||||||\xff|\xfe"+long))
	f.Fuzz(func(t *testing.T, seqA int64, textA []byte, seqB int64, textB []byte) {
		a, b := entryOf(seqA, textA), entryOf(seqB, textB)
		distinct(t, a, b)
		for i := range textA {
			if textA[i] != '|' {
				continue
			}
			for _, to := range []int{i - 1, i + 1} { // the border, one further on
				if to < 0 || to >= len(textA) {
					continue
				}
				moved := bytes.Clone(textA)
				moved[i], moved[to] = moved[to], moved[i]
				distinct(t, a, entryOf(seqA, moved))
			}
		}
		p, q := pointOf(seqA, textA), pointOf(seqB, textB)
		if same := samePoint(p, q); bytes.Equal(p.Encode(), q.Encode()) != same {
			t.Errorf("checkpoints %+v and %+v: encoded alike is %v, want %v", p, q, !same, same)
		}
	})
}

func distinct(t *testing.T, a, b audit.Entry) {
	t.Helper()
	if same := alike(a, b); bytes.Equal(a.Encode(), b.Encode()) != same || bytes.Equal(a.Sum(), b.Sum()) != same {
		t.Errorf("%+v and %+v: encoded alike is %v, want %v", a, b, !same, same)
	}
}

func samePoint(p, q audit.Checkpoint) bool {
	if p.Number != q.Number || p.At != q.At || p.KeyID != q.KeyID || !bytes.Equal(p.PublicKey, q.PublicKey) || len(p.Heads) != len(q.Heads) {
		return false
	}
	for i := range p.Heads {
		if p.Heads[i].Chain != q.Heads[i].Chain || p.Heads[i].Seq != q.Heads[i].Seq || !bytes.Equal(p.Heads[i].Hash, q.Heads[i].Hash) {
			return false
		}
	}
	return true
}
