package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

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

// FirstOf returns what tells whether a new key works: its first accepted
// delivery, else its latest refused one. found is false if there is neither.
func (s *Store) FirstOf(ctx context.Context, workspaceID, keyID uuid.UUID) (first Delivery, found bool, err error) {
	const accepted = `
		SELECT ` + columns + ` FROM deliveries
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND outcome = 'accepted'
		ORDER BY id LIMIT 1`
	const refused = `
		SELECT ` + columns + ` FROM deliveries
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND outcome = 'refused'
		ORDER BY id DESC LIMIT 1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &first, accepted, keyID, workspaceID)
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

const hourSums = `
	hour,
	coalesce(sum(requests) FILTER (WHERE outcome = 'accepted'), 0)::bigint AS accepted,
	coalesce(sum(requests) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
	coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)::bigint AS refused`

// Hourly returns the counts of every key of a workspace from the hour of since
// on, oldest first. Hours without a request are left out.
func (s *Store) Hourly(ctx context.Context, workspaceID uuid.UUID, since time.Time) (map[uuid.UUID][]HourCount, error) {
	const query = `
		SELECT webhook_key_id, ` + hourSums + ` FROM delivery_totals
		WHERE workspace_id = $1 AND hour >= $2
		GROUP BY webhook_key_id, hour ORDER BY webhook_key_id, hour`
	var rows []struct {
		KeyID uuid.UUID `db:"webhook_key_id"`
		HourCount
	}
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, query, workspaceID, hourOf(since))
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

// maxSenders bounds the answer of SendersOf, maxSenderRows what it looks at.
const (
	maxSenders    = 100
	maxSenderRows = 20_000
)

// SendersOf returns who sent accepted or duplicate requests with a key since a
// moment, the latest first. It looks at the newest 20,000 requests at most.
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
		return tx.SelectContext(ctx, &senders, query, keyID, workspaceID, since, maxSenderRows, maxSenders)
	})
	if err != nil {
		return nil, fmt.Errorf("read a key's senders: %w", err)
	}
	return senders, nil
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
