package inbox

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// EnsureWeeks makes the weekly partitions of deliveries that the next four weeks
// need. Its Store must be on the maintenance pool: the other roles may make no
// tables.
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

// Forget deletes what was kept of refused requests after 7 days, and the quotas
// of past minutes. Its Store must be on the maintenance pool.
func (s *Store) Forget(ctx context.Context) error {
	const bodies = `
		DELETE FROM refused_requests WHERE delivery_id IN (
			SELECT delivery_id FROM refused_requests WHERE kept_at < now() - interval '7 days' LIMIT $1)`
	const quotas = `
		DELETE FROM refused_request_quotas WHERE (scope, minute) IN (
			SELECT scope, minute FROM refused_request_quotas WHERE minute < now() - interval '5 minutes' LIMIT $1)`
	for _, query := range []string{bodies, quotas} {
		if err := s.forget(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forget(ctx context.Context, query string) error {
	for gone := int64(forgetAtOnce); gone == forgetAtOnce; {
		err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
			result, err := tx.ExecContext(ctx, query, forgetAtOnce)
			if err == nil {
				gone, err = result.RowsAffected()
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("forget refused requests: %w", err)
		}
	}
	return nil
}
