package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Rows of one outcome may lie behind any number of others, and a flood of those
// must not make a page slow. The hourly counts are few and exact, so they say first
// whether there is something to look for, and where.

// skew is how far the moment in an id may be from the hour that it is counted under.
const skew = time.Minute

// acceptedHours returns the first and the last hour in which a key accepted
// something; found is false if it never did.
func acceptedHours(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID) (first, last time.Time, found bool, err error) {
	// FILTER: a WHERE would have min and max follow the hours of the whole workspace.
	const query = `
		SELECT min(hour) FILTER (WHERE outcome = 'accepted'), max(hour) FILTER (WHERE outcome = 'accepted') FROM delivery_totals
		WHERE webhook_key_id = $1 AND workspace_id = $2`
	var low, high *time.Time
	if err := tx.QueryRowxContext(ctx, query, keyID, workspaceID).Scan(&low, &high); err != nil || low == nil {
		return time.Time{}, time.Time{}, false, err
	}
	return *low, *high, true, nil
}

// letIn returns how many requests were accepted or repeated in the hours from the
// one of since on.
func letIn(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID, since time.Time) (n int64, err error) {
	const query = `
		SELECT coalesce(sum(requests), 0)::bigint FROM delivery_totals
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND hour >= $3 AND outcome <> 'refused'`
	err = tx.GetContext(ctx, &n, query, keyID, workspaceID, hourOf(since))
	return n, err
}

// FirstOf returns what tells whether a new key works: its first accepted
// delivery, else its latest refused one. found is false if there is neither.
func (s *Store) FirstOf(ctx context.Context, workspaceID, keyID uuid.UUID) (first Delivery, found bool, err error) {
	const refused = `
		SELECT ` + columns + ` FROM deliveries
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND outcome = 'refused'
		ORDER BY id DESC LIMIT 1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		err := firstAccepted(ctx, tx, &first, workspaceID, keyID)
		if errors.Is(err, sql.ErrNoRows) {
			err = tx.GetContext(ctx, &first, refused, keyID, workspaceID)
		}
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Delivery{}, false, nil
	}
	if err != nil {
		return Delivery{}, false, fmt.Errorf("read the first delivery: %w", err)
	}
	return first, true, nil
}

func firstAccepted(ctx context.Context, tx *sqlx.Tx, first *Delivery, workspaceID, keyID uuid.UUID) error {
	const query = `
		SELECT ` + columns + ` FROM deliveries
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3) AND outcome = 'accepted'
		ORDER BY id LIMIT 1`
	hour, _, found, err := acceptedHours(ctx, tx, workspaceID, keyID)
	if err != nil {
		return err
	}
	if !found {
		return sql.ErrNoRows
	}
	return tx.GetContext(ctx, first, query, keyID, workspaceID, hour.Add(-skew))
}

// maxSenders bounds the answer of SendersOf, maxSenderRows what it looks at.
const (
	maxSenders    = 100
	maxSenderRows = 20_000
)

// SendersOf returns who sent accepted or duplicate requests with a key since a
// moment, the latest first. It looks at the newest 20,000 of those at most.
func (s *Store) SendersOf(ctx context.Context, workspaceID, keyID uuid.UUID, since time.Time) ([]Sender, error) {
	const query = `
		SELECT address, user_agent, count(*) AS requests, min(received_at) AS first_at, max(received_at) AS last_at
		FROM (
			SELECT address, user_agent, received_at FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND outcome <> 'refused' AND id >= uuid_floor($3)
			ORDER BY id DESC LIMIT $4
		) AS newest
		GROUP BY address, user_agent ORDER BY last_at DESC LIMIT $5`
	var senders []Sender
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		n, err := letIn(ctx, tx, workspaceID, keyID, since)
		if err != nil || n == 0 {
			return err
		}
		return tx.SelectContext(ctx, &senders, query, keyID, workspaceID, since, min(n, maxSenderRows), maxSenders)
	})
	if err != nil {
		return nil, fmt.Errorf("read a key's senders: %w", err)
	}
	return senders, nil
}
