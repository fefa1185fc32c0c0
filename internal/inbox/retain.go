package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// KeptFor is how long a delivery is kept, without its body once that is not kept
// any more. Counts stay for good.
const KeptFor = 90 * 24 * time.Hour

// The methods here need a Store on the maintenance pool: the other roles may make
// no tables and delete nothing. Several instances may call them at once; what one
// of them does, the others leave out.

// EnsureWeeks makes the weekly partitions of deliveries that the next four weeks
// need.
func (s *Store) EnsureWeeks(ctx context.Context) error {
	const query = `SELECT ensure_delivery_weeks(now() - interval '7 days', now() + interval '28 days')`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, query)
		return err
	})
	if err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	return nil
}

// forgetAtOnce bounds one delete, so that it never holds up anything for long.
const forgetAtOnce = 1000

// Forget deletes what is past its time, a little at a time, and then the weeks
// that nothing needs any more: what was kept of refused requests after 7 days,
// the quotas of past minutes, signals as the rules say, deliveries after [KeptFor].
func (s *Store) Forget(ctx context.Context, rules []Rule) error {
	const bodies = `
		DELETE FROM refused_requests WHERE delivery_id IN (
			SELECT delivery_id FROM refused_requests WHERE kept_at < now() - interval '7 days' LIMIT $1)`
	const quotas = `
		DELETE FROM refused_request_quotas WHERE (scope, minute) IN (
			SELECT scope, minute FROM refused_request_quotas WHERE minute < now() - interval '5 minutes' LIMIT $1)`
	const firsts = `
		DELETE FROM first_bodies WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM first_bodies WHERE delivery_id < uuid_floor(now() - make_interval(secs => $2)) LIMIT $1))`
	for _, rule := range rules {
		if err := s.forgetSignals(ctx, rule); err != nil {
			return err
		}
	}
	for _, task := range []struct {
		query string
		args  []any
	}{{bodies, nil}, {quotas, nil}, {firsts, []any{KeptFor.Seconds()}}, {foldCounts, nil}, {foldAddresses, nil}} {
		if err := s.forget(ctx, task.query, task.args...); err != nil {
			return err
		}
	}
	return s.dropWeeks(ctx)
}

// What writers that may have ended long ago have counted apart is added up under
// the writer 0, so that restarts don't make rows for ever.
const foldCounts = `
	WITH gone AS (DELETE FROM delivery_counts WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM delivery_counts WHERE writer <> 0 AND hour < now() - interval '3 hours' LIMIT $1)) RETURNING *)
	INSERT INTO delivery_counts AS c (webhook_key_id, hour, writer, credential_generation, outcome, reason, workspace_id, requests, not_kept,
		bodies_not_kept, last_at, took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more)
	SELECT webhook_key_id, hour, 0, credential_generation, outcome, reason, workspace_id, sum(requests), sum(not_kept),
		sum(bodies_not_kept), max(last_at), sum(took_1), sum(took_2), sum(took_4), sum(took_8), sum(took_16), sum(took_32), sum(took_64),
		sum(took_128), sum(took_256), sum(took_512), sum(took_1024), sum(took_more)
	FROM gone GROUP BY webhook_key_id, hour, credential_generation, outcome, reason, workspace_id
	ON CONFLICT (webhook_key_id, hour, writer, credential_generation, outcome, reason) DO UPDATE SET
		requests = c.requests + excluded.requests, not_kept = c.not_kept + excluded.not_kept,
		bodies_not_kept = c.bodies_not_kept + excluded.bodies_not_kept, last_at = greatest(c.last_at, excluded.last_at),
		took_1 = c.took_1 + excluded.took_1, took_2 = c.took_2 + excluded.took_2, took_4 = c.took_4 + excluded.took_4,
		took_8 = c.took_8 + excluded.took_8, took_16 = c.took_16 + excluded.took_16, took_32 = c.took_32 + excluded.took_32,
		took_64 = c.took_64 + excluded.took_64, took_128 = c.took_128 + excluded.took_128, took_256 = c.took_256 + excluded.took_256,
		took_512 = c.took_512 + excluded.took_512, took_1024 = c.took_1024 + excluded.took_1024, took_more = c.took_more + excluded.took_more`

const foldAddresses = `
	WITH gone AS (DELETE FROM key_addresses WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM key_addresses WHERE writer <> 0 AND last_at < now() - interval '3 hours' LIMIT $1)) RETURNING *)
	INSERT INTO key_addresses AS a (webhook_key_id, address, writer, accepted, refused, first_at, last_at)
	SELECT webhook_key_id, address, 0, sum(accepted), sum(refused), min(first_at), max(last_at) FROM gone GROUP BY webhook_key_id, address
	ON CONFLICT (webhook_key_id, address, writer) DO UPDATE SET accepted = a.accepted + excluded.accepted, refused = a.refused + excluded.refused,
		first_at = least(a.first_at, excluded.first_at), last_at = greatest(a.last_at, excluded.last_at)`

// alone lets one instance at a time go on with the upkeep.
const alone = `SELECT pg_try_advisory_xact_lock(hashtextextended('keyhook upkeep ' || current_schema(), 0))`

func (s *Store) forget(ctx context.Context, query string, args ...any) error {
	for gone := int64(forgetAtOnce); gone == forgetAtOnce; {
		err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
			var mine bool
			if err := tx.GetContext(ctx, &mine, alone); err != nil || !mine {
				gone = 0
				return err
			}
			result, err := tx.ExecContext(ctx, query, append([]any{forgetAtOnce}, args...)...)
			if err == nil {
				gone, err = result.RowsAffected()
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("forget what is past its time: %w", err)
		}
	}
	return nil
}

// dropWeeks drops the partitions whose last day is past its time and whose
// signals are gone. Nobody waits for it, and it waits for whoever still reads.
func (s *Store) dropWeeks(ctx context.Context) error {
	const query = `
		SELECT w.name FROM (
			SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS monday
			FROM pg_class AS c WHERE c.relname ~ '^deliveries_[0-9]{8}$' AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace) AS w
		WHERE w.monday + interval '7 days' < now() - make_interval(secs => $1)
			AND NOT EXISTS (SELECT FROM signals AS s WHERE s.id >= uuid_floor(w.monday) AND s.id < uuid_floor(w.monday + interval '7 days'))
		ORDER BY w.name`
	return s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var mine bool
		if err := tx.GetContext(ctx, &mine, alone); err != nil || !mine {
			return err
		}
		var weeks []string
		if err := tx.SelectContext(ctx, &weeks, query, KeptFor.Seconds()); err != nil {
			return fmt.Errorf("look for past weeks: %w", err)
		}
		for _, week := range weeks {
			if err := s.db.DetachPartition(ctx, "deliveries", week); err != nil { // on a connection of its own
				return err
			}
		}
		return nil
	})
}
