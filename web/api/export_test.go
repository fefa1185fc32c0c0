package api

import (
	"net/http"

	"keyhook/internal/keyring"
)

// Description is what the API says of itself.
func Description() []byte { return description }

// Embeddable tells whether a body stands in answers as JSON.
var Embeddable = embeddable

// Mistake makes a Server without its own wall: what it does for a token it does as
// for another one. What the request was let in for stays as it was.
func (s *Server) Mistake(as func(keyring.Token) keyring.Token) {
	s.letIn = func(r *http.Request) (*http.Request, keyring.Token, error) {
		r, token, err := s.authenticate(r)
		return r, as(token), err
	}
}

// Patterns lists the routes of a Server, for the tests that go through all of them.
func (s *Server) Patterns() (patterns []string) {
	for _, route := range s.routes() {
		patterns = append(patterns, route.pattern)
	}
	return patterns
}
