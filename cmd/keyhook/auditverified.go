package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"keyhook/internal/audit"
)

// A verified is what a verification found, as JSON has it.
type verified struct {
	outcome
	Trusted bool            `json:"trusted"` // only checkpoints of keys that were named are believed
	Chains  []verifiedChain `json:"chains"`
}

// An outcome is a verdict and what it rests on.
type outcome struct {
	OK             bool       `json:"ok"`
	Entries        int64      `json:"entries"`
	BrokenAt       int64      `json:"broken_at"` // 0: nowhere
	Kind           audit.Kind `json:"kind"`
	Until          int64      `json:"until"`
	Checkpoints    int        `json:"checkpoints"` // that name the chain
	LastCheckpoint string     `json:"last_checkpoint"`
	KeyIDs         []string   `json:"key_ids"`
}

type verifiedChain struct {
	Chain string `json:"chain"` // "": a file without an entry that could tell
	outcome
	Last     int64  `json:"last"` // the last entry that was in its place
	LastHash string `json:"last_hash"`
}

func newOutcome(v audit.Verdict, vouching audit.Points) outcome {
	return outcome{
		OK: v.OK(), Entries: v.Entries, BrokenAt: v.At, Kind: v.Kind, Until: v.Until,
		Checkpoints: vouching.Count, LastCheckpoint: vouching.Last,
		KeyIDs: append([]string{}, slices.Sorted(maps.Keys(vouching.KeyIDs))...),
	}
}

func newVerifiedChain(chain string, v audit.Verdict, points *audit.Checkpoints) verifiedChain {
	vouching := points.About(chain)
	if chain == "" && v.Entries > 0 {
		vouching = audit.Points{} // nobody knows of what it is
	}
	return verifiedChain{Chain: chain, outcome: newOutcome(v, vouching), Last: v.Head.Seq, LastHash: hex.EncodeToString(v.Head.Hash)}
}

// tellPoints says what the verdict on a chain rests on; "": on all of them.
func (c *auditVerifyCmd) tellPoints(a app, points *audit.Checkpoints, chain string) {
	vouching := points.About(chain)
	switch {
	case points.Count == 0:
		fmt.Fprintln(a.out, "no checkpoints: whether the end is missing, or all was written anew, can't be told")
	case vouching.Count == 0:
		fmt.Fprintf(a.out, "none of the %d checkpoints, the last of %s, names this chain, so none vouches for it: whether it is the right one, whole and as it was written, can't be told\n",
			points.Count, points.Last)
	case c.Public == "":
		fmt.Fprintf(a.out, "%d checkpoints, the last of %s, signed with the key %s: compare it with the one you kept, or name that with --public-key\n",
			vouching.Count, vouching.Last, names(vouching.KeyIDs))
	default:
		fmt.Fprintf(a.out, "%d checkpoints, the last of %s, signed with a trusted key\n", vouching.Count, vouching.Last)
	}
}

// tell ends with the line that scripts read.
func tell(a app, verdict audit.Verdict) {
	if verdict.Kind == audit.Rewritten && verdict.Until > verdict.At {
		fmt.Fprintf(a.out, "rewritten somewhere from entry %d to %d, which is not what was signed\n", verdict.At, verdict.Until)
	}
	fmt.Fprintln(a.out, verdict)
}
