package web

// Patterns lists the routes of a Server, for the tests that go through all of them.
func (s *Server) Patterns() (patterns []string) {
	for _, route := range s.routes() {
		patterns = append(patterns, route.Pattern)
	}
	return patterns
}

// SafeNext is safeNext, for its tests.
var SafeNext = safeNext
