package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/seal"
)

// A State says whether a credential may be used.
type State string

// The states of a credential, with its key.
const (
	Valid             State = "valid"
	KeyInactive       State = "key_inactive"
	KeyExpired        State = "key_expired"
	CredentialEnded   State = "credential_ended"   // stopped for good
	CredentialExpired State = "credential_expired" // its overlap is over
	CredentialLeaked  State = "credential_leaked"  // reported as leaked, and stopped for good
)

// MaxSecrets is how many secrets are tried on one request.
const MaxSecrets = 16

// Found is a credential with its key.
type Found struct {
	Key        Key
	Kind       string // api_key, secret
	Generation int
	CountedAs  int        // a request's generation, if this proves it; unlike its own it tells old ones from all others
	State      State      // at the moment of the look-up
	Until      *time.Time // when it ends to be valid; nil: never
	Hash       []byte     // of an API key, SHA-256
	Print      []byte     // of a secret, its fingerprint
	Secret     Credential // of a secret
}

// A foundRow is a credential's row beside its key's.
type foundRow struct {
	Key
	Kind       string     `db:"kind"`
	Generation int        `db:"generation"`
	CountedAs  int        `db:"counted_as"`
	Hash       []byte     `db:"hash"`
	Sealed     []byte     `db:"sealed"`
	Print      []byte     `db:"print"`
	State      State      `db:"state"`
	Until      *time.Time `db:"until"`
}

// state is what a credential c and its key k are now, by the database's clock. That
// one leaked is worth more to know than that its key was stopped besides.
const state = `CASE
	WHEN c.leaked_at IS NOT NULL THEN 'credential_leaked'
	WHEN NOT k.is_active THEN 'key_inactive'
	WHEN k.expires_at <= statement_timestamp() THEN 'key_expired'
	WHEN c.ended_at <= statement_timestamp() THEN 'credential_ended'
	WHEN c.expires_at <= statement_timestamp() THEN 'credential_expired'
	ELSE 'valid' END AS state, least(k.expires_at, c.expires_at, c.ended_at) AS until`

// countedAs is what requests are counted under that a credential c proves.
const countedAs = `coalesce(c.counted_as, c.generation)`

const found = `SELECT ` + bare + `, c.kind, c.generation, ` + countedAs + ` AS counted_as, c.hash, c.sealed, c.fingerprint AS print, ` + state + `
	FROM webhook_keys AS k JOIN webhook_key_credentials AS c ON c.webhook_key_id = k.id `

// foundOrBare is found, with a row for a key that has no credential yet.
const foundOrBare = `SELECT ` + bare + `, coalesce(c.kind, '') AS kind, coalesce(c.generation, 0) AS generation,
	coalesce(` + countedAs + `, 0) AS counted_as, c.hash, c.sealed, c.fingerprint AS print, ` + state + `
	FROM webhook_keys AS k LEFT JOIN webhook_key_credentials AS c ON c.webhook_key_id = k.id `

func (s *Store) open(row foundRow) (Found, error) {
	f := Found{Key: row.Key, Kind: row.Kind, Generation: row.Generation, CountedAs: row.CountedAs, State: row.State, Until: row.Until, Hash: row.Hash, Print: row.Print}
	if row.Sealed == nil {
		return f, nil
	}
	text, err := s.box.Open(row.Sealed, place(row.WorkspaceID, row.ID, row.Generation)...)
	if err != nil {
		return Found{}, fmt.Errorf("open the secret of key %s: %w", row.ID, err)
	}
	f.Secret = Credential{string(text)}
	return f, nil
}

// ByAPIKey returns the credential with the given text, whatever its state. If
// there is none, its error is a fault NotFound.
func (s *Store) ByAPIKey(ctx context.Context, text string) (Found, error) {
	const query = found + `WHERE c.hash = $1`
	var row foundRow
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &row, query, hash(text)) })
	if errors.Is(err, sql.ErrNoRows) {
		return Found{}, errNoKey
	}
	if err != nil {
		return Found{}, fmt.Errorf("look up an API key: %w", err)
	}
	return s.open(row)
}

// CheckMasterKeys says whether the master key file opens every sealed secret.
func (s *Store) CheckMasterKeys(ctx context.Context) error {
	const heads = `SELECT DISTINCT substr(sealed, 2, 4) FROM webhook_key_credentials WHERE sealed IS NOT NULL`
	var ids [][]byte
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &ids, heads) })
	if err != nil {
		return fmt.Errorf("check the master keys: %w", err)
	}
	for _, id := range ids {
		if len(id) != len(seal.KeyID{}) || !s.box.Has(seal.KeyID(id)) {
			return fmt.Errorf("some signing secrets are sealed with the master key %x, which the master key file does not hold: add its line from another instance or a backup", id)
		}
	}
	return nil
}
