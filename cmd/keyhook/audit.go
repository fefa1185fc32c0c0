package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"keyhook/internal/audit"
	"keyhook/internal/config"
)

type auditCmd struct {
	Verify     auditVerifyCmd     `cmd:"" help:"Check that nobody touched the audit trail."`
	Checkpoint auditCheckpointCmd `cmd:"" help:"Sign where every trail stands now."`
	PublicKey  auditPublicKeyCmd  `cmd:"" help:"Print the public key that checkpoints are verified with, to be kept elsewhere."`
}

type auditCheckpointCmd struct {
	config.Database
	config.Evidence
	jsonFlag
}

type signedCheckpoint struct {
	Number int64  `json:"number"`
	At     string `json:"at"`
	KeyID  string `json:"key_id"`
	Chains int    `json:"chains"`
	File   string `json:"file"`
}

// Run signs a checkpoint, and sends it on.
func (c *auditCheckpointCmd) Run(ctx context.Context, a app) error {
	if err := checkEvidence(c.Evidence); err != nil {
		return err
	}
	t, err := openTrail(ctx, a, c.Database)
	if err != nil {
		return err
	}
	defer t.close()
	signing, err := newSigning(t.store, c.Evidence, t.db.dataDir, t.log)
	if err != nil {
		return err
	}
	point, err := signing.sign(ctx, 0)
	if err != nil {
		return err
	}
	done := signedCheckpoint{Number: point.Number, At: point.At, KeyID: point.KeyID, Chains: len(point.Heads), File: signing.ledger.Path}
	return c.print(a.out, done, func(w io.Writer) {
		fmt.Fprintf(w, "signed checkpoint %d of %d chains\nkey   %s\nfile  %s\n", done.Number, done.Chains, done.KeyID, done.File)
	})
}

type auditPublicKeyCmd struct {
	config.Database
	config.Evidence
	jsonFlag
}

type publicKey struct {
	KeyID     string `json:"key_id"`
	PublicKey []byte `json:"public_key"` // as a checkpoint has it
	PEM       string `json:"pem"`
}

// Run prints the public key. It makes none: the key of a server that never ran
// would verify nothing.
func (c *auditPublicKeyCmd) Run(a app) error {
	if err := c.Database.Validate(); err != nil {
		return &usageError{err}
	}
	if err := checkEvidence(c.Evidence); err != nil {
		return err
	}
	signer, err := audit.LoadSigner(c.Evidence.Path(c.DataDir))
	if err != nil {
		return err
	}
	text, err := signer.PublicPEM()
	if err != nil {
		return err
	}
	key := publicKey{KeyID: signer.KeyID(), PublicKey: signer.Public(), PEM: string(text)}
	return c.print(a.out, key, func(w io.Writer) { fmt.Fprint(w, key.PEM) })
}

// ledgerPath is where checkpoints are kept outside the database.
func ledgerPath(dataDir string) string { return filepath.Join(dataDir, "checkpoints.ndjson") }

// names lists what a set holds.
func names(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}
