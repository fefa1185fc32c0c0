package audit_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"keyhook/internal/audit"
)

const signedChain = "0193586e-3c00-7000-8000-00000000000a"

// renamed writes a chain anew under another name, as who wants it not to be found
// among what was signed could.
func renamed(entries []audit.Entry, name string) []audit.Entry {
	for i := range entries {
		entries[i].Chain = name
	}
	return rehash(entries, 0)
}

// TestChainHasOneName: another writing of a workspace's id would be a chain of which
// no checkpoint speaks.
func TestChainHasOneName(t *testing.T) {
	t.Parallel()
	signer := newSigner(t)
	points, file := known(t, signer, chainOf(signedChain, 6), 6)
	independent := newIndependent(t, signer, file)
	for _, name := range []string{
		signedChain + " ", " " + signedChain, strings.ToUpper(signedChain), "{" + signedChain + "}", "urn:uuid:" + signedChain,
		strings.ReplaceAll(signedChain, "-", ""), "00000000-0000-0000-0000-000000000000", "Instance", "instance\n", "other", "",
	} {
		text := exported(t, renamed(chainOf("", 4), name))
		if got := verdict(t, text, points); got.String() != "broken at 1: altered" {
			t.Errorf("Verify(a chain called %q) = %s, want it broken", name, got)
		}
		independent.check(t, name, text, "broken at 1")
	}
}

// TestChainWithoutCheckpoint: that no checkpoint names a chain is said. It can't be
// one that was there when they were signed.
func TestChainWithoutCheckpoint(t *testing.T) {
	t.Parallel()
	signer := newSigner(t)
	for _, tt := range []struct{ name, signed, want, script string }{
		{signedChain, "2026-11-23T14:00:05.278000Z", "broken at 1: rewritten", "broken at or before 1: rewritten"},
		{"0193586e-3c00-7000-8000-00000000000b", "2026-11-23T14:59:05.278000Z", "ok, 4 entries", "ok, 4 entries"},
		{"0193586e-3c00-7000-8000-00000000000b", "2026-11-23T15:01:05.278000Z", "broken at 1: rewritten", "broken at 1: rewritten"},
	} {
		point := audit.Checkpoint{Number: 1, At: tt.signed, Heads: []audit.Head{{Chain: signedChain, Seq: 1, Hash: make([]byte, 32)}}}
		audit.SignPoint(signer, &point)
		file, err := json.Marshal(point)
		if err != nil {
			t.Fatal(err)
		}
		points := audit.NewCheckpoints(nil)
		if err := points.Read(bytes.NewReader(bytes.Repeat(append(file, '\n'), 2))); err != nil {
			t.Fatal(err)
		}
		text := exported(t, chainOf(tt.name, 4))
		if got := verdict(t, text, points); got.String() != tt.want {
			t.Errorf("%s, signed at %s: Verify = %s, want %s", tt.name, tt.signed, got, tt.want)
		}
		unnamed := tt.name != signedChain
		if got := points.About(tt.name).Count; points.Count != 1 || (got == 0) != unnamed {
			t.Errorf("%d of %d checkpoints are about %s", got, points.Count, tt.name)
		}
		before := newIndependent(t, signer, file).check(t, tt.name, text, tt.script)
		if !strings.HasPrefix(before, "chain "+tt.name+"\n") || strings.Contains(before, "none of the 1 checkpoints names this chain") != unnamed {
			t.Errorf("%s: verify_audit.mjs says %s", tt.name, before)
		}
	}
}
