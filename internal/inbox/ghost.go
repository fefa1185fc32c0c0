package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// GhostsOf returns the keys of a workspace with which somebody sent since a moment
// though what they sent with works no more: the key is deactivated or expired, or
// its API key or secret was stopped, replaced or reported as leaked. It reads the
// counts, which outlive the rows.
func (s *Store) GhostsOf(ctx context.Context, workspaceID uuid.UUID, since time.Time) (keys []uuid.UUID, err error) {
	const query = `
		SELECT DISTINCT webhook_key_id FROM delivery_totals
		WHERE workspace_id = $1 AND hour >= $2 AND last_at >= $3
			AND reason IN ('key_inactive', 'key_expired', 'credential_ended', 'credential_expired', 'credential_leaked', 'secret_erased')`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &keys, query, workspaceID, hourOf(since), since) })
	if err != nil {
		return nil, fmt.Errorf("look for uses of what works no more: %w", err)
	}
	return keys, nil
}

// A Load is how much came in with a key.
type Load struct {
	KeyID    uuid.UUID `db:"webhook_key_id"`
	Requests int64     `db:"requests"`
	Refused  int64     `db:"refused"` // of these
}

// LoadsOf returns the loads of a workspace's keys from the hour of since on. Keys
// without a request are left out.
func (s *Store) LoadsOf(ctx context.Context, workspaceID uuid.UUID, since time.Time) (loads []Load, err error) {
	const query = `
		SELECT webhook_key_id, sum(requests)::bigint AS requests, coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)::bigint AS refused
		FROM delivery_totals WHERE workspace_id = $1 AND hour >= $2 GROUP BY webhook_key_id`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &loads, query, workspaceID, hourOf(since)) })
	if err != nil {
		return nil, fmt.Errorf("read the keys' loads: %w", err)
	}
	return loads, nil
}

// UsedSince returns the keys of a workspace with which a request was let in after
// a moment, those included that no key's last use tells of yet.
func (s *Store) UsedSince(ctx context.Context, workspaceID uuid.UUID, moment time.Time) (keys []uuid.UUID, err error) {
	const query = `
		SELECT DISTINCT webhook_key_id FROM delivery_totals
		WHERE workspace_id = $1 AND hour >= $2 AND last_at > $3 AND outcome <> 'refused'`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &keys, query, workspaceID, hourOf(moment), moment)
	})
	if err != nil {
		return nil, fmt.Errorf("read which keys were used: %w", err)
	}
	return keys, nil
}
