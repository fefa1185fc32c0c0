package demo

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// remembered is how far the counts reach back, in days: 13 months.
const remembered = 396

// count derives the hourly counts, those of addresses and the keys' last uses from
// the rows, and adds the counts of what came before them.
func (f *filler) count(ctx context.Context, tx *sqlx.Tx, senders []sender) error {
	const counts = `
		INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at,
			took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more)
		SELECT webhook_key_id, date_trunc('hour', received_at), credential_generation, outcome, reason, workspace_id, count(*), max(received_at),
			count(*) FILTER (WHERE bucket = 0), count(*) FILTER (WHERE bucket = 1), count(*) FILTER (WHERE bucket = 2),
			count(*) FILTER (WHERE bucket = 3), count(*) FILTER (WHERE bucket = 4), count(*) FILTER (WHERE bucket = 5),
			count(*) FILTER (WHERE bucket = 6), count(*) FILTER (WHERE bucket = 7), count(*) FILTER (WHERE bucket = 8),
			count(*) FILTER (WHERE bucket = 9), count(*) FILTER (WHERE bucket = 10), count(*) FILTER (WHERE bucket = 11)
		FROM (SELECT *, width_bucket(took_us - 1, ARRAY[1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 512000, 1024000]) AS bucket
			FROM deliveries WHERE workspace_id = $1 AND webhook_key_id IS NOT NULL) AS d
		GROUP BY 1, 2, 3, 4, 5, 6`
	const used = `
		UPDATE webhook_keys AS k SET last_used_at = c.used, last_refused_at = c.refused
		FROM (SELECT webhook_key_id, max(last_at) FILTER (WHERE outcome <> 'refused') AS used,
				max(last_at) FILTER (WHERE outcome = 'refused') AS refused
			FROM delivery_counts WHERE workspace_id = $1 GROUP BY 1) AS c
		WHERE c.webhook_key_id = k.id`
	const addresses = `
		INSERT INTO key_addresses (webhook_key_id, address, accepted, refused, first_at, last_at)
		SELECT webhook_key_id, address, count(*) FILTER (WHERE outcome <> 'refused'), count(*) FILTER (WHERE outcome = 'refused'), min(received_at), max(received_at)
		FROM deliveries WHERE workspace_id = $1 AND webhook_key_id IS NOT NULL GROUP BY 1, 2`
	for _, statement := range []string{counts, addresses} {
		if _, err := tx.ExecContext(ctx, statement, f.by.WorkspaceID); err != nil {
			return err
		}
	}
	if err := f.remember(ctx, tx, senders); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, used, f.by.WorkspaceID)
	return err
}

// remember adds counts whose rows are forgotten: of each day before the first row,
// back to the day after the key was made. Traffic grew by half in that time.
func (f *filler) remember(ctx context.Context, tx *sqlx.Tx, senders []sender) error {
	const insert = `
		INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at, took_2, took_4, took_8, took_32)
		SELECT key, hour, 1, outcome, reason, $1, n, hour + interval '59 minutes', n - n / 2 - n / 5 - n / 60, n / 2, n / 5, n / 60
		FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[]) AS r (key, hour, outcome, reason, n)`
	total := 0.0
	for _, s := range senders {
		total += s.weight
	}
	first := f.now.Truncate(24*time.Hour).AddDate(0, 0, -days-1) // the rows' first day is not whole
	var c pastCounts
	for _, s := range senders {
		daily := s.weight / total * deliveries / days
		for day := range remembered - days - 1 {
			noon := first.AddDate(0, 0, -day-1).Add(12 * time.Hour)
			if !noon.After(s.createdAt.AddDate(0, 0, 1)) || s.weight == 0 {
				break
			}
			f.rememberDay(&c, s, noon, daily*(1-float64(day)/remembered/2))
		}
	}
	_, err := tx.ExecContext(ctx, insert, f.by.WorkspaceID, pq.Array(c.keys), pq.Array(c.hours), pq.Array(c.outcomes), pq.Array(c.reasons), pq.Array(c.requests))
	return err
}

// rememberDay draws one day of s: less at weekends, and now and then a bad one.
func (f *filler) rememberDay(c *pastCounts, s sender, noon time.Time, daily float64) {
	if weekday := noon.Weekday(); s.office && (weekday == time.Saturday || weekday == time.Sunday) {
		daily /= 12
	}
	daily *= 0.75 + f.random.Float64()/2
	refused := daily * s.refused
	if f.random.IntN(45) == 0 {
		refused *= 12
	}
	c.add(s, noon, "accepted", "", int64(daily))
	c.add(s, noon, "duplicate", "", int64(daily*s.repeated+f.random.Float64()/2))
	c.add(s, noon, "refused", "signature_wrong", int64(refused/2+f.random.Float64()/8))
	c.add(s, noon, "refused", "invalid_json", int64(refused/4+f.random.Float64()/12))
}

// pastCounts are counts turned by a quarter, as unnest takes them.
type pastCounts struct {
	keys, hours, outcomes, reasons []string
	requests                       []int64
}

func (c *pastCounts) add(s sender, hour time.Time, outcome, reason string, n int64) {
	if n == 0 {
		return
	}
	c.keys, c.hours = append(c.keys, s.key.ID.String()), append(c.hours, hour.Format(time.RFC3339))
	c.outcomes, c.reasons, c.requests = append(c.outcomes, outcome), append(c.reasons, reason), append(c.requests, n)
}
