package api

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/keyring"
)

// checkEvery is how soon what a token has open ends once the token does.
const checkEvery = time.Second

var errTokenEnded = errors.New("the token stopped working")

// readers are those who stay: streams, and requests that wait. It bounds them, and
// ends those whose token stopped working.
type readers struct {
	config Config
	keys   *keyring.Store
	log    *slog.Logger

	mu      sync.Mutex
	streams int
	waiting int
	open    map[uuid.UUID]map[*reader]bool // by token
}

// A reader is one of them.
type reader struct{ end context.CancelCauseFunc }

func newReaders(config Config, keys *keyring.Store, log *slog.Logger) *readers {
	return &readers{config: config, keys: keys, log: log, open: map[uuid.UUID]map[*reader]bool{}}
}

// admit lets a program stay. Its context ends with the token; done gives the place
// back.
func (rs *readers) admit(ctx context.Context, token keyring.Token, stream bool) (_ context.Context, done func(), err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	count, limit := &rs.waiting, rs.config.Waiting
	if stream {
		count, limit = &rs.streams, rs.config.Streams
	}
	switch {
	case len(rs.open[token.ID]) >= rs.config.PerToken:
		return nil, nil, tooMany
	case *count >= limit:
		return nil, nil, withDetail(unavailable, "As many readers wait here as this instance takes. Try again after the time in Retry-After.")
	}
	*count++
	ctx, end := context.WithCancelCause(ctx)
	one := &reader{end}
	if rs.open[token.ID] == nil {
		rs.open[token.ID] = map[*reader]bool{}
	}
	rs.open[token.ID][one] = true
	return ctx, func() {
		end(nil)
		rs.mu.Lock()
		defer rs.mu.Unlock()
		*count--
		if delete(rs.open[token.ID], one); len(rs.open[token.ID]) == 0 {
			delete(rs.open, token.ID)
		}
	}, nil
}

// count returns how many streams and how many waiting requests are open.
func (rs *readers) count() (streams, waiting int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.streams, rs.waiting
}

// run looks every second whether the tokens still work.
func (rs *readers) run(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := rs.check(ctx); err != nil && ctx.Err() == nil {
				rs.log.WarnContext(ctx, "open readers' tokens can't be looked up", "err", err)
			}
		}
	}
}

func (rs *readers) check(ctx context.Context) error {
	ids := rs.tokens()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	valid, err := rs.keys.ValidTokens(ctx, ids)
	if err != nil {
		return err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, id := range ids {
		if valid[id] {
			continue
		}
		for one := range rs.open[id] {
			one.end(errTokenEnded)
		}
	}
	return nil
}

func (rs *readers) tokens() (ids []uuid.UUID) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for id := range rs.open {
		ids = append(ids, id)
	}
	return ids
}
