package inbox

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Hold takes, as part of tx, the row locks that stand for foreign keys: until tx
// ends nobody deletes a workspace or a key that batch names. What is gone
// already is taken out of its arrival: the id becomes Nil. Workspaces come
// first, as a deletion takes them, and both in the order of their ids.
func Hold(ctx context.Context, tx *sqlx.Tx, batch []Arrival) error {
	const workspaces = `SELECT id FROM workspaces WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE`
	const keys = `SELECT id FROM webhook_keys WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE`

	var workspaceIDs, keyIDs []uuid.UUID
	for i := range batch {
		workspaceIDs = append(workspaceIDs, batch[i].WorkspaceID)
		keyIDs = append(keyIDs, batch[i].KeyID)
	}
	workspaceThere, err := held(ctx, tx, workspaces, workspaceIDs)
	if err != nil {
		return fmt.Errorf("hold workspaces: %w", err)
	}
	keyThere, err := held(ctx, tx, keys, keyIDs)
	if err != nil {
		return fmt.Errorf("hold keys: %w", err)
	}
	for i := range batch {
		a := &batch[i]
		if !workspaceThere[a.WorkspaceID] {
			a.WorkspaceID, a.KeyID = uuid.Nil, uuid.Nil
		}
		if !keyThere[a.KeyID] {
			a.KeyID = uuid.Nil
		}
		if a.KeyID == uuid.Nil {
			a.Generation = 0
		}
	}
	return nil
}

func held(ctx context.Context, tx *sqlx.Tx, query string, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	var found []uuid.UUID
	if err := tx.SelectContext(ctx, &found, query, pq.Array(ids)); err != nil {
		return nil, err
	}
	there := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		there[id] = true
	}
	return there, nil
}
