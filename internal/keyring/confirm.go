package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Confirm says, in the transaction that stores a request, whether the key and
// the generations of its credentials that the request proved are valid now;
// generation 0 stands for a credential that it did not use. The locks on key and
// workspace keep both from being deleted before the transaction ends.
func Confirm(ctx context.Context, tx *sqlx.Tx, key uuid.UUID, apiKeyGeneration, secretGeneration int) (State, error) {
	const lockKey = `
		SELECT k.is_active, k.expires_at <= statement_timestamp()
		FROM webhook_keys AS k JOIN workspaces AS w ON w.id = k.workspace_id
		WHERE k.id = $1 FOR KEY SHARE`
	const credentials = `
		SELECT c.ended_at <= statement_timestamp() AS ended, c.expires_at <= statement_timestamp() AS expired
		FROM webhook_key_credentials AS c
		WHERE c.webhook_key_id = $1 AND (c.kind = 'api_key' AND c.generation = $2 OR c.kind = 'secret' AND c.generation = $3)`

	var active bool
	var expired sql.NullBool
	switch err := tx.QueryRowxContext(ctx, lockKey, key).Scan(&active, &expired); {
	case errors.Is(err, sql.ErrNoRows):
		return Unknown, nil
	case err != nil:
		return "", fmt.Errorf("confirm key: %w", err)
	case !active:
		return KeyInactive, nil
	case expired.Bool:
		return KeyExpired, nil
	}
	var rows []struct{ Ended, Expired sql.NullBool }
	if err := tx.SelectContext(ctx, &rows, credentials, key, apiKeyGeneration, secretGeneration); err != nil {
		return "", fmt.Errorf("confirm credentials: %w", err)
	}
	for _, row := range rows {
		switch {
		case row.Ended.Bool:
			return CredentialEnded, nil
		case row.Expired.Bool:
			return CredentialExpired, nil
		}
	}
	if want := min(apiKeyGeneration, 1) + min(secretGeneration, 1); len(rows) != want || want == 0 {
		return Unknown, nil
	}
	return Valid, nil
}

// An Activity tells when a key was used and refused last; nil is not at all.
type Activity struct {
	KeyID             uuid.UUID
	UsedAt, RefusedAt *time.Time
}

// MarkUsed moves the keys' last uses forward, never back. It takes the rows in
// the order of their ids, so that two instances can't wait for each other.
func MarkUsed(ctx context.Context, tx *sqlx.Tx, activities []Activity) error {
	const update = `
		UPDATE webhook_keys SET last_used_at = greatest(last_used_at, $2), last_refused_at = greatest(last_refused_at, $3)
		WHERE id = $1 AND (last_used_at IS DISTINCT FROM greatest(last_used_at, $2)
			OR last_refused_at IS DISTINCT FROM greatest(last_refused_at, $3))`
	for _, a := range sorted(activities) {
		if _, err := tx.ExecContext(ctx, update, a.KeyID, a.UsedAt, a.RefusedAt); err != nil {
			return fmt.Errorf("mark key used: %w", err)
		}
	}
	return nil
}
