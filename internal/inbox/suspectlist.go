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

// noteListed adds to listed signals what people did to them.
func noteListed(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, signals []Listed) error {
	const query = `
		SELECT d.id, ` + marked + ` AS suspect, d.erasure_id IS NOT NULL AS erased
		FROM deliveries AS d JOIN signals AS s ON s.id = d.id WHERE s.workspace_id = $1 AND d.id = ANY ($2)`
	var ids []uuid.UUID
	places := map[uuid.UUID]int{}
	for i := range signals {
		ids = append(ids, signals[i].ID)
		places[signals[i].ID] = i
	}
	var rows []Listed
	if err := tx.SelectContext(ctx, &rows, query, workspace, pq.Array(ids)); err != nil {
		return err
	}
	for _, row := range rows {
		listed := &signals[places[row.ID]]
		listed.Suspect, listed.Erased = row.Suspect, row.Erased
	}
	return nil
}

// listSuspect lists signals that are marked. It looks at none from before the
// first mark that holds or after the last.
func (s *Store) listSuspect(ctx context.Context, workspace uuid.UUID, w Window) (signals []Listed, err error) {
	const query = `
		SELECT d.id, d.webhook_key_id, d.source, d.source_ref, d.event_type, d.received_at, d.body_size,
			CASE WHEN $2 THEN substr(d.body, 1, $3) END AS preview, true AS suspect, d.erasure_id IS NOT NULL AS erased
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
