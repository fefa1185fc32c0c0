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
// the quotas of past minutes, untrusted proxies after 8 days, signals as the rules
// say, deliveries after [KeptFor].
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
	const forwards = `
		DELETE FROM untrusted_forwards WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM untrusted_forwards WHERE hour < now() - interval '8 days' LIMIT $1))`
	for _, rule := range rules {
		if err := s.forgetSignals(ctx, rule); err != nil {
			return err
		}
	}
	for _, task := range []struct {
		query string
		args  []any
	}{{bodies, nil}, {quotas, nil}, {firsts, []any{KeptFor.Seconds()}}, {forwards, nil}} {
		if err := s.forget(ctx, task.query, task.args...); err != nil {
			return err
		}
	}
	return s.dropWeeks(ctx)
}

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
