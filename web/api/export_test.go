package api

// Description is what the API says of itself.
func Description() []byte { return description }

// Embeddable tells whether a body stands in answers as JSON.
var Embeddable = embeddable

// Patterns lists the routes of a Server, for the tests that go through all of them.
func (s *Server) Patterns() (patterns []string) {
	for _, route := range s.routes() {
		patterns = append(patterns, route.pattern)
	}
	return patterns
}
