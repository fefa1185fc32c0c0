package keyring

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
)

// An Allowance is what a key's own limit leaves.
type Allowance struct {
	Daily     bool // the daily quota's, not the rate's
	Limit     int
	Remaining int
	Reset     time.Duration // until the window ends
}

// Spend takes one request from a key's own limits, if it has any, as part of
// tx; ok tells whether there was one left. What is refused takes nothing. The
// windows are fixed, begin by the database's clock and are kept in the database,
// so that instances share them exactly. The allowance returned is the one that
// leaves least; its Limit is 0 for a key without limits.
//
// A key that changed meanwhile spends nothing, because its limits are others now:
// whoever stores the request finds that out, and asks again.
func Spend(ctx context.Context, tx *sqlx.Tx, key Key) (left Allowance, ok bool, err error) {
	var taken []string
	for _, w := range windows(key) {
		a, granted, err := w.spend(ctx, tx, key)
		if err != nil {
			return Allowance{}, false, fmt.Errorf("spend the key's limit of a %s: %w", w.span, err)
		}
		if !granted {
			return a, false, giveBack(ctx, tx, key, taken)
		}
		if taken = append(taken, w.span); left.Limit == 0 || a.Remaining < left.Remaining {
			left = a
		}
	}
	return left, true, nil
}

// A window is a limit and the time that it is for.
type window struct {
	span    string // as it is stored
	limit   int
	seconds int
}

const perDay = 24 * 60 * 60

// windows are a key's limits. The day comes first: a sender that has used it up is
// told to come back tomorrow, and not in a minute.
func windows(key Key) (all []window) {
	if key.DailyQuota != nil {
		all = append(all, window{"day", *key.DailyQuota, perDay})
	}
	if key.RateLimit != nil {
		all = append(all, window{"rate", *key.RateLimit, key.RateSeconds})
	}
	return all
}

// spend counts one request in the current window, unless that is full. The row's
// lock makes spenders take turns; a window that is over begins anew.
func (w window) spend(ctx context.Context, tx *sqlx.Tx, key Key) (a Allowance, granted bool, err error) {
	const spend = `
		WITH present AS (
			SELECT to_timestamp(floor(extract(epoch FROM statement_timestamp()) / $3::integer) * $3::integer) AS began
			FROM webhook_keys WHERE id = $1 AND version = $4
		), spent AS (
			INSERT INTO key_allowances AS a (webhook_key_id, span, started_at, used) SELECT $1, $2, began, 1 FROM present
			ON CONFLICT (webhook_key_id, span) DO UPDATE SET
				used = CASE WHEN a.started_at >= excluded.started_at THEN a.used + 1 ELSE 1 END,
				started_at = greatest(a.started_at, excluded.started_at)
			WHERE a.started_at < excluded.started_at OR a.used < $5
			RETURNING used
		)
		SELECT spent.used, extract(epoch FROM began + make_interval(secs => $3::integer) - statement_timestamp())
		FROM present LEFT JOIN spent ON true`
	var used *int
	var reset float64
	err = tx.QueryRowxContext(ctx, spend, key.ID, w.span, w.seconds, key.Version, w.limit).Scan(&used, &reset)
	if errors.Is(err, sql.ErrNoRows) {
		return Allowance{}, true, nil // the key changed
	}
	if err != nil {
		return Allowance{}, false, err
	}
	a = Allowance{Daily: w.span == "day", Limit: w.limit, Reset: time.Duration(max(0, reset) * float64(time.Second))}
	if used == nil {
		return a, false, nil
	}
	a.Remaining = max(0, w.limit-*used)
	return a, true, nil
}

// giveBack undoes what was taken from some windows before another was full.
func giveBack(ctx context.Context, tx *sqlx.Tx, key Key, spans []string) error {
	const undo = `UPDATE key_allowances SET used = used - 1 WHERE webhook_key_id = $1 AND span = $2`
	for _, span := range spans {
		if _, err := tx.ExecContext(ctx, undo, key.ID, span); err != nil {
			return fmt.Errorf("give back to the key's limit of a %s: %w", span, err)
		}
	}
	return nil
}

func sorted(activities []Activity) []Activity {
	activities = slices.Clone(activities)
	slices.SortFunc(activities, func(a, b Activity) int { return bytes.Compare(a.KeyID[:], b.KeyID[:]) })
	return activities
}
