package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// A Going is how many of something a rule takes at its next run.
type Going struct {
	Count  int        `db:"count"`  // at most [MaxCounted]
	Oldest *time.Time `db:"oldest"` // when the first of them was received; nil: there is none
}

// A Forecast is what a rule takes at its next run.
type Forecast struct {
	Signals, Unread      Going // Unread are those of the signals that a reader has not read
	Deliveries, Payloads Going
}

// Any reports whether something goes.
func (f Forecast) Any() bool { return f.Signals.Count+f.Deliveries.Count+f.Payloads.Count > 0 }

// Foretell returns what a rule would take if it held at a moment.
func (s *Store) Foretell(ctx context.Context, now time.Time, rule Rule) (f Forecast, err error) {
	const signal = `SELECT received_at FROM signals WHERE id = $1`
	// A signal's delivery stays with it, unless that goes as well.
	const log = `
		SELECT count(*) AS count, min(received_at) AS oldest FROM (
			SELECT d.received_at FROM deliveries AS d
			WHERE d.workspace_id = $1 AND d.id < $2 AND NOT EXISTS (SELECT FROM signals AS s WHERE s.id = d.id)`
	const payload = ` AND d.id > coalesce((SELECT payloads_until FROM signal_floors WHERE workspace_id = $1), '00000000-0000-0000-0000-000000000000')
				AND (d.body IS NOT NULL OR d.headers <> '{}')`
	const end = ` ORDER BY d.id LIMIT $3) AS going`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		going, err := readFront(ctx, tx, now, rule, MaxCounted)
		if err != nil {
			return err
		}
		for _, d := range going {
			count := []*Going{&f.Signals}
			if d.Unread {
				count = append(count, &f.Unread)
			}
			for _, g := range count {
				if g.Count++; g.Oldest == nil {
					var at time.Time
					if err := tx.GetContext(ctx, &at, signal, d.ID); err != nil {
						return err
					}
					g.Oldest = &at
				}
			}
		}
		if err := tx.GetContext(ctx, &f.Deliveries, log+end, rule.Workspace, floorOf(weekOf(now.Add(-rule.Log))), MaxCounted); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &f.Payloads, log+payload+end, rule.Workspace, floorOf(now.Add(-rule.Payloads)), MaxCounted); err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return Forecast{}, fmt.Errorf("foretell what goes: %w", err)
	}
	return f, nil
}

// LastRun returns when what is past its time last began to go; zero: never yet.
func (s *Store) LastRun(ctx context.Context) (at time.Time, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &at, `SELECT began_at FROM retention_runs`) })
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look when upkeep began: %w", err)
	}
	return at, nil
}
