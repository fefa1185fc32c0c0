package web

import "time"

// Patterns lists the routes of a Server, for the tests that go through all of them.
func (s *Server) Patterns() (patterns []string) {
	for _, route := range s.routes() {
		patterns = append(patterns, route.Pattern)
	}
	return patterns
}

// SafeNext is safeNext, for its tests.
var SafeNext = safeNext

// Moments are those between which the bars of a range are drawn.
func Moments(name string, now time.Time) []time.Time { return spans[name](now) }
