package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A Past is all that is known of the use of one key. What is not about Proofs rests
// on counts that outlive the requests.
type Past struct {
	FirstDay  *time.Time // the day of the first accepted or duplicate request, its midnight in UTC; nil: there was none
	LastDay   *time.Time
	Months    []Month  // the earliest first; those without a request are left out
	Addresses []Origin // the earliest first, "other" among them
	Proofs    []Proof  // the most frequent first
	Looked    int      // requests that Proofs rests on: the newest that are kept, at most [MaxLooked]
	Oldest    time.Time
}

// A Month is what came in with a key in a month.
type Month struct {
	At                           time.Time // its beginning, UTC
	Accepted, Duplicate, Refused int64
	Reasons                      map[Reason]int64 // of the refused ones
}

// A Proof is how requests proved what they were: by which scheme, and how.
type Proof struct {
	Scheme   string    `db:"scheme"`
	Method   Method    `db:"method"`
	Requests int64     `db:"requests"`
	FirstAt  time.Time `db:"first_at"`
	LastAt   time.Time `db:"last_at"`
}

// PastOf returns what is known of the use of a key.
func (s *Store) PastOf(ctx context.Context, workspaceID, keyID uuid.UUID) (past Past, err error) {
	const addresses = `
		SELECT a.address, a.accepted, a.refused, a.first_at, a.last_at
		FROM key_addresses AS a JOIN webhook_keys AS k ON k.id = a.webhook_key_id
		WHERE a.webhook_key_id = $1 AND k.workspace_id = $2 ORDER BY a.first_at, a.address`
	const proofs = `
		WITH newest AS MATERIALIZED (
			SELECT scheme, auth_method, received_at FROM deliveries WHERE webhook_key_id = $1 AND workspace_id = $2 ORDER BY id DESC LIMIT $3)
		SELECT scheme, auth_method AS method, count(*) AS requests, min(received_at) AS first_at, max(received_at) AS last_at
		FROM newest GROUP BY scheme, auth_method ORDER BY requests DESC, scheme, method`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := past.readMonths(ctx, tx, workspaceID, keyID); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &past.Addresses, addresses, keyID, workspaceID); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &past.Proofs, proofs, keyID, workspaceID, MaxLooked)
	})
	if err != nil {
		return Past{}, fmt.Errorf("read the past of a key: %w", err)
	}
	for _, proof := range past.Proofs {
		past.Looked += int(proof.Requests)
		if past.Oldest.IsZero() || proof.FirstAt.Before(past.Oldest) {
			past.Oldest = proof.FirstAt
		}
	}
	return past, nil
}

func (p *Past) readMonths(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID) error {
	const query = `
		SELECT date_trunc('month', at, 'UTC') AS month, outcome, reason, sum(requests)::bigint AS requests, min(at) AS first_day, max(at) AS last_day
		FROM usage_by_day WHERE webhook_key_id = $1 AND workspace_id = $2 AND requests > 0
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`
	var rows []struct {
		Month    time.Time `db:"month"`
		Outcome  Outcome   `db:"outcome"`
		Reason   Reason    `db:"reason"`
		Requests int64     `db:"requests"`
		FirstDay time.Time `db:"first_day"`
		LastDay  time.Time `db:"last_day"`
	}
	if err := tx.SelectContext(ctx, &rows, query, keyID, workspaceID); err != nil {
		return err
	}
	for _, row := range rows {
		if n := len(p.Months); n == 0 || !p.Months[n-1].At.Equal(row.Month) {
			p.Months = append(p.Months, Month{At: row.Month.UTC(), Reasons: map[Reason]int64{}})
		}
		month := &p.Months[len(p.Months)-1]
		*row.Outcome.of(&month.Accepted, &month.Duplicate, &month.Refused) += row.Requests
		if row.Outcome == Refused {
			month.Reasons[row.Reason] += row.Requests
			continue
		}
		first, last := row.FirstDay.UTC(), row.LastDay.UTC()
		if p.FirstDay == nil || first.Before(*p.FirstDay) {
			p.FirstDay = &first
		}
		if p.LastDay == nil || last.After(*p.LastDay) {
			p.LastDay = &last
		}
	}
	return nil
}

// LastDays returns the day of the last accepted or duplicate request of some keys of
// a workspace before a moment, its midnight in UTC. Keys without any are left out.
func (s *Store) LastDays(ctx context.Context, workspaceID uuid.UUID, keys []uuid.UUID, before time.Time) (map[uuid.UUID]time.Time, error) {
	const query = `
		WITH fresh AS MATERIALIZED (
			SELECT webhook_key_id, date_trunc('day', max(hour), 'UTC') AS day FROM delivery_tallies
			WHERE workspace_id = $1 AND hour < $3 AND outcome <> 'refused' GROUP BY webhook_key_id)
		SELECT k.id, greatest(f.day, (SELECT d.day FROM delivery_days AS d WHERE d.webhook_key_id = k.id AND d.workspace_id = $1
			AND d.day < $3 AND d.outcome <> 'refused' AND d.requests > 0 ORDER BY d.day DESC LIMIT 1)) AS day
		FROM unnest($2::uuid[]) AS k (id) LEFT JOIN fresh AS f ON f.webhook_key_id = k.id`
	var rows []struct {
		ID  uuid.UUID  `db:"id"`
		Day *time.Time `db:"day"`
	}
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, query, workspaceID, pq.Array(keys), before)
	})
	if err != nil {
		return nil, fmt.Errorf("read when keys were last used: %w", err)
	}
	days := map[uuid.UUID]time.Time{}
	for _, row := range rows {
		if row.Day != nil {
			days[row.ID] = row.Day.UTC()
		}
	}
	return days, nil
}
