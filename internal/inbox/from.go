package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// An Origin is what came with a key from one address, ever. These counts outlive
// the requests that they count.
type Origin struct {
	Address  string    `db:"address"`  // "other": those beyond the first 1,000
	Accepted int64     `db:"accepted"` // duplicates too
	Refused  int64     `db:"refused"`
	FirstAt  time.Time `db:"first_at"`
	LastAt   time.Time `db:"last_at"`
}

// A Caller is what came with a key from one address, of one user agent, with one
// generation of its credentials, as far as a range was looked at.
type Caller struct {
	Address    string    `db:"address"`
	UserAgent  string    `db:"user_agent"`
	Generation int       `db:"generation"` // 0: none proved it
	Accepted   int64     `db:"accepted"`
	Duplicate  int64     `db:"duplicate"`
	Refused    int64     `db:"refused"`
	FirstAt    time.Time `db:"first_at"`
	LastAt     time.Time `db:"last_at"`
}

// A From tells where requests with a key came from.
type From struct {
	Addresses []Origin  // the latest first, at most 200
	Callers   []Caller  // the latest first, at most 200
	Looked    int       // requests of the range that Callers rests on: the newest, at most [MaxLooked]
	Oldest    time.Time // of those; zero without any
}

// MaxLooked bounds what FromOf looks at, so that it is as quick for a key with
// millions of requests.
const (
	MaxLooked  = 20_000
	maxCallers = 200
)

// FromOf returns where requests with a key came from: addresses by the counts that
// are kept for good, callers by the newest requests since a moment.
func (s *Store) FromOf(ctx context.Context, workspaceID, keyID uuid.UUID, since time.Time) (from From, err error) {
	const addresses = `
		SELECT a.address, a.accepted, a.refused, a.first_at, a.last_at
		FROM key_addresses AS a JOIN webhook_keys AS k ON k.id = a.webhook_key_id
		WHERE a.webhook_key_id = $1 AND k.workspace_id = $2 ORDER BY a.last_at DESC, a.address LIMIT $3`
	const callers = `
		WITH newest AS MATERIALIZED (
			SELECT address, user_agent, coalesce(credential_generation, 0) AS generation, outcome, received_at FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3)
			ORDER BY id DESC LIMIT $4)
		SELECT address, user_agent, generation, count(*) FILTER (WHERE outcome = 'accepted') AS accepted,
			count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate, count(*) FILTER (WHERE outcome = 'refused') AS refused,
			min(received_at) AS first_at, max(received_at) AS last_at,
			(sum(count(*)) OVER ())::bigint AS looked, min(min(received_at)) OVER () AS oldest
		FROM newest GROUP BY address, user_agent, generation ORDER BY last_at DESC, address, user_agent, generation LIMIT $5`
	var rows []struct {
		Caller
		Looked int       `db:"looked"`
		Oldest time.Time `db:"oldest"`
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &from.Addresses, addresses, keyID, workspaceID, maxCallers); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &rows, callers, keyID, workspaceID, since, MaxLooked, maxCallers)
	})
	if err != nil {
		return From{}, fmt.Errorf("read where requests came from: %w", err)
	}
	for _, row := range rows {
		from.Callers, from.Looked, from.Oldest = append(from.Callers, row.Caller), row.Looked, row.Oldest
	}
	return from, nil
}
