package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/config"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

type keyCreateCmd struct {
	inWorkspace
	config.Hooks
	Name        string `required:"" help:"Name of the sender."`
	Scheme      string `default:"generic" enum:"${schemes}" help:"How the sender proves itself: ${enum}."`
	SecretStdin bool   `name:"secret-stdin" help:"Read the signing secret, which the sender has already, from standard input."`
	Source      string `help:"What its events are counted under. Default: made from the name."`
	ExpiresIn   string `default:"365d" help:"How long it works, such as 90d, or never."`
	keyRules
}

// A createdKey has null for what the key has not: a provider's has no API key,
// and may come before its secret.
type createdKey struct {
	ID          string  `json:"id"`
	WorkspaceID string  `json:"workspace_id"`
	Name        string  `json:"name"`
	Scheme      string  `json:"scheme"`
	APIKey      *string `json:"api_key"`
	Secret      *string `json:"secret"`
	SignalsURL  string  `json:"signals_url"`
	HookURL     string  `json:"hook_url"`
}

// Run makes a key.
func (c *keyCreateCmd) Run(ctx context.Context, a app) error {
	if err := c.Hooks.Validate(); err != nil {
		return &usageError{err}
	}
	expires, err := lifetime(c.ExpiresIn, time.Now())
	if err != nil {
		return err
	}
	draft, err := c.over(keyring.Draft{Name: c.Name, Scheme: c.Scheme, Source: c.Source, ExpiresAt: expires})
	if err != nil {
		return err
	}
	if err := checkDraft(draft); err != nil {
		return err
	}
	secret := ""
	if c.SecretStdin {
		if secret, err = pastedSecret(a, c.Scheme); err != nil {
			return err
		}
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	if draft.OwnerID, err = s.ownedBy(ctx, by.WorkspaceID, c.Owner); err != nil {
		return err
	}
	issue := func() (keyring.Issued, error) { return s.keys.Issue(ctx, by, draft, "") }
	if c.SecretStdin {
		issue = func() (keyring.Issued, error) { return s.keys.IssueWith(ctx, by, draft, secret, "") }
	}
	issued, err := issue()
	if err != nil {
		return err
	}
	warn(a, issued.Key, issued.Warnings)
	return c.tell(a, issued)
}

// tell prints a new key with its credentials.
func (c *keyCreateCmd) tell(a app, issued keyring.Issued) error {
	key, base := issued.Key, hooksBase(c.Hooks, c.DataDir)
	created := createdKey{
		ID: key.ID.String(), WorkspaceID: key.WorkspaceID.String(), Name: key.Name, Scheme: key.Scheme,
		APIKey: revealed(issued.APIKey), Secret: revealed(issued.Secret),
		SignalsURL: base + "/api/webhooks/signals", HookURL: base + "/hooks/" + key.ID.String(),
	}
	return c.print(a.out, created, func(w io.Writer) {
		fmt.Fprintf(w, "made key %s\n\nid       %s\naddress  %s\n", created.Name, created.ID, created.HookURL)
		var shown []string
		if created.APIKey != nil {
			fmt.Fprintf(w, "API key  %s\n", *created.APIKey)
			shown = append(shown, "API key")
		}
		if created.Secret != nil {
			fmt.Fprintf(w, "secret   %s\n", *created.Secret)
			shown = append(shown, "secret")
		}
		switch len(shown) {
		case 0:
			fmt.Fprintf(w, "\nThe key refuses until it has the sender's secret: keyhook key set-secret --workspace %s %s\n", c.Workspace, created.ID)
		case 1:
			fmt.Fprintf(w, "\nThe %s is shown this once.\n", shown[0])
		default:
			fmt.Fprintf(w, "\n%s are shown this once.\n", strings.Join(shown, " and "))
		}
	})
}

// revealed is a credential's text, nil if there is none.
func revealed(c keyring.Credential) *string {
	if text := c.Reveal(); text != "" {
		return &text
	}
	return nil
}

// pastedSecret reads a secret for a key of a scheme from standard input.
func pastedSecret(a app, scheme string) (string, error) {
	secret, err := readSecret(a.in)
	if err != nil {
		return "", err
	}
	if f, wrong := fault.Of(keyring.CheckSecret(scheme, secret)); wrong {
		return "", misuse("the secret on standard input: %s", f.Message)
	}
	return secret, nil
}

// warn says what may be wrong with a pasted secret.
func warn(a app, key keyring.Key, warnings []keyring.Warning) {
	for _, w := range warnings {
		fmt.Fprintln(a.err, "keyhook: warning:", w.Explain(key))
	}
}

type keySetSecretCmd struct {
	inWorkspace
	ID string `arg:"" help:"Id of the key."`
}

// Run gives a key that has none the secret on standard input.
func (c *keySetSecretCmd) Run(ctx context.Context, a app) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return misuse("%q is not a key's id", c.ID)
	}
	secret, err := pastedSecret(a, "")
	if err != nil {
		return err
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	key, warnings, err := s.keys.PasteSecret(ctx, by, id, secret)
	if err != nil {
		return err
	}
	warn(a, key, warnings)
	return c.print(a.out, map[string]any{"id": id, "changed": true, "fingerprint": key.Fingerprint}, func(w io.Writer) {
		fmt.Fprintf(w, "%s has its secret, fingerprint %s\n", key.Name, key.Fingerprint)
	})
}
