package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

const (
	foldEvery  = time.Second
	sweepEvery = 10 * time.Minute
)

// Activity moves the keys' times of last use after what was committed, every
// second rather than with each request, so that no key's row is fought over. At
// start, and now and then, it folds from the stored counts instead: that covers
// whatever a killed instance had not folded yet.
type Activity struct {
	db     *postgres.DB
	events *inbox.Store
	log    *slog.Logger

	mu     sync.Mutex
	recent map[uuid.UUID]keyring.Activity // committed, not folded yet
}

// NewActivity returns an Activity on db; both db and events must be on the
// ingestion pool.
func NewActivity(db *postgres.DB, events *inbox.Store, log *slog.Logger) *Activity {
	return &Activity{db: db, events: events, log: log, recent: map[uuid.UUID]keyring.Activity{}}
}

// Run folds until ctx is done, and once more then.
func (a *Activity) Run(ctx context.Context) {
	a.try(ctx, func(ctx context.Context) error { return a.Sweep(ctx, time.Time{}) })
	fold, sweep := time.NewTicker(foldEvery), time.NewTicker(sweepEvery)
	defer fold.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			a.try(context.WithoutCancel(ctx), a.Fold)
			return
		case <-fold.C:
			a.try(ctx, a.Fold)
		case now := <-sweep.C:
			a.try(ctx, func(ctx context.Context) error { return a.Sweep(ctx, now.Add(-2*time.Hour)) })
		}
	}
}

func (a *Activity) try(ctx context.Context, f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	if err := f(ctx); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "last uses not folded", "err", err)
	}
}

// note remembers what a committed batch used.
func (a *Activity) note(results []written, batch []pending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, p := range batch {
		if p.key.ID == uuid.Nil || results[i].Outcome == "" { // no key, or nothing was stored
			continue
		}
		at := p.arrival.ReceivedAt
		use := keyring.Activity{KeyID: p.key.ID, UsedAt: &at}
		if results[i].Outcome == inbox.Refused {
			use.UsedAt, use.RefusedAt = nil, &at
		}
		a.recent[p.key.ID] = later(a.recent[p.key.ID], use)
	}
}

// later joins two activities of one key.
func later(a, b keyring.Activity) keyring.Activity {
	return keyring.Activity{KeyID: b.KeyID, UsedAt: latest(a.UsedAt, b.UsedAt), RefusedAt: latest(a.RefusedAt, b.RefusedAt)}
}

func latest(a, b *time.Time) *time.Time {
	if a == nil || (b != nil && b.After(*a)) {
		return b
	}
	return a
}

// Fold moves the times of the keys used since the last Fold. What could not be
// folded is kept for the next.
func (a *Activity) Fold(ctx context.Context) error {
	a.mu.Lock()
	recent := a.recent
	a.recent = map[uuid.UUID]keyring.Activity{}
	a.mu.Unlock()
	err := a.mark(ctx, slices.Collect(maps.Values(recent)))
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		for id, use := range recent {
			a.recent[id] = later(a.recent[id], use)
		}
	}
	return err
}

// Sweep moves the times of all keys that were counted since a moment.
func (a *Activity) Sweep(ctx context.Context, since time.Time) error {
	uses, err := a.events.LastUses(ctx, since)
	if err != nil {
		return err
	}
	activities := make([]keyring.Activity, len(uses))
	for i, use := range uses {
		activities[i] = keyring.Activity{KeyID: use.KeyID, UsedAt: use.UsedAt, RefusedAt: use.RefusedAt}
	}
	return a.mark(ctx, activities)
}

func (a *Activity) mark(ctx context.Context, activities []keyring.Activity) error {
	if len(activities) == 0 {
		return nil
	}
	err := a.db.InTx(ctx, func(tx *sqlx.Tx) error { return keyring.MarkUsed(ctx, tx, activities) })
	if err != nil {
		return fmt.Errorf("fold last uses: %w", err)
	}
	return nil
}
