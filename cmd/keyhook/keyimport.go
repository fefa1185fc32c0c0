package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"keyhook/internal/keyring"
)

type keyImportCmd struct {
	inWorkspace
	Name        string `help:"Name of the sender."`
	APIKeyStdin bool   `name:"api-key-stdin" xor:"what" required:"" help:"Read the API key in plain text from standard input."`
	SHA256      string `name:"sha256" env:"KEYHOOK_SHA256" xor:"what" required:"" placeholder:"HEX" help:"The API key's SHA-256."`
	CSV         string `name:"csv" env:"KEYHOOK_CSV" xor:"what" required:"" placeholder:"FILE" help:"A table of keys, - for standard input: all of them, or none if anything is wrong."`
	Source      string `default:"webhook" help:"What its events are counted under; imported keys may share webhook. A table has a column for it."`
	ExpiresIn   string `default:"never" help:"How long it works, such as 90d, or never."`
	DryRun      bool   `name:"dry-run" help:"Say what would be imported, and write nothing."`
}

// Run imports a key, or a table of them.
func (c *keyImportCmd) Run(ctx context.Context, a app) error {
	if c.CSV != "" {
		return c.importTable(ctx, a)
	}
	if c.Name == "" {
		return misuse("missing flags: --name=STRING")
	}
	expires, err := lifetime(c.ExpiresIn, time.Now())
	if err != nil {
		return err
	}
	draft := keyring.Draft{Name: c.Name, Source: c.Source, ExpiresAt: expires}
	from, err := c.credentials(a, draft)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.tryOne(ctx, a, draft, from)
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	key, _, err := s.keys.Import(ctx, by, draft, from)
	if err != nil {
		return err
	}
	imported := map[string]string{"id": key.ID.String(), "workspace_id": key.WorkspaceID.String(), "name": key.Name, "scheme": key.Scheme}
	return c.print(a.out, imported, func(w io.Writer) { fmt.Fprintf(w, "imported key %s\nid  %s\n", key.Name, key.ID) })
}

// credentials checks the draft and reads what is imported.
func (c *keyImportCmd) credentials(a app, draft keyring.Draft) (from keyring.Imported, err error) {
	if draft.Source == keyring.OriginSource {
		draft.Source = "" // no other key may have it
	}
	if err := checkDraft(draft); err != nil {
		return from, err
	}
	if c.APIKeyStdin {
		if from.APIKey, err = readSecret(a.in); err != nil {
			return from, err
		}
		if _, err := keyring.ParseAPIKey(from.APIKey); err != nil {
			return from, &usageError{err}
		}
		return from, nil
	}
	if from.APIKeyHash, err = hex.DecodeString(c.SHA256); err != nil || len(from.APIKeyHash) != sha256.Size {
		return from, misuse("--sha256 is not 64 hexadecimal digits")
	}
	return from, nil
}
