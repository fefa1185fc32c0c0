package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// Issued is a new key with its credentials, which can't be had again.
type Issued struct {
	Key            Key
	APIKey, Secret Credential
}

// AlreadyIssued is the error of a form that has made its key: its credentials
// were in the answer to the first time it was sent.
type AlreadyIssued struct {
	Key     Key
	ShownTo string
	At      time.Time
}

func (*AlreadyIssued) Error() string { return "the form has made its key already" }

// Issue makes a key in the actor's workspace. A form's nonce makes one key,
// however often and however fast it is sent: the others get *AlreadyIssued. A
// command has no nonce.
func (s *Store) Issue(ctx context.Context, by audit.Actor, draft Draft, nonce string) (Issued, error) {
	return s.issue(ctx, by, draft, nonce, NewSecret())
}

// IssueWith makes a key whose signing secret the sender has already.
func (s *Store) IssueWith(ctx context.Context, by audit.Actor, draft Draft, secret string) (Issued, error) {
	if err := CheckSecret(secret); err != nil {
		return Issued{}, err
	}
	return s.issue(ctx, by, draft, "", Credential{secret})
}

func (s *Store) issue(ctx context.Context, by audit.Actor, draft Draft, nonce string, secret Credential) (Issued, error) {
	draft, err := draft.checked(time.Now())
	if err != nil {
		return Issued{}, err
	}
	if !validNonce(nonce) {
		return Issued{}, errDamaged
	}
	issued := Issued{APIKey: NewAPIKey(), Secret: secret}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		id, err := insertKey(ctx, tx, by, draft, draft.Source)
		if err != nil {
			return err
		}
		if err := s.claim(ctx, tx, by, nonce, id); err != nil {
			return err
		}
		if err := s.addAPIKey(ctx, tx, id, hash(issued.APIKey.text), hint(issued.APIKey.text)); err != nil {
			return err
		}
		if _, err := s.addSecret(ctx, tx, by.WorkspaceID, id, issued.Secret.text); err != nil {
			return err
		}
		if issued.Key, err = find(ctx, tx, by.WorkspaceID, id); err != nil {
			return err
		}
		if err := record(ctx, tx, by, audit.KeyCreated, issued.Key, nil, issued.Key.fields()); err != nil {
			return err
		}
		return record(ctx, tx, by, audit.CredentialsShown, issued.Key, nil, audit.Fields{"api_key": issued.Key.Hint, "fingerprint": issued.Key.Fingerprint})
	})
	if err != nil {
		return Issued{}, s.refused(ctx, by, nonce, conflict(err, "issue key"))
	}
	return issued, nil
}

// refused is why a form made no key. What a form clashes with may be the key that
// it has made itself: then that is the answer, whichever rule was broken first.
func (s *Store) refused(ctx context.Context, by audit.Actor, nonce string, err error) error {
	f, known := fault.Of(err)
	if nonce == "" || !postgres.Violates(err, "form_nonces_pkey") && (!known || f.Kind != fault.Conflict) {
		return err
	}
	if already, lookErr := s.already(ctx, by.WorkspaceID, nonce); lookErr == nil {
		return already
	}
	return err
}

// insertKey writes the key's row under a source that is free. A source that was
// made from the name gets a number where it is taken; one that was asked for does not.
func insertKey(ctx context.Context, tx *sqlx.Tx, by audit.Actor, draft Draft, source string) (uuid.UUID, error) {
	const insert = `
		INSERT INTO webhook_keys (id, workspace_id, name, scheme, source, note, labels, created_by, owner_id, expires_at,
			require_signature, allow_in_url, allowed_cidrs, other_sources, rate_limit, rate_seconds, daily_quota, ref_pointer, identical_bodies)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19
		ON CONFLICT (workspace_id, source) WHERE source <> 'webhook' DO NOTHING`

	if err := ownerBelongs(ctx, tx, by.WorkspaceID, draft.OwnerID); err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, err
	}
	for n := 1; n <= 100; n++ {
		candidate := source
		if source == "" {
			candidate = sourceOf(draft.Name)
			if n > 1 {
				candidate += "-" + strconv.Itoa(n)
			}
		}
		result, err := tx.ExecContext(ctx, insert, id, by.WorkspaceID, draft.Name, Generic, candidate, draft.Note, pq.Array(draft.Labels),
			creator(by), draft.OwnerID, draft.ExpiresAt, draft.RequireSignature, draft.AllowInURL, pq.Array(draft.AllowedCIDRs),
			pq.Array(draft.OtherSources), draft.RateLimit, draft.RateSeconds, draft.DailyQuota, draft.RefPointer, draft.IdenticalBodies)
		if err != nil {
			return uuid.Nil, err
		}
		if rows, err := result.RowsAffected(); err != nil || rows == 1 {
			return id, err
		}
		if source != "" {
			break
		}
	}
	return uuid.Nil, fault.On("source", fault.Conflict, "Another key has that source.")
}

func creator(by audit.Actor) *uuid.UUID {
	if by.Kind == audit.User {
		return &by.UserID
	}
	return nil
}

// claim uses up the form's nonce for the key.
func (s *Store) claim(ctx context.Context, tx *sqlx.Tx, by audit.Actor, nonce string, id uuid.UUID) error {
	const insert = `INSERT INTO form_nonces (workspace_id, nonce, webhook_key_id, shown_to, shown_to_id) VALUES ($1, $2, $3, $4, $5)`
	if nonce == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, insert, by.WorkspaceID, nonce, id, by.Label, creator(by))
	return err
}

func (s *Store) already(ctx context.Context, workspace uuid.UUID, nonce string) (*AlreadyIssued, error) {
	const query = `SELECT webhook_key_id, shown_to, created_at FROM form_nonces WHERE workspace_id = $1 AND nonce = $2`
	var already AlreadyIssued
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		var id uuid.UUID
		err := tx.QueryRowxContext(ctx, query, workspace, nonce).Scan(&id, &already.ShownTo, &already.At)
		if err != nil {
			return err
		}
		already.Key, err = find(ctx, tx, workspace, id)
		return err
	})
	return &already, err
}

func (s *Store) addAPIKey(ctx context.Context, tx *sqlx.Tx, key uuid.UUID, hash []byte, hint string) error {
	const insert = `
		INSERT INTO webhook_key_credentials (id, webhook_key_id, kind, generation, hash, hint)
		VALUES ($1, $2, 'api_key', 1, $3, $4)`
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert, id, key, hash, hint)
	return err
}

// addSecret seals a secret. It reports how many other keys have the same one.
func (s *Store) addSecret(ctx context.Context, tx *sqlx.Tx, workspace, key uuid.UUID, text string) (others int, err error) {
	const same = `SELECT count(*) FROM webhook_key_credentials WHERE fingerprint = $1`
	const insert = `
		INSERT INTO webhook_key_credentials (id, webhook_key_id, kind, generation, sealed, fingerprint)
		VALUES ($1, $2, 'secret', 1, $3, $4)`
	id, err := uuid.NewV7()
	if err != nil {
		return 0, err
	}
	fingerprint := s.box.Fingerprint("secret", text)
	if err := tx.GetContext(ctx, &others, same, fingerprint); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, insert, id, key, s.box.Seal([]byte(text), place(workspace, key, 1)...), fingerprint)
	return others, err
}

// place is what a sealed secret is bound to.
func place(workspace, key uuid.UUID, generation int) []string {
	return []string{"keyhook/hmac-secret/v1", workspace.String(), key.String(), strconv.Itoa(generation)}
}

// Find returns a key of the workspace.
func (s *Store) Find(ctx context.Context, workspace, id uuid.UUID) (Key, error) {
	var key Key
	err := s.db.Read(ctx, func(tx *sqlx.Tx) (err error) {
		key, err = find(ctx, tx, workspace, id)
		return err
	})
	if err != nil {
		return Key{}, fmt.Errorf("find key: %w", err)
	}
	return key, nil
}

func find(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (Key, error) {
	const query = `SELECT ` + named + ` FROM webhook_keys AS k WHERE k.workspace_id = $1 AND k.id = $2`
	var key Key
	err := tx.GetContext(ctx, &key, query, workspace, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, errNoKey
	}
	return key, err
}

var errNoKey = fault.New(fault.NotFound, "There is no such key.")

// List returns all keys of the workspace by name.
func (s *Store) List(ctx context.Context, workspace uuid.UUID) ([]Key, error) {
	const query = `SELECT ` + named + ` FROM webhook_keys AS k WHERE k.workspace_id = $1 ORDER BY lower(k.name), k.id`
	var keys []Key
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &keys, query, workspace) })
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return keys, nil
}

// record adds an entry about key to the audit trail.
func record(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, key Key, before, after audit.Fields) error {
	return audit.Record(ctx, tx, by, action, audit.Target{Kind: "key", ID: key.ID.String(), Label: key.Name}, before, after)
}

// conflict turns what a constraint says into a fault.
func conflict(err error, doing string) error {
	switch {
	case postgres.Violates(err, "webhook_keys_name_unique"):
		return fault.On("name", fault.Conflict, "Another key has that name. Add what makes this one different.")
	case postgres.Violates(err, "webhook_keys_source_unique"):
		return fault.On("source", fault.Conflict, "Another key has that source.")
	case postgres.Violates(err, "webhook_key_credentials_hash_unique"):
		return fault.On("api_key", fault.Conflict, "That API key is here already.")
	case postgres.Violates(err, "webhook_keys_workspace_id_fkey"):
		return fault.New(fault.NotFound, "There is no such workspace.")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Count returns how many keys the workspace has.
func (s *Store) Count(ctx context.Context, workspace uuid.UUID) (n int, err error) {
	const query = `SELECT count(*) FROM webhook_keys WHERE workspace_id = $1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, query, workspace) })
	if err != nil {
		return 0, fmt.Errorf("count keys: %w", err)
	}
	return n, nil
}
