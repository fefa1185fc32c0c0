package api

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

const noteEvery = time.Second

// activity notes when tokens were used, and how far they have read, every second
// rather than with each request. What a killed instance had not noted yet, the
// reader's next request tells again: a place that is too early harms nothing.
type activity struct {
	db  *postgres.DB
	log *slog.Logger

	mu    sync.Mutex
	uses  map[uuid.UUID]time.Time
	reads map[uuid.UUID]inbox.Reading
}

func newActivity(db *postgres.DB, log *slog.Logger) *activity {
	return &activity{db: db, log: log, uses: map[uuid.UUID]time.Time{}, reads: map[uuid.UUID]inbox.Reading{}}
}

// use remembers that a token was used.
func (a *activity) use(token keyring.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uses[token.ID] = time.Now()
}

// read remembers that a token has everything up to a position.
func (a *activity) read(token keyring.Token, until inbox.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.uses[token.ID] = now
	a.reads[token.ID] = inbox.Reading{TokenID: token.ID, WorkspaceID: token.WorkspaceID, Until: until, At: now}
}

// run notes until ctx is done, and once more then.
func (a *activity) run(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			a.note(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			a.note(ctx)
		}
	}
}

// note stores what was remembered. What could not be stored is kept for the next
// time, unless something newer is there by then.
func (a *activity) note(ctx context.Context) {
	a.mu.Lock()
	uses, reads := a.uses, a.reads
	a.uses, a.reads = map[uuid.UUID]time.Time{}, map[uuid.UUID]inbox.Reading{}
	a.mu.Unlock()
	if len(uses) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.store(ctx, uses, reads); err != nil {
		if ctx.Err() == nil {
			a.log.WarnContext(ctx, "readers' places not noted", "err", err)
		}
		a.keep(uses, reads)
	}
}

func (a *activity) store(ctx context.Context, uses map[uuid.UUID]time.Time, reads map[uuid.UUID]inbox.Reading) error {
	err := a.db.InTx(ctx, func(tx *sqlx.Tx) error {
		there, err := keyring.MarkTokensUsed(ctx, tx, uses)
		if err != nil {
			return err
		}
		var list []inbox.Reading
		for _, id := range there { // the others went with their workspace
			if read, ok := reads[id]; ok {
				list = append(list, read)
			}
		}
		return inbox.MarkRead(ctx, tx, list)
	})
	if err != nil {
		return fmt.Errorf("note reading: %w", err)
	}
	return nil
}

func (a *activity) keep(uses map[uuid.UUID]time.Time, reads map[uuid.UUID]inbox.Reading) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range uses {
		if _, newer := a.uses[id]; !newer {
			a.uses[id] = at
		}
	}
	for id, read := range reads {
		if _, newer := a.reads[id]; !newer {
			a.reads[id] = read
		}
	}
}
