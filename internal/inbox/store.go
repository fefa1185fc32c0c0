package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// A Store reads what arrived, and forgets what need not be kept. Writing is
// [Append]'s.
type Store struct {
	db  *postgres.DB
	box *seal.Box
}

// NewStore returns a Store on db. box opens the bodies of refused requests.
func NewStore(db *postgres.DB, box *seal.Box) *Store { return &Store{db, box} }

const columns = `id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status,
	scheme, endpoint, address, user_agent, content_type, headers, event_type, source, source_ref, signal_id,
	same_body_as, conflict, body_size, body_sha256, received_at, took_us`

// RecentOf returns a key's newest deliveries, the newest first.
func (s *Store) RecentOf(ctx context.Context, workspaceID, keyID uuid.UUID, limit int) ([]Delivery, error) {
	const query = `
		SELECT ` + columns + ` FROM deliveries
		WHERE webhook_key_id = $1 AND workspace_id = $2
		ORDER BY id DESC LIMIT $3`
	var found []Delivery
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &found, query, keyID, workspaceID, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read recent deliveries: %w", err)
	}
	return found, nil
}

const hourSums = `
	hour,
	coalesce(sum(requests) FILTER (WHERE outcome = 'accepted'), 0)::bigint AS accepted,
	coalesce(sum(requests) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
	coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)::bigint AS refused`

// Hourly returns the counts of some keys of a workspace from the hour of since
// on, oldest first. Hours without a request are left out.
func (s *Store) Hourly(ctx context.Context, workspaceID uuid.UUID, keys []uuid.UUID, since time.Time) (map[uuid.UUID][]HourCount, error) {
	const query = `
		SELECT webhook_key_id, ` + hourSums + ` FROM delivery_totals
		WHERE workspace_id = $1 AND webhook_key_id = ANY ($2) AND hour >= $3
		GROUP BY webhook_key_id, hour ORDER BY webhook_key_id, hour`
	var rows []struct {
		KeyID uuid.UUID `db:"webhook_key_id"`
		HourCount
	}
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, query, workspaceID, pq.Array(keys), hourOf(since))
	})
	if err != nil {
		return nil, fmt.Errorf("read hourly counts: %w", err)
	}
	counts := map[uuid.UUID][]HourCount{}
	for _, row := range rows {
		counts[row.KeyID] = append(counts[row.KeyID], row.HourCount)
	}
	return counts, nil
}

// UsageOf returns one key's counts from the hour of since on, oldest first.
func (s *Store) UsageOf(ctx context.Context, workspaceID, keyID uuid.UUID, since time.Time) ([]HourCount, error) {
	const query = `
		SELECT ` + hourSums + ` FROM delivery_totals
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND hour >= $3
		GROUP BY hour ORDER BY hour`
	var counts []HourCount
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &counts, query, keyID, workspaceID, hourOf(since))
	})
	if err != nil {
		return nil, fmt.Errorf("read a key's usage: %w", err)
	}
	return counts, nil
}

// Kept is what was kept of a refused request.
type Kept struct {
	Body      []byte // at most the first 64 KiB
	Signature string // as presented, or ""
}

// KeptOf returns what was kept of a refused request of the workspace; found is
// false if nothing was, or no longer is.
func (s *Store) KeptOf(ctx context.Context, workspaceID, deliveryID uuid.UUID) (kept Kept, found bool, err error) {
	const query = `
		SELECT webhook_key_id, body, signature FROM refused_requests
		WHERE delivery_id = $1 AND workspace_id = $2`
	var row struct {
		KeyID     uuid.UUID `db:"webhook_key_id"`
		Body      []byte    `db:"body"`
		Signature []byte    `db:"signature"`
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, query, deliveryID, workspaceID)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Kept{}, false, nil
	}
	if err != nil {
		return Kept{}, false, fmt.Errorf("read a refused request: %w", err)
	}
	body, err := s.box.Open(row.Body, refusedPlace(workspaceID, row.KeyID, deliveryID, "body")...)
	if err != nil {
		return Kept{}, false, fmt.Errorf("open a refused body: %w", err)
	}
	signature, err := s.box.Open(row.Signature, refusedPlace(workspaceID, row.KeyID, deliveryID, "signature")...)
	if err != nil {
		return Kept{}, false, fmt.Errorf("open a refused signature: %w", err)
	}
	return Kept{body, string(signature)}, true, nil
}

// refusedPlace is what the sealed parts of a refused request are bound to.
func refusedPlace(workspaceID, keyID, deliveryID uuid.UUID, part string) []string {
	return []string{"keyhook/refused/v1", workspaceID.String(), keyID.String(), deliveryID.String(), part}
}

// hourOf returns the hour that counts of at go under.
func hourOf(at time.Time) time.Time { return at.UTC().Truncate(time.Hour) }
