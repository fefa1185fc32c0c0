package api

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.json
var description []byte

// showDescription answers with the API's description, to anybody.
func (s *Server) showDescription(w http.ResponseWriter, r *http.Request) error {
	s.write(w, r, "application/json", http.StatusOK, description)
	return nil
}
