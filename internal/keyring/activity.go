package keyring

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

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
