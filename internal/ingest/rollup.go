package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

const rollUpEvery = time.Second

// A Rollup moves the tallies of batches into the hourly counts, and the keys'
// times of last use after them, every second rather than with each batch, so that
// no row is fought over. What a killed instance left, any other finds.
type Rollup struct {
	db  *postgres.DB
	log *slog.Logger
}

// NewRollup returns a Rollup on db, the ingestion pool.
func NewRollup(db *postgres.DB, log *slog.Logger) *Rollup { return &Rollup{db, log} }

// Run rolls up until ctx is done, and once more then.
func (r *Rollup) Run(ctx context.Context) {
	tick := time.NewTicker(rollUpEvery)
	defer tick.Stop()
	for {
		r.try(ctx)
		select {
		case <-ctx.Done():
			r.try(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

func (r *Rollup) try(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	if err := r.Once(ctx); err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "counts not rolled up", "err", err)
	}
}

// Once rolls up all that there is.
func (r *Rollup) Once(ctx context.Context) error {
	for more := true; more; {
		err := r.db.InTx(ctx, func(tx *sqlx.Tx) (err error) {
			var uses []inbox.LastUse
			uses, more, err = inbox.RollUp(ctx, tx)
			if err != nil {
				return err
			}
			return keyring.MarkUsed(ctx, tx, activities(uses))
		})
		if err != nil {
			return fmt.Errorf("roll up: %w", err)
		}
	}
	return nil
}

func activities(uses []inbox.LastUse) []keyring.Activity {
	list := make([]keyring.Activity, len(uses))
	for i, use := range uses {
		list[i] = keyring.Activity(use)
	}
	return list
}
