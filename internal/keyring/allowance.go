package keyring

import (
	"bytes"
	"context"
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
// tx; ok tells whether there was one left. The windows are fixed and kept in the
// database, so that instances share them exactly. The allowance returned is the
// one that leaves least; its Limit is 0 for a key without limits.
func Spend(ctx context.Context, tx *sqlx.Tx, key Key) (left Allowance, ok bool, err error) {
	spans := []struct {
		name    string
		limit   *int
		seconds int
	}{{"rate", key.RateLimit, key.RateSeconds}, {"day", key.DailyQuota, 86400}}
	for _, span := range spans {
		if span.limit == nil {
			continue
		}
		a, taken, err := spendSpan(ctx, tx, key, span.name, *span.limit, span.seconds)
		if err != nil {
			return Allowance{}, false, fmt.Errorf("spend the key's %s limit: %w", span.name, err)
		}
		if !taken {
			return a, false, nil
		}
		if left.Limit == 0 || a.Remaining < left.Remaining {
			left = a
		}
	}
	return left, true, nil
}

// spendSpan counts one request in the current window. The row's lock makes
// spenders take turns; a window that is over begins anew.
func spendSpan(ctx context.Context, tx *sqlx.Tx, key Key, name string, limit, seconds int) (Allowance, bool, error) {
	const spend = `
		INSERT INTO key_allowances AS a (webhook_key_id, span, started_at, used)
		VALUES ($1, $2, to_timestamp(floor(extract(epoch FROM statement_timestamp()) / $3::integer) * $3::integer), 1)
		ON CONFLICT (webhook_key_id, span) DO UPDATE SET
			used = CASE WHEN a.started_at >= excluded.started_at THEN least(a.used, 2000000000) + 1 ELSE 1 END,
			started_at = greatest(a.started_at, excluded.started_at)
		RETURNING used, extract(epoch FROM started_at + make_interval(secs => $3::integer) - statement_timestamp())`
	var used int
	var reset float64
	if err := tx.QueryRowxContext(ctx, spend, key.ID, name, seconds).Scan(&used, &reset); err != nil {
		return Allowance{}, false, err
	}
	a := Allowance{Daily: name == "day", Limit: limit, Remaining: max(0, limit-used), Reset: time.Duration(max(0, reset) * float64(time.Second))}
	return a, used <= limit, nil
}

func sorted(activities []Activity) []Activity {
	activities = slices.Clone(activities)
	slices.SortFunc(activities, func(a, b Activity) int { return bytes.Compare(a.KeyID[:], b.KeyID[:]) })
	return activities
}
