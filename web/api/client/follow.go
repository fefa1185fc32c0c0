package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
)

// Follow hands every signal behind a cursor to handle, page by page and in order,
// and waits for more, until ctx is done, handle fails, or Keyhook says that it
// can't go on: the token does not hold, or see [Expired]. Whatever else goes wrong
// is tried again, with longer and longer pauses.
//
// A page is handed over again, with others perhaps, if Follow is started with the
// cursor before it: whoever stores page.Cursor in the transaction that deals with
// the page deals with each signal once. While handle works, the next page is on
// its way already; Keyhook is told that a page was dealt with once handle returned.
func (c *Client) Follow(ctx context.Context, after string, handle func(context.Context, Page) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages := make(chan fetched)
	var handled atomic.Value // the cursor up to which everything was
	handled.Store(after)
	go c.fetch(ctx, after, &handled, pages)
	for next := range pages {
		if next.err != nil {
			return next.err
		}
		if err := handle(ctx, next.page); err != nil {
			return err
		}
		handled.Store(next.page.Cursor)
	}
	return ctx.Err()
}

type fetched struct {
	page Page
	err  error
}

// fetch sends page after page until there is an error that stays.
func (c *Client) fetch(ctx context.Context, after string, handled *atomic.Value, pages chan<- fetched) {
	defer close(pages)
	sent := after // the last page's cursor
	for {
		page, err := c.persist(ctx, after, func() string {
			switch read := handled.Load().(string); read {
			case sent:
				return after // what came since was empty
			case "latest":
				return ""
			default:
				return read
			}
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			after = page.Cursor
			if len(page.Signals) == 0 {
				continue
			}
		}
		select {
		case pages <- fetched{page, err}:
			sent = page.Cursor
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// persist lists until there is an answer, or an error that another try won't mend.
// read is asked for each try.
func (c *Client) persist(ctx context.Context, after string, read func() string) (Page, error) {
	pause := firstPause
	for tries := 1; ; tries++ {
		page, err := c.list(ctx, after, read())
		if err == nil || ctx.Err() != nil || stays(err) {
			return page, err
		}
		wait := pause/2 + rand.N(pause) // spread, so that readers don't return at once
		var answer *Error
		if errors.As(err, &answer) {
			wait = max(wait, answer.retryAfter)
		}
		if c.Retry != nil {
			c.Retry(err, tries, wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return Page{}, ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

// stays tells whether the same request would get the same answer.
func stays(err error) bool {
	var answer *Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return answer.Status < http.StatusInternalServerError
}
