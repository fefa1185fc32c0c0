package inbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// marked is whether a mark that holds is about signal s of delivery d; $1 is the
// workspace.
const marked = `EXISTS (SELECT FROM suspect_ranges AS r WHERE r.workspace_id = $1 AND r.ended_at IS NULL AND ` + covers + `)`

// noteMarked adds to listed signals whether they are marked. Where a workspace has
// no mark, it looks at none of them.
func noteMarked(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, signals []Listed) error {
	const query = `
		SELECT d.id FROM deliveries AS d JOIN signals AS s ON s.id = d.id
		WHERE (SELECT EXISTS (SELECT FROM suspect_ranges WHERE workspace_id = $1 AND ended_at IS NULL))
			AND s.workspace_id = $1 AND d.id = ANY ($2) AND ` + marked
	ids := make([]uuid.UUID, len(signals))
	for i := range signals {
		ids[i] = signals[i].ID
	}
	var suspect []uuid.UUID
	if err := tx.SelectContext(ctx, &suspect, query, workspace, pq.Array(ids)); err != nil {
		return err
	}
	for i := range signals {
		signals[i].Suspect = slices.Contains(suspect, signals[i].ID)
	}
	return nil
}

// listSuspect lists signals that are marked. It looks at none from before the
// first mark that holds or after the last.
func (s *Store) listSuspect(ctx context.Context, workspace uuid.UUID, w Window) (signals []Listed, err error) {
	const query = `
		SELECT ` + listed + `, true AS suspect
		FROM deliveries AS d JOIN signals AS s ON s.id = d.id
		WHERE d.workspace_id = $1 AND d.outcome = 'accepted' AND s.workspace_id = $1
			AND d.id >= uuid_floor((SELECT min(from_at) - interval '1 hour' FROM suspect_ranges WHERE workspace_id = $1 AND ended_at IS NULL))
			AND d.id < uuid_floor((SELECT max(until_at) + interval '1 minute' FROM suspect_ranges WHERE workspace_id = $1 AND ended_at IS NULL))
			AND ($5::uuid IS NULL OR d.webhook_key_id = $5) AND ($6::uuid IS NULL OR d.id < $6) AND ($7::uuid IS NULL OR d.id > $7)
			AND ` + marked
	order := "DESC"
	if w.After != nil {
		order = "ASC"
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &signals, query+` ORDER BY d.id `+order+` LIMIT $4`, workspace, w.Payloads, previewBytes, w.Limit, w.Key, w.Before, w.After)
	})
	if err != nil {
		return nil, fmt.Errorf("list suspect signals: %w", err)
	}
	if w.After != nil {
		slices.Reverse(signals)
	}
	return signals, nil
}
