package api

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// pagesAtOnce bounds the memory of all answers together: each is one page.
	pagesAtOnce = 48
	// pagesEach is how many of them one workspace may have, so that readers of one that
	// take their answers slowly leave room for the others.
	pagesEach = 16
	// placeWithin is how long an answer waits for its place.
	placeWithin = 2 * time.Second
)

// places are those for the pages that may be in memory.
type places struct {
	all chan struct{}

	mu   sync.Mutex
	each map[uuid.UUID]*share
}

// A share is what one workspace has of the places, while somebody is in one or waits.
type share struct {
	taken chan struct{}
	users int
}

func newPlaces() *places {
	return &places{all: make(chan struct{}, pagesAtOnce), each: map[uuid.UUID]*share{}}
}

// enter takes a place; leave gives it back.
func (p *places) enter(ctx context.Context, workspace uuid.UUID) (leave func(), err error) {
	soon := time.NewTimer(placeWithin)
	defer soon.Stop()
	own := p.join(workspace)
	if err := take(ctx, own.taken, soon.C); err != nil {
		p.part(workspace, own)
		return nil, err
	}
	if err := take(ctx, p.all, soon.C); err != nil {
		<-own.taken
		p.part(workspace, own)
		return nil, err
	}
	return func() {
		<-p.all
		<-own.taken
		p.part(workspace, own)
	}, nil
}

func take(ctx context.Context, place chan<- struct{}, over <-chan time.Time) error {
	select {
	case place <- struct{}{}:
		return nil
	case <-over:
		return unavailable
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *places) join(workspace uuid.UUID) *share {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.each[workspace]
	if own == nil {
		own = &share{taken: make(chan struct{}, pagesEach)}
		p.each[workspace] = own
	}
	own.users++
	return own
}

func (p *places) part(workspace uuid.UUID, own *share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(p.each, workspace)
	}
}
