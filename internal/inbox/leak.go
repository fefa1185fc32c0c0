package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// A Leaked says which requests of a key came with credentials that were reported
// as leaked.
type Leaked struct {
	Since time.Time // when the oldest of them was made
	At    time.Time // when they were reported
	Last  int       // the highest generation of requests with them
}

// A LeakUse is what came in with a key while leaked credentials still worked.
type LeakUse struct {
	Accepted, Duplicate, Refused int64     // all of it, from the hour of Leaked.Since on
	Uses                         []Use     // by sender, of the rows from From on, the latest first
	MoreUses                     bool      // than are listed
	From                         time.Time // how far back the rows go that were looked at
	Addresses                    []Address // of the key's whole life, those that came last first
	MoreAddresses                bool
}

// A Use is what one sender sent with one kind of credential.
type Use struct {
	Sender
	Method     Method `db:"method"` // ByAPIKey for all ways of an API key
	Generation int    `db:"generation"`
	Accepted   int64  `db:"accepted"`
	Duplicate  int64  `db:"duplicate"`
	Refused    int64  `db:"refused"`
}

// An Address is what a key received from one. Those behind the thousandth are
// counted together as "other".
type Address struct {
	Address  string    `db:"address"`
	Accepted int64     `db:"accepted"` // duplicates too
	Refused  int64     `db:"refused"`
	FirstAt  time.Time `db:"first_at"`
	LastAt   time.Time `db:"last_at"`
}

const (
	maxUses      = 100
	maxAddressed = 100
)

// stoppedReasons are those of requests whose credential did not count any more.
const stoppedReasons = `('credential_ended', 'credential_expired', 'credential_leaked', 'secret_erased')`

// LeakUseOf returns what came in with leaked credentials before they were reported.
// Senders are told by the newest 20,000 rows of that time, so that it is as quick
// with millions.
func (s *Store) LeakUseOf(ctx context.Context, workspaceID, keyID uuid.UUID, leak Leaked) (use LeakUse, err error) {
	const totals = `
		SELECT coalesce(sum(requests) FILTER (WHERE outcome = 'accepted'), 0), coalesce(sum(requests) FILTER (WHERE outcome = 'duplicate'), 0),
			coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)
		FROM delivery_totals
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND hour >= $3 AND hour <= $4 AND credential_generation BETWEEN 1 AND $5
			AND reason NOT IN ` + stoppedReasons
	const addresses = `
		SELECT address, accepted, refused, first_at, last_at FROM key_addresses
		WHERE webhook_key_id = $1 ORDER BY first_at DESC, address LIMIT $2`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		err := tx.QueryRowxContext(ctx, totals, keyID, workspaceID, hourOf(leak.Since), hourOf(leak.At.Add(startedBefore)), leak.Last).
			Scan(&use.Accepted, &use.Duplicate, &use.Refused)
		if err != nil {
			return err
		}
		if err := use.readSenders(ctx, tx, workspaceID, keyID, leak); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &use.Addresses, addresses, keyID, maxAddressed+1); err != nil {
			return err
		}
		use.MoreAddresses = len(use.Addresses) > maxAddressed
		use.Addresses = use.Addresses[:min(maxAddressed, len(use.Addresses))]
		return nil
	})
	if err != nil {
		return LeakUse{}, fmt.Errorf("read what came with leaked credentials: %w", err)
	}
	return use, nil
}

// startedBefore is how long after a report a request may be written that began
// before it, with room for clocks that differ.
const startedBefore = time.Minute

// readSenders tells the senders by the rows that are kept.
func (u *LeakUse) readSenders(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID, leak Leaked) error {
	const query = `
		WITH newest AS MATERIALIZED (
			SELECT address, user_agent, received_at, outcome, reason, coalesce(credential_generation, 0) AS generation,
				CASE WHEN auth_method IN ('api_key', 'bearer', 'url') THEN 'api_key' ELSE auth_method END AS method
			FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3) AND id < uuid_floor($4)
			ORDER BY id DESC LIMIT $5
		)
		SELECT address, user_agent, method, generation, count(*) AS requests, min(received_at) AS first_at, max(received_at) AS last_at,
			count(*) FILTER (WHERE outcome = 'accepted') AS accepted, count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate,
			count(*) FILTER (WHERE outcome = 'refused') AS refused, looked_at, oldest_at
		FROM newest CROSS JOIN (SELECT count(*) AS looked_at, min(received_at) AS oldest_at FROM newest) AS looked
		WHERE generation BETWEEN 1 AND $6 AND reason NOT IN ` + stoppedReasons + `
		GROUP BY address, user_agent, method, generation, looked_at, oldest_at ORDER BY last_at DESC LIMIT $7`
	var rows []struct {
		Use
		LookedAt int       `db:"looked_at"`
		OldestAt time.Time `db:"oldest_at"`
	}
	err := tx.SelectContext(ctx, &rows, query, keyID, workspaceID, leak.Since, leak.At.Add(startedBefore), maxSenderRows, leak.Last, maxUses+1)
	if err != nil {
		return err
	}
	u.From = leak.Since
	if kept, err := keptSince(ctx, tx, workspaceID, leak.At); err != nil {
		return err
	} else if kept.After(u.From) {
		u.From = kept
	}
	if len(rows) > 0 && rows[0].LookedAt == maxSenderRows && rows[0].OldestAt.After(u.From) {
		u.From = rows[0].OldestAt
	}
	u.MoreUses = len(rows) > maxUses
	for _, row := range rows[:min(maxUses, len(rows))] {
		u.Uses = append(u.Uses, row.Use)
	}
	return nil
}

// keptSince is since when a workspace has all its deliveries at a moment.
func keptSince(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, at time.Time) (since time.Time, err error) {
	const query = `SELECT $2::timestamptz - make_interval(days => keep_deliveries_days) FROM workspaces WHERE id = $1`
	err = tx.GetContext(ctx, &since, query, workspace, at)
	return since, err
}

// Attempts are the requests that came with leaked credentials, or with a signature
// that can't be checked, after they were reported.
type Attempts struct {
	Leaked    int64 // with an API key, or a secret that was sent as it is
	Unchecked int64 // with a signature, while the key had no secret
	LastAt    *time.Time
	Senders   []Sender // of the newest 20,000 requests, the latest first
}

// AttemptsOf returns who tried leaked credentials since the latest report.
func (s *Store) AttemptsOf(ctx context.Context, workspaceID, keyID uuid.UUID, leak Leaked) (a Attempts, err error) {
	const totals = `
		SELECT coalesce(sum(requests) FILTER (WHERE reason = 'credential_leaked'), 0),
			coalesce(sum(requests) FILTER (WHERE reason = 'secret_erased'), 0), max(last_at)
		FROM delivery_totals
		WHERE webhook_key_id = $1 AND workspace_id = $2 AND hour >= $3 AND reason IN ('credential_leaked', 'secret_erased')`
	const senders = `
		SELECT address, user_agent, count(*) AS requests, min(received_at) AS first_at, max(received_at) AS last_at
		FROM (
			SELECT address, user_agent, received_at, reason FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3)
			ORDER BY id DESC LIMIT $4
		) AS newest
		WHERE reason IN ('credential_leaked', 'secret_erased')
		GROUP BY address, user_agent ORDER BY last_at DESC LIMIT $5`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		err := tx.QueryRowxContext(ctx, totals, keyID, workspaceID, hourOf(leak.At)).Scan(&a.Leaked, &a.Unchecked, &a.LastAt)
		if err != nil || a.LastAt == nil {
			return err
		}
		return tx.SelectContext(ctx, &a.Senders, senders, keyID, workspaceID, leak.At, maxSenderRows, maxSenders)
	})
	if err != nil {
		return Attempts{}, fmt.Errorf("read who tried leaked credentials: %w", err)
	}
	return a, nil
}
