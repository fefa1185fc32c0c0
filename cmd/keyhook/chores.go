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

// keepUp does the chores until ctx is done. The short ones have their first turn one
// after the other: all at once each would open a connection to the database that
// nobody needs afterwards.
func (h *house) keepUp(ctx context.Context, log *slog.Logger) {
	var doing sync.WaitGroup
	defer doing.Wait()
	for _, c := range []chore{ // a turn of these may take minutes
		{"erase payloads", time.Second, h.upkeep.Erase},
		{"erase deleted workspaces", time.Second, h.estates.EraseDeleted},
		{"verify trails", time.Second, h.verifier.Work},
		{"forget what is past its time", 10 * time.Minute, h.forget},
		{"sign a checkpoint", time.Minute, h.signing.hourly}, // it may go over the network
	} {
		doing.Go(func() { c.again(ctx, log) })
	}
	for _, c := range []chore{
		{"make partitions ahead", time.Hour, h.upkeep.EnsureWeeks},
		{"look for keys that need attention", time.Minute, h.notices.look},
		{"sweep sessions", 10 * time.Minute, h.accounts.Sweep},
		{"forget unfinished imports", time.Minute, h.keys.SweepImports},
		{"sum refused sign-ins", time.Minute, h.accounts.SumRefused},
	} {
		c.turn(ctx, log)
		doing.Go(func() { c.rest(ctx); c.again(ctx, log) })
	}
}

// again does the chore again and again until ctx is done.
func (c chore) again(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		c.turn(ctx, log)
		c.rest(ctx)
	}
}

// rest waits for the pause, or until ctx is done.
func (c chore) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(c.pause):
	}
}

func (c chore) turn(ctx context.Context, log *slog.Logger) {
	if err := c.work(ctx); err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "upkeep", "work", c.name, "err", err)
	}
}
