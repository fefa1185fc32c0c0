package web

import (
	"time"

	"keyhook/internal/inbox"
	"keyhook/views"
)

// Patterns lists the routes of a Server, for the tests that go through all of them.
func (s *Server) Patterns() (patterns []string) {
	for _, route := range s.routes() {
		patterns = append(patterns, route.Pattern)
	}
	return patterns
}

// SafeNext is safeNext, for its tests.
var SafeNext = safeNext

// Bars are the chart's columns in a range.
func Bars(name string, counts []inbox.HourCount, now time.Time) []views.Count {
	return spans[name].bars(counts, now)
}

// First is where a range of the chart begins.
func First(name string, now time.Time) time.Time { return spans[name].first(now) }
