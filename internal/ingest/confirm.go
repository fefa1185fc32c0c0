package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// confirm checks again, in the transaction that stores them, that the keys of a
// batch may send, and spends their allowances: what was looked up before may be
// a lie by now. It turns arrivals that may not be accepted any more into refused
// ones. Every writer locks in the order of the keys' ids.
func confirm(ctx context.Context, tx *sqlx.Tx, batch []pending) ([]inbox.Arrival, []*keyring.Allowance, error) {
	arrivals := make([]inbox.Arrival, len(batch))
	for i, p := range batch {
		arrivals[i] = p.arrival
	}
	if err := inbox.Hold(ctx, tx, arrivals); err != nil {
		return nil, nil, err
	}
	order := byKey(batch)
	if err := confirmKeys(ctx, tx, batch, arrivals, order); err != nil {
		return nil, nil, err
	}
	allowances, err := spend(ctx, tx, batch, arrivals, order)
	return arrivals, allowances, err
}

// byKey returns the places of a batch in the order of their keys.
func byKey(batch []pending) []int {
	order := make([]int, len(batch))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return slices.Compare(batch[a].key.ID[:], batch[b].key.ID[:])
	})
	return order
}

// confirmKeys asks once for each key and pair of generations.
func confirmKeys(ctx context.Context, tx *sqlx.Tx, batch []pending, arrivals []inbox.Arrival, order []int) error {
	type use struct {
		key            uuid.UUID
		apiKey, secret int
	}
	states := map[use]keyring.State{}
	for _, i := range order {
		s, a := batch[i].submission, &arrivals[i]
		if a.Reason != "" {
			continue
		}
		if a.KeyID == uuid.Nil { // deleted with its workspace since
			a.Refuse(inbox.UnknownKey, unauthorized.status)
			continue
		}
		u := use{a.KeyID, s.apiKeyGeneration, s.secretGeneration}
		state, asked := states[u]
		if !asked {
			var err error
			if state, err = keyring.Confirm(ctx, tx, u.key, u.apiKey, u.secret); err != nil {
				return err
			}
			states[u] = state
		}
		if state != keyring.Valid {
			a.Refuse(reasonOf(state), unauthorized.status)
		}
	}
	return nil
}

// spend takes from the allowance of each key that has one.
func spend(ctx context.Context, tx *sqlx.Tx, batch []pending, arrivals []inbox.Arrival, order []int) ([]*keyring.Allowance, error) {
	allowances := make([]*keyring.Allowance, len(batch))
	for _, i := range order {
		key, a := batch[i].key, &arrivals[i]
		if a.Reason != "" || (key.RateLimit == nil && key.DailyQuota == nil) {
			continue
		}
		left, ok, err := keyring.Spend(ctx, tx, key)
		if err != nil {
			return nil, fmt.Errorf("spend the key's allowance: %w", err)
		}
		allowances[i] = &left
		switch {
		case ok:
		case left.Daily:
			a.Refuse(inbox.QuotaUsed, rateLimited.status)
		default:
			a.Refuse(inbox.RateLimited, rateLimited.status)
		}
	}
	return allowances, nil
}
