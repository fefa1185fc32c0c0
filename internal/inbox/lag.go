package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A Lag is how far readers are behind what arrived, the furthest of all workspaces.
type Lag struct {
	Held   time.Duration // since the first signal arrived that waits for a transaction that writes; 0: none does
	Unread time.Duration // since the first signal arrived that a reader may read and has not; 0: all have all
}

// Lag returns how far readers are behind; tokens are those that count. It costs a
// look at an index for each workspace and each token.
func (s *Store) Lag(ctx context.Context, tokens []uuid.UUID) (lag Lag, err error) {
	const held = `
		WITH RECURSIVE places AS (
			(SELECT workspace_id FROM signals ORDER BY workspace_id LIMIT 1)
			UNION ALL
			SELECT (SELECT s.workspace_id FROM signals AS s WHERE s.workspace_id > p.workspace_id ORDER BY s.workspace_id LIMIT 1)
			FROM places AS p WHERE p.workspace_id IS NOT NULL)
		SELECT coalesce(extract(epoch FROM clock_timestamp() - min(first.received_at)), 0)::double precision
		FROM places AS p CROSS JOIN LATERAL (
			SELECT s.received_at FROM signals AS s
			WHERE s.workspace_id = p.workspace_id AND (s.epoch, s.commit_xid) >= ((SELECT epoch FROM instance), pg_snapshot_xmin(pg_current_snapshot()))
			ORDER BY s.epoch, s.commit_xid, s.id LIMIT 1) AS first`
	const unread = `
		SELECT coalesce(extract(epoch FROM clock_timestamp() - min(first.received_at)), 0)::double precision
		FROM signal_readers AS r CROSS JOIN LATERAL (
			SELECT s.received_at FROM signals AS s
			WHERE s.workspace_id = r.workspace_id AND (s.epoch, s.commit_xid, s.id) > (r.epoch, r.commit_xid, r.signal_id) AND ` + ended + `
			ORDER BY s.epoch, s.commit_xid, s.id LIMIT 1) AS first
		WHERE r.token_id = ANY($1)`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := seconds(ctx, tx, &lag.Held, held); err != nil {
			return err
		}
		return seconds(ctx, tx, &lag.Unread, unread, pq.Array(tokens))
	})
	if err != nil {
		return Lag{}, fmt.Errorf("look how far readers are behind: %w", err)
	}
	return lag, nil
}

func seconds(ctx context.Context, tx *sqlx.Tx, d *time.Duration, query string, args ...any) error {
	var n float64
	err := tx.GetContext(ctx, &n, query, args...)
	*d = max(0, time.Duration(n*float64(time.Second))) // the clocks of two machines may differ
	return err
}
