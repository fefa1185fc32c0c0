package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// MaxProxies is how many untrusted proxies of a workspace are told apart in an
// hour; the rest are [OtherProxies].
const MaxProxies = 20

// OtherProxies stands for the proxies that are not told apart.
const OtherProxies = "other"

// A Forward is a peer that is no trusted proxy and forwarded addresses all the
// same, with how often.
type Forward struct {
	Proxy    string    `db:"proxy"`
	Requests int64     `db:"requests"`
	LastAt   time.Time `db:"last_at"`
}

// NoteForwards adds what came from untrusted proxies within the hour of its last
// request. A workspace that is gone, or going, has nothing noted.
func NoteForwards(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, forwards []Forward) error {
	const shared = `SELECT pg_try_advisory_xact_lock_shared(workspace_lock($1))`
	const there = `SELECT EXISTS (SELECT FROM workspaces WHERE id = $1)`
	const add = `
		WITH came AS (
			SELECT date_trunc('hour', last_at, 'UTC') AS hour, proxy, requests, last_at FROM unnest($2::text[], $3::bigint[], $4::timestamptz[]) AS f (proxy, requests, last_at)
		), told AS (
			SELECT c.hour, c.requests, c.last_at, CASE
				WHEN EXISTS (SELECT FROM untrusted_forwards AS u WHERE u.workspace_id = $1 AND u.hour = c.hour AND u.proxy = c.proxy) THEN c.proxy
				WHEN known.n + row_number() OVER (PARTITION BY c.hour ORDER BY c.proxy) > $5 THEN $6 ELSE c.proxy END AS proxy
			FROM came AS c CROSS JOIN LATERAL (SELECT count(*) AS n FROM untrusted_forwards AS u WHERE u.workspace_id = $1 AND u.hour = c.hour AND u.proxy <> $6) AS known
		)
		INSERT INTO untrusted_forwards AS u (workspace_id, hour, proxy, requests, last_at)
			SELECT $1, hour, proxy, sum(requests), max(last_at) FROM told GROUP BY hour, proxy ORDER BY hour, proxy
			ON CONFLICT (workspace_id, hour, proxy) DO UPDATE SET requests = u.requests + excluded.requests, last_at = greatest(u.last_at, excluded.last_at)`
	var free, exists bool
	if err := tx.GetContext(ctx, &free, shared, workspace); err != nil || !free {
		return err
	}
	if err := tx.GetContext(ctx, &exists, there, workspace); err != nil || !exists {
		return err
	}
	var proxies []string
	var requests []int64
	var times []time.Time
	for _, f := range forwards {
		proxies, requests, times = append(proxies, f.Proxy), append(requests, f.Requests), append(times, f.LastAt)
	}
	_, err := tx.ExecContext(ctx, add, workspace, pq.Array(proxies), pq.Array(requests), pq.Array(times), MaxProxies, OtherProxies)
	if err != nil {
		return fmt.Errorf("note untrusted proxies: %w", err)
	}
	return nil
}

// UntrustedForwards returns the untrusted proxies of the last 24 hours, the latest
// first.
func (s *Store) UntrustedForwards(ctx context.Context, workspace uuid.UUID, now time.Time) (forwards []Forward, err error) {
	const query = `
		SELECT proxy, sum(requests) AS requests, max(last_at) AS last_at FROM untrusted_forwards
		WHERE workspace_id = $1 AND hour >= $2 GROUP BY proxy ORDER BY last_at DESC, proxy`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &forwards, query, workspace, dayBefore(now))
	})
	if err != nil {
		return nil, fmt.Errorf("read the untrusted proxies: %w", err)
	}
	return forwards, nil
}
