package main

import (
	"context"
	"fmt"
	"io"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

type keyLeakedCmd struct {
	inWorkspace
	ID string `arg:"" help:"Id of the key."`
}

// Run stops a key's credentials for good.
func (c *keyLeakedCmd) Run(ctx context.Context, a app) error {
	return c.change(ctx, a, c.ID, "key", "reported as leaked", func(keys *keyring.Store, ctx context.Context, by audit.Actor, id uuid.UUID) (bool, error) {
		return keys.ReportLeaked(ctx, by, id, 0)
	})
}

type keyRenewCmd struct {
	inWorkspace
	ID          string `arg:"" help:"Id of the key."`
	SecretStdin bool   `name:"secret-stdin" help:"Read the new signing secret, which the sender has already, from standard input."`
}

// A renewedKey has null for what its scheme does not have, and for a secret that
// was given.
type renewedKey struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	APIKey *string `json:"api_key"`
	Secret *string `json:"secret"`
}

// Run makes new credentials for a key whose old ones leaked.
func (c *keyRenewCmd) Run(ctx context.Context, a app) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return misuse("%q is not a key's id", c.ID)
	}
	renewal := keyring.Rotation{Renew: true}
	if c.SecretStdin {
		if renewal.Secret, err = pastedSecret(a, ""); err != nil {
			return err
		}
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	done, err := s.keys.Rotate(ctx, by, id, renewal)
	if f, known := fault.Of(err); err != nil && known && f.Kind == fault.Invalid {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	warn(a, done.Key, done.Warnings)
	return c.tell(a, done)
}

// tell prints the new credentials.
func (c *keyRenewCmd) tell(a app, done keyring.Rotated) error {
	renewed := renewedKey{ID: done.Key.ID.String(), Name: done.Key.Name, APIKey: revealed(done.APIKey)}
	if !done.Pasted {
		renewed.Secret = revealed(done.Secret)
	}
	return c.print(a.out, renewed, func(w io.Writer) {
		fmt.Fprintf(w, "renewed key %s\n\nid       %s\n", renewed.Name, renewed.ID)
		if renewed.APIKey != nil {
			fmt.Fprintf(w, "API key  %s\n", *renewed.APIKey)
		}
		if renewed.Secret != nil {
			fmt.Fprintf(w, "secret   %s\n", *renewed.Secret)
		}
		if done.Shows() {
			fmt.Fprint(w, "\nShown this once.\n")
		}
	})
}
