package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"keyhook/internal/audit"
	"keyhook/internal/config"
)

type auditVerifyCmd struct {
	config.Database
	Workspace   string `placeholder:"SLUG" help:"Only this workspace's trail; without it all of them. The id of a workspace that was deleted will do."`
	Public      string `name:"public-key" placeholder:"FILE" type:"path" help:"Public keys in PEM. Only checkpoints signed with one of them are believed."`
	Checkpoints string `placeholder:"FILE" type:"path" help:"Checkpoints that were kept elsewhere, a line of JSON each."`
	File        string `arg:"" optional:"" type:"path" help:"What keyhook export audit wrote. It is checked without the server."`
}

// errBroken ends the command with the exit code of a failure: its verdict has been
// printed.
var errBroken = errors.New("the audit trail is not as it was written")

// Run verifies an export, or what is in the database.
func (c *auditVerifyCmd) Run(ctx context.Context, a app) error {
	if c.File != "" && c.Workspace != "" {
		return misuse("a file has one trail: leave --workspace out")
	}
	points, err := c.points()
	if err != nil {
		return err
	}
	if c.File != "" {
		return c.verifyFile(a, points)
	}
	return c.verifyDatabase(ctx, a, points)
}

// points reads the checkpoints and keys that flags name.
func (c *auditVerifyCmd) points() (*audit.Checkpoints, error) {
	var trusted []ed25519.PublicKey
	if c.Public != "" {
		text, err := os.ReadFile(c.Public)
		if err == nil {
			trusted, err = audit.ParsePublic(text)
		}
		if err != nil {
			return nil, misuse("--public-key %s: %w", c.Public, err)
		}
	}
	points := audit.NewCheckpoints(trusted)
	if c.Checkpoints == "" {
		return points, nil
	}
	err := readPoints(points, c.Checkpoints)
	if _, gone := errors.AsType[*fs.PathError](err); gone {
		err = &usageError{err}
	}
	return points, err
}

func readPoints(points *audit.Checkpoints, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the checkpoints: %w", err)
	}
	defer file.Close()
	if err := points.Read(file); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (c *auditVerifyCmd) verifyFile(a app, points *audit.Checkpoints) error {
	file, err := os.Open(c.File)
	if err != nil {
		return &usageError{err}
	}
	defer file.Close()
	chain := ""
	verdict, err := audit.Verify(audit.ReadExport(file), func(of string) audit.Known {
		chain = of
		return points.Of(of)
	})
	if err != nil {
		return err
	}
	if chain != "" {
		fmt.Fprintf(a.out, "chain %s\n", chain)
	}
	if chain != "" || verdict.Entries == 0 {
		c.tellPoints(a, points, chain)
	}
	if verdict.OK() && verdict.Head.Seq > 0 {
		fmt.Fprintf(a.out, "the last entry is %d, its hash %x\n", verdict.Head.Seq, verdict.Head.Hash)
	}
	return tell(a, verdict)
}

func (c *auditVerifyCmd) verifyDatabase(ctx context.Context, a app, points *audit.Checkpoints) error {
	t, err := openTrail(ctx, a, c.Database)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.store.Checkpoints(ctx, 0, points.Add); err != nil {
		return err
	}
	if err := readPoints(points, ledgerPath(t.db.dataDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	chains, err := c.chains(ctx, t, points)
	if err != nil {
		return err
	}
	var total, broken audit.Verdict
	for _, chain := range chains {
		verdict, err := t.store.VerifyChain(ctx, chain, points, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "chain %s: %s\n", chain, verdict)
		if points.Count > 0 && points.About(chain).Count == 0 {
			c.tellPoints(a, points, chain)
		}
		total.Entries += verdict.Entries
		if broken.OK() {
			broken = verdict
		}
	}
	if c.Workspace == "" {
		c.tellPoints(a, points, "")
	} else if points.Count == 0 || points.About(chains[0]).Count > 0 {
		c.tellPoints(a, points, chains[0])
	}
	if !broken.OK() {
		total = broken
	}
	return tell(a, total)
}

// chains names what is to be verified: also what only checkpoints know of.
func (c *auditVerifyCmd) chains(ctx context.Context, t *trail, points *audit.Checkpoints) ([]string, error) {
	if c.Workspace != "" {
		id, _, err := t.find(ctx, c.Workspace)
		return []string{audit.ChainOf(id)}, err
	}
	chains, err := t.store.Chains(ctx)
	chains = append(chains, points.Chains()...)
	slices.Sort(chains)
	return slices.Compact(chains), err
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

func tell(a app, verdict audit.Verdict) error {
	if verdict.Kind == audit.Rewritten && verdict.Until > verdict.At {
		fmt.Fprintf(a.out, "rewritten somewhere from entry %d to %d, which is not what was signed\n", verdict.At, verdict.Until)
	}
	fmt.Fprintln(a.out, verdict)
	if !verdict.OK() {
		return errBroken
	}
	return nil
}
