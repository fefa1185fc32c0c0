package keyring

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Held says what keys of a workspace somebody has to do with.
type Held struct {
	Made    int `db:"made"`    // by them, whatever became of those
	Answers int `db:"answers"` // active ones that they own
}

// HeldBy tells of each user who made or owns keys of a workspace.
func (s *Store) HeldBy(ctx context.Context, workspace uuid.UUID) (map[uuid.UUID]Held, error) {
	const query = `
		SELECT u AS id, count(*) FILTER (WHERE made) AS made, count(*) FILTER (WHERE NOT made) AS answers FROM (
			SELECT created_by AS u, true AS made FROM webhook_keys WHERE workspace_id = $1 AND created_by IS NOT NULL
			UNION ALL
			SELECT owner_id, false FROM webhook_keys WHERE workspace_id = $1 AND owner_id IS NOT NULL AND is_active) AS k
		GROUP BY u`
	var rows []struct {
		ID uuid.UUID `db:"id"`
		Held
	}
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, query, workspace) })
	if err != nil {
		return nil, fmt.Errorf("count whose keys there are: %w", err)
	}
	held := map[uuid.UUID]Held{}
	for _, row := range rows {
		held[row.ID] = row.Held
	}
	return held, nil
}
