package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// KeptFor is how long a delivery is kept whose workspace could not be told. Counts
// stay for good.
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

// Forget deletes what is past its time at a moment, a little at a time: signals and
// deliveries as the rules say, what was kept of refused requests after 7 days, the
// quotas of past minutes, untrusted proxies after 8 days. The weeks that nothing
// needs any more go as a whole, before anything is taken out of the others.
func (s *Store) Forget(ctx context.Context, now time.Time, rules []Rule) error {
	now = now.Truncate(time.Millisecond) // as ids have it
	if err := s.noteRun(ctx, now); err != nil {
		return err
	}
	for _, rule := range rules {
		if err := s.follow(ctx, now, rule, forgetFront); err != nil {
			return err
		}
	}
	if err := s.dropWeeks(ctx, now, rules); err != nil {
		return err
	}
	for _, rule := range rules {
		if err := s.follow(ctx, now, rule, limitRead, limitEarlier, forgetRefused, forgetRows, forgetPayloads); err != nil {
			return err
		}
	}
	return s.forgetRest(ctx, now, rules)
}

// noteRun tells people when the work began.
func (s *Store) noteRun(ctx context.Context, now time.Time) error {
	const note = `
		INSERT INTO retention_runs AS r (began_at) VALUES ($1) ON CONFLICT (only_one) DO UPDATE SET began_at = greatest(r.began_at, excluded.began_at)`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, note, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("note when upkeep began: %w", err)
	}
	return nil
}

// forgetRefused deletes what was kept of refused requests whose key or workspace
// keeps it no longer.
func forgetRefused(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule) (more bool, err error) {
	const remove = `
		DELETE FROM refused_requests WHERE delivery_id = ANY (ARRAY(
			SELECT r.delivery_id FROM refused_requests AS r LEFT JOIN webhook_keys AS k ON k.id = r.webhook_key_id
			WHERE r.workspace_id = $1 AND (r.kept_at < $2 OR k.log <> 'full') LIMIT $3))`
	result, err := tx.ExecContext(ctx, remove, rule.Workspace, now.Add(-rule.Payloads), forgetAtOnce)
	if err != nil {
		return false, err
	}
	gone, err := result.RowsAffected()
	return gone == forgetAtOnce, err
}

// forgetRest is what no workspace has a rule for.
func (s *Store) forgetRest(ctx context.Context, now time.Time, rules []Rule) error {
	const bodies = `
		DELETE FROM refused_requests WHERE delivery_id IN (
			SELECT delivery_id FROM refused_requests WHERE kept_at < $2::timestamptz - interval '7 days' LIMIT $1)`
	const quotas = `
		DELETE FROM refused_request_quotas WHERE (scope, minute) IN (
			SELECT scope, minute FROM refused_request_quotas WHERE minute < $2::timestamptz - interval '5 minutes' LIMIT $1)`
	const firsts = `
		DELETE FROM first_bodies WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM first_bodies WHERE delivery_id < uuid_floor($2) LIMIT $1))`
	const forwards = `
		DELETE FROM untrusted_forwards WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM untrusted_forwards WHERE hour < $2::timestamptz - interval '8 days' LIMIT $1))`
	for _, task := range []struct {
		query string
		at    time.Time
	}{{bodies, now}, {quotas, now}, {firsts, now.Add(-longest(rules))}, {forwards, now}} {
		err := s.repeat(ctx, func(tx *sqlx.Tx) (bool, error) {
			result, err := tx.ExecContext(ctx, task.query, forgetAtOnce, task.at)
			if err != nil {
				return false, err
			}
			gone, err := result.RowsAffected()
			return gone == forgetAtOnce, err
		})
		if err != nil {
			return err
		}
	}
	return s.forgetStrays(ctx, now)
}

// forgetStrays deletes the deliveries of past weeks that no workspace has: of
// requests that named none, in weeks that another workspace still needs.
func (s *Store) forgetStrays(ctx context.Context, now time.Time) error {
	const remove = `SELECT d.id FROM deliveries AS d WHERE d.workspace_id IS NULL AND d.id < $1 ORDER BY d.id LIMIT $2`
	return s.repeat(ctx, func(tx *sqlx.Tx) (bool, error) {
		var cut cuts
		if err := tx.SelectContext(ctx, &cut.rows, remove, floorOf(weekOf(now.Add(-KeptFor))), forgetAtOnce); err != nil {
			return false, err
		}
		return len(cut.rows) == forgetAtOnce, cut.apply(ctx, tx)
	})
}

// longest is for how long some row may be needed whoever it is of.
func longest(rules []Rule) time.Duration {
	most := KeptFor
	for _, rule := range rules {
		most = max(most, rule.Log)
	}
	return most
}

// alone lets one instance at a time go on with the upkeep.
const alone = `SELECT pg_try_advisory_xact_lock(hashtextextended('keyhook upkeep ' || current_schema(), 0))`

// dropWeeks drops the partitions whose last day is past every workspace's time, and
// whose signals are gone: their disk space is given back at once. Nobody waits for
// it, and it waits for whoever still reads.
func (s *Store) dropWeeks(ctx context.Context, now time.Time, rules []Rule) error {
	const query = `
		SELECT w.name FROM (
			SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS monday
			FROM pg_class AS c WHERE c.relname ~ '^deliveries_[0-9]{8}$' AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace) AS w
		WHERE w.monday + interval '7 days' <= $1
			AND NOT EXISTS (SELECT FROM signals AS s WHERE s.id >= uuid_floor(w.monday) AND s.id < uuid_floor(w.monday + interval '7 days'))
		ORDER BY w.name`
	return s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var mine bool
		if err := tx.GetContext(ctx, &mine, alone); err != nil || !mine {
			return err
		}
		var weeks []string
		if err := tx.SelectContext(ctx, &weeks, query, weekOf(now.Add(-longest(rules)))); err != nil {
			return fmt.Errorf("look for past weeks: %w", err)
		}
		for _, week := range weeks {
			err := s.db.DetachPartition(ctx, "deliveries", week, func(tx *sqlx.Tx) error { return countWeek(ctx, tx, week) }) // on a connection of its own
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// countWeek says in the counts that a week's rows are not kept, in the transaction
// that drops it.
func countWeek(ctx context.Context, tx *sqlx.Tx, week string) error {
	_, err := tx.ExecContext(ctx, `
		WITH gone AS MATERIALIZED (
			SELECT workspace_id, webhook_key_id, date_trunc('hour', received_at, 'UTC') AS hour, coalesce(credential_generation, 0) AS generation, outcome, reason
			FROM `+pq.QuoteIdentifier(week)+`
		), `+countGone)
	if err != nil {
		return fmt.Errorf("count the rows of %s: %w", week, err)
	}
	return nil
}
