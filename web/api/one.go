package api

import (
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// find returns the signal that a path names. Another workspace's is not there.
func (s *Server) find(r *http.Request, token keyring.Token) (inbox.Signal, bool, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil || id.String() != r.PathValue("id") {
		return inbox.Signal{}, false, notFound
	}
	return s.events.Signal(r.Context(), token.WorkspaceID, id)
}

// showSignal answers with one signal. Its cursor is null while something that is
// in front of it may still appear.
func (s *Server) showSignal(w http.ResponseWriter, r *http.Request, token keyring.Token) error {
	leave, err := s.places.enter(r.Context(), token.WorkspaceID)
	if err != nil {
		return err
	}
	defer leave()
	signal, placed, err := s.find(r, token)
	if err != nil {
		return err
	}
	cursor := ""
	if placed {
		cursor = signal.Position.Cursor(token.WorkspaceID)
	}
	s.write(w, r, "application/json", http.StatusOK, appendSignal(nil, &signal, cursor))
	return nil
}

// showBody answers with the bytes that came, as a file that no browser would run.
func (s *Server) showBody(w http.ResponseWriter, r *http.Request, token keyring.Token) error {
	leave, err := s.places.enter(r.Context(), token.WorkspaceID)
	if err != nil {
		return err
	}
	defer leave()
	signal, _, err := s.find(r, token)
	if err != nil {
		return err
	}
	if signal.Erased != nil {
		return erased
	}
	if signal.BodyGone() {
		return bodyNotKept
	}
	h := w.Header()
	h.Set("Content-Disposition", `attachment; filename="`+signal.ID.String()+`.bin"`)
	h.Set("Keyhook-Content-Type", strconv.QuoteToASCII(signal.ContentType))
	h.Set("Keyhook-SHA256", hex.EncodeToString(signal.SHA256))
	s.write(w, r, "application/octet-stream", http.StatusOK, signal.Body)
	return nil
}
