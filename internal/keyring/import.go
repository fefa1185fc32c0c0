package keyring

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// Imported are the credentials of a key that was made elsewhere: its API key in
// plain text or as its SHA-256, a signing secret, or both.
type Imported struct {
	APIKey     string
	APIKeyHash []byte
	Secret     string
}

// minImported is the fewest characters that a credential made elsewhere may have.
const minImported = 16

func (i Imported) check(scheme string) error {
	var c check
	switch {
	case i.APIKey == "" && i.APIKeyHash == nil && i.Secret == "":
		c.fail("api_key", "Give an API key, its SHA-256, or a signing secret.")
	case i.APIKey != "" && i.APIKeyHash != nil:
		c.fail("api_key", "Give the API key or its SHA-256, not both.")
	case i.APIKeyHash != nil && len(i.APIKeyHash) != sha256.Size:
		c.fail("api_key", "A SHA-256 has 64 hexadecimal digits.")
	case i.APIKey != "":
		if _, err := ParseAPIKey(i.APIKey); err != nil {
			c.fail("api_key", "%s", err)
		} else if len(i.APIKey) < minImported {
			c.fail("api_key", "The API key is shorter than %d characters and could be guessed.", minImported)
		}
	}
	if f, wrong := fault.Of(CheckSecret(scheme, i.Secret)); i.Secret != "" && wrong {
		c.fail("secret", "%s", f.Message)
	}
	return fault.Join(c)
}

// Import makes a key out of credentials that exist already, so that its sender
// changes nothing. It may have the origin's source, which several imported keys
// share. secretShared tells that another key has the same secret.
func (s *Store) Import(ctx context.Context, by audit.Actor, draft Draft, from Imported) (key Key, secretShared bool, err error) {
	source := draft.Source
	if source == "" || source == OriginSource {
		source, draft.Source = OriginSource, ""
	}
	if draft, err = draft.checked(time.Now(), nil); err != nil {
		return Key{}, false, err
	}
	if err := from.check(draft.Scheme); err != nil {
		return Key{}, false, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		id, err := insertKey(ctx, tx, by, draft, source)
		if err != nil {
			return err
		}
		if secretShared, err = s.addImported(ctx, tx, by.WorkspaceID, id, from); err != nil {
			return err
		}
		if key, err = find(ctx, tx, by.WorkspaceID, id); err != nil {
			return err
		}
		return record(ctx, tx, by, audit.KeyImported, key, nil, key.fields())
	})
	if err != nil {
		return Key{}, false, conflict(err, "import key")
	}
	return key, secretShared, nil
}

func (s *Store) addImported(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID, from Imported) (shared bool, err error) {
	switch {
	case from.APIKey != "":
		err = s.addAPIKey(ctx, tx, id, firstTurn, hash(from.APIKey), hint(from.APIKey))
	case from.APIKeyHash != nil:
		err = s.addAPIKey(ctx, tx, id, firstTurn, from.APIKeyHash, "imported")
	}
	if err != nil || from.Secret == "" {
		return false, err
	}
	others, err := s.addSecret(ctx, tx, workspace, id, firstTurn, from.Secret)
	return others > 0, err
}
