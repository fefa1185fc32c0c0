package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"keyhook/internal/audit"
	"keyhook/internal/config"
)

type auditVerifyCmd struct {
	config.Database
	jsonFlag
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
	text := a // is written as chains are read
	if c.JSON {
		text.out = io.Discard
	}
	found, err := c.verify(ctx, text, points)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := c.print(a.out, found, nil); err != nil {
			return err
		}
	}
	if !found.OK {
		return errBroken
	}
	return nil
}

func (c *auditVerifyCmd) verify(ctx context.Context, a app, points *audit.Checkpoints) (verified, error) {
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

func (c *auditVerifyCmd) verifyFile(a app, points *audit.Checkpoints) (verified, error) {
	file, err := os.Open(c.File)
	if err != nil {
		return verified{}, &usageError{err}
	}
	defer file.Close()
	chain := ""
	verdict, err := audit.Verify(audit.ReadExport(file), func(of string) audit.Known {
		chain = of
		return points.Of(of)
	})
	if err != nil {
		return verified{}, err
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
	tell(a, verdict)
	one := newVerifiedChain(chain, verdict, points)
	return verified{one.outcome, c.Public != "", []verifiedChain{one}}, nil
}

func (c *auditVerifyCmd) verifyDatabase(ctx context.Context, a app, points *audit.Checkpoints) (verified, error) {
	t, err := openTrail(ctx, a, c.Database)
	if err != nil {
		return verified{}, err
	}
	defer t.close()
	if err := t.store.Checkpoints(ctx, 0, points.Add); err != nil {
		return verified{}, err
	}
	if err := readPoints(points, ledgerPath(t.db.dataDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return verified{}, err
	}
	chains, err := c.chains(ctx, t, points)
	if err != nil {
		return verified{}, err
	}
	found := verified{Trusted: c.Public != "", Chains: []verifiedChain{}}
	var total, broken audit.Verdict
	for _, chain := range chains {
		verdict, err := t.store.VerifyChain(ctx, chain, points, nil)
		if err != nil {
			return verified{}, err
		}
		fmt.Fprintf(a.out, "chain %s: %s\n", plainly(chain, escapeText), verdict)
		if points.Count > 0 && points.About(chain).Count == 0 {
			c.tellPoints(a, points, chain)
		}
		found.Chains = append(found.Chains, newVerifiedChain(chain, verdict, points))
		total.Entries += verdict.Entries
		if broken.OK() {
			broken = verdict
		}
	}
	of := "" // all of them
	if c.Workspace != "" {
		of = chains[0]
	}
	if points.Count == 0 || points.About(of).Count > 0 { // else it was said
		c.tellPoints(a, points, of)
	}
	if !broken.OK() {
		total = broken
	}
	tell(a, total)
	found.outcome = newOutcome(total, points.About(of))
	return found, nil
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
