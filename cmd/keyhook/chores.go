package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A chore is upkeep that is done again and again.
type chore struct {
	name  string
	pause time.Duration // from the end of one turn to the next
	work  func(context.Context) error
}

// keepUp does all upkeep until ctx is done; workers counts what it starts. The short
// chores have their first turn one after the other: all at once each would open a
// connection to the database that nobody needs afterwards.
func (h *house) keepUp(ctx context.Context, workers *sync.WaitGroup, log *slog.Logger) {
	for _, c := range []chore{
		{"make partitions ahead", time.Hour, h.upkeep.EnsureWeeks},
		{"look for keys that need attention", time.Minute, h.notices.look},
		{"erase payloads", time.Second, h.upkeep.Erase},
		{"sweep sessions", 10 * time.Minute, h.accounts.Sweep},
		{"forget unfinished imports", time.Minute, h.keys.SweepImports},
		{"sum refused sign-ins", time.Minute, h.accounts.SumRefused},
		{"sign a checkpoint", time.Minute, h.signing.hourly},
	} {
		c.turn(ctx, log)
		workers.Go(func() { c.again(ctx, log) })
	}
	for _, c := range []chore{ // a turn of these may take minutes
		{"verify trails", time.Second, h.verifier.Work},
		{"erase deleted workspaces", time.Second, h.estates.EraseDeleted},
		{"forget what is past its time", 10 * time.Minute, h.forget},
	} {
		workers.Go(func() {
			c.turn(ctx, log)
			c.again(ctx, log)
		})
	}
}

// again does the chore after each pause until ctx is done.
func (c chore) again(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.pause):
			c.turn(ctx, log)
		}
	}
}

func (c chore) turn(ctx context.Context, log *slog.Logger) {
	if err := c.work(ctx); err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "upkeep", "work", c.name, "err", err)
	}
}
