package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// A turn is where a new credential stands among those of its key.
type turn struct {
	Generation int // among its kind
	CountedAs  int // among all
}

var firstTurn = turn{1, 1}

func (s *Store) addAPIKey(ctx context.Context, tx *sqlx.Tx, key uuid.UUID, turn turn, hash []byte, hint string) error {
	const insert = `
		INSERT INTO webhook_key_credentials (id, webhook_key_id, kind, generation, counted_as, hash, hint)
		VALUES ($1, $2, 'api_key', $3, $4, $5, $6)`
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert, id, key, turn.Generation, turn.CountedAs, hash, hint)
	return err
}

// addSecret seals a secret. It reports how many other keys have the same one.
func (s *Store) addSecret(ctx context.Context, tx *sqlx.Tx, workspace, key uuid.UUID, turn turn, text string) (others int, err error) {
	const same = `SELECT count(DISTINCT webhook_key_id) FROM webhook_key_credentials WHERE fingerprint = $1 AND webhook_key_id <> $2`
	const insert = `
		INSERT INTO webhook_key_credentials (id, webhook_key_id, kind, generation, counted_as, sealed, fingerprint)
		VALUES ($1, $2, 'secret', $3, $4, $5, $6)`
	id, err := uuid.NewV7()
	if err != nil {
		return 0, err
	}
	fingerprint := s.box.Fingerprint("secret", text)
	if err := s.refuseLeaked(ctx, tx, workspace, fingerprint); err != nil {
		return 0, err
	}
	if err := tx.GetContext(ctx, &others, same, fingerprint, key); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, insert, id, key, turn.Generation, turn.CountedAs, s.box.Seal([]byte(text), place(workspace, key, turn.Generation)...), fingerprint)
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
	return s.Search(ctx, workspace, Filter{})
}

// Search returns the keys of the workspace that meet a filter, by name.
func (s *Store) Search(ctx context.Context, workspace uuid.UUID, filter Filter) ([]Key, error) {
	const query = `SELECT ` + named + ` FROM webhook_keys AS k WHERE ` + meets + ` ORDER BY lower(k.name), k.id`
	var keys []Key
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &keys, query, filter.args(workspace)...) })
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
