package web

import (
	"net/http"
	"time"

	"keyhook/internal/account"
)

// Mistake makes a Server without its own wall: what it does for a member it does as
// for another one. What the request was let in for stays as it was.
func (s *Server) Mistake(as func(account.Member) account.Member) {
	s.letIn = func(r *http.Request, user account.User) (*http.Request, account.Member, error) {
		r, m, err := s.enter(r, user)
		return r, as(m), err
	}
}

// Patterns lists the routes of a Server, for the tests that go through all of them.
func (s *Server) Patterns() (patterns []string) {
	for _, route := range s.routes() {
		patterns = append(patterns, route.Pattern)
	}
	return patterns
}

// Fresh lists the routes that ask who somebody is.
func (s *Server) Fresh() (patterns []string) {
	for _, route := range s.routes() {
		if route.fresh != "" {
			patterns = append(patterns, route.Pattern)
		}
	}
	return patterns
}

// SafeNext is safeNext, for its tests.
var SafeNext = safeNext

// OverfillTail gives a follower that takes nothing batches of 3 rows, and returns how
// many wait for it and how many rows it is told it missed.
func OverfillTail(batches int) (queued, skipped int) {
	h := newTailHub(nil, nil, nil)
	f, err := h.follow(logView{})
	if err != nil {
		panic(err)
	}
	for range batches {
		h.publish(f.group, tailBatch{rows: 2, left: 1})
	}
	return len(f.batches), f.dropped()
}

// Moments are those between which the bars of a range are drawn.
func Moments(name string, now time.Time) []time.Time { return spans[name](now) }
