package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/signature"
)

// A Warning is what may be wrong with a secret that was pasted in. The secret
// is taken all the same.
type Warning string

// The warnings.
const (
	UnusualForm  Warning = "unusual_form"  // the provider's look different
	SharedSecret Warning = "shared_secret" // another key has it, of whatever workspace
)

// Explain says what to look at, for whoever pasted the secret of a key.
func (w Warning) Explain(key Key) string {
	scheme, known := signature.Find(key.Scheme)
	switch {
	case w == SharedSecret:
		return "Another key has the same secret. Whoever knows it can send in the name of both: give each sender a secret of its own."
	case w == UnusualForm && known:
		return fmt.Sprintf("It does not look like a secret for %s, which is %s. Check that the whole secret was copied, and nothing else.", scheme.Title, scheme.Form.Text)
	}
	return ""
}

// CheckSecret says what is wrong with a signing secret that was made elsewhere,
// for a key of a scheme ("" is signature.Generic).
func CheckSecret(schemeName, secret string) error {
	if len(secret) < minImported || len(secret) > 1024 || !utf8.ValidString(secret) || strings.ContainsAny(secret, "\x00\r\n") {
		return fault.On("secret", fault.Invalid, fmt.Sprintf("A signing secret has %d to 1024 characters on one line.", minImported))
	}
	scheme, known := signature.Find(orGeneric(schemeName))
	if !known {
		return nil // which is said of the scheme itself
	}
	if err := scheme.CheckSecret(secret); errors.Is(err, signature.ErrUnreadableSecret) {
		return fault.On("secret", fault.Invalid, scheme.Title+" decodes the secret: it must be whsec_ and base64.")
	}
	return nil
}

func orGeneric(scheme string) string {
	if scheme == "" {
		return signature.Generic
	}
	return scheme
}

// warningsOf are what may be wrong with a pasted secret.
func warningsOf(schemeName, secret string, others int) (warnings []Warning) {
	if scheme, known := signature.Find(schemeName); known && !scheme.LooksRight(secret) {
		warnings = append(warnings, UnusualForm)
	}
	if others > 0 {
		warnings = append(warnings, SharedSecret)
	}
	return warnings
}

var errHasSecret = fault.On("secret", fault.Conflict, "This key has a secret already.")

// PasteSecret gives a key that has none the secret that its sender signs with.
// From then on requests are verified with it.
func (s *Store) PasteSecret(ctx context.Context, by audit.Actor, id uuid.UUID, secret string) (key Key, warnings []Warning, err error) {
	const state = `
		SELECT count(*) FROM webhook_key_credentials WHERE webhook_key_id = $1 AND kind = 'secret' AND ended_at IS NULL`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if key, err = lock(ctx, tx, by, id); err != nil {
			return err
		}
		if scheme, known := signature.Find(key.Scheme); known && scheme.HasAPIKey && key.Leaked() {
			return errLeaked // it would have no API key from then on
		}
		if err := CheckSecret(key.Scheme, secret); err != nil {
			return err
		}
		var live int
		if err := tx.GetContext(ctx, &live, state, id); err != nil {
			return err
		}
		if live > 0 {
			return errHasSecret
		}
		turn, err := nextTurn(ctx, tx, id, secretKind)
		if err != nil {
			return err
		}
		others, err := s.addSecret(ctx, tx, by.WorkspaceID, id, turn, secret)
		if err != nil {
			return err
		}
		if key, err = find(ctx, tx, by.WorkspaceID, id); err != nil {
			return err
		}
		warnings = warningsOf(key.Scheme, secret, others)
		return record(ctx, tx, by, audit.SecretPasted, key, nil, pasted(key, warnings))
	})
	if err != nil {
		return Key{}, nil, conflict(err, "paste a secret")
	}
	return key, warnings, nil
}

// pasted is what the audit trail tells of a pasted secret.
func pasted(key Key, warnings []Warning) audit.Fields {
	fields := audit.Fields{"fingerprint": key.Fingerprint}
	if len(warnings) > 0 {
		fields["warnings"] = warnings
	}
	return fields
}
