package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// spend takes from the allowance of each key that has one, always in the order of
// their ids. It returns what may be stored, with its places in the batch.
func spend(ctx context.Context, tx *sqlx.Tx, batch []pending) (allowed []inbox.Arrival, places []int, results []written, err error) {
	results = make([]written, len(batch))
	allowed, places = make([]inbox.Arrival, 0, len(batch)), make([]int, 0, len(batch))
	for _, i := range limited(batch) {
		left, ok, err := keyring.Spend(ctx, tx, batch[i].key)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("spend the key's allowance: %w", err)
		}
		if results[i].over = !ok; left.Limit > 0 {
			results[i].allowance = &left
		}
	}
	for i, p := range batch {
		if !results[i].over {
			allowed, places = append(allowed, p.arrival), append(places, i)
		}
	}
	return allowed, places, results, nil
}

// limited returns the places of the submissions that spend from an allowance, in
// the order of their keys' ids.
func limited(batch []pending) (places []int) {
	for i, p := range batch {
		if p.arrival.Reason == "" && (p.key.RateLimit != nil || p.key.DailyQuota != nil) {
			places = append(places, i)
		}
	}
	slices.SortStableFunc(places, func(a, b int) int { return slices.Compare(batch[a].key.ID[:], batch[b].key.ID[:]) })
	return places
}

// reasonOver tells which limit was reached.
func reasonOver(left *keyring.Allowance) inbox.Reason {
	if left.Daily {
		return inbox.QuotaUsed
	}
	return inbox.RateLimited
}
