package keyring

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
)

// Answerable returns those of some keys that the actor answers for in an access
// review: their owner, and who may change any key. Until the transaction ends they
// stay as they are.
func Answerable(ctx context.Context, tx *sqlx.Tx, by audit.Actor, ids []uuid.UUID) (keys []Key, err error) {
	const query = `
		SELECT id, workspace_id, name, is_active, owner_id FROM webhook_keys
		WHERE workspace_id = $1 AND id = ANY ($2) AND (owner_id = $3 OR $4 IN ('owner', 'admin')) AND $4 <> 'auditor'
		ORDER BY id FOR NO KEY UPDATE`
	return keys, tx.SelectContext(ctx, &keys, query, by.WorkspaceID, pq.Array(ids), by.UserID, roleOf(by))
}

// DeactivateAll deactivates those of some locked keys that are active, and returns
// how many these are.
func DeactivateAll(ctx context.Context, tx *sqlx.Tx, by audit.Actor, keys []Key) (int, error) {
	const update = `UPDATE webhook_keys SET is_active = false WHERE workspace_id = $1 AND id = ANY ($2)`
	var ids []uuid.UUID
	var changes []audit.Change
	for _, key := range keys {
		if key.Active {
			ids = append(ids, key.ID)
			changes = append(changes, Batch{Action: BatchDeactivate}.change(candidate{Key: key}))
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	if _, err := tx.ExecContext(ctx, update, by.WorkspaceID, pq.Array(ids)); err != nil {
		return 0, err
	}
	return len(ids), audit.RecordAll(ctx, tx, by, changes)
}
