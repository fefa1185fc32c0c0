package api

import (
	"net/http"
	"strings"

	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

// withToken lets h answer programs with a token that works and may read. Whatever
// is wrong with a token, the answer is the same.
func (s *Server) withToken(h tokenHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		r, token, err := s.letIn(r)
		if err != nil {
			return err
		}
		s.activity.use(token)
		if !token.Can(keyring.ReadSignals) {
			return forbidden
		}
		return h(w, r, token)
	}
}

// authenticate finds out which token a request presents, and confines the request to
// the token's workspace.
func (s *Server) authenticate(r *http.Request) (*http.Request, keyring.Token, error) {
	token, err := s.keys.AuthenticateToken(r.Context(), bearer(r))
	if err != nil {
		return r, token, err
	}
	return r.WithContext(postgres.InWorkspace(r.Context(), token.WorkspaceID)), token, nil
}

// bearer returns the one token that a request presents, "" if there is none or
// more than one.
func bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, text, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(text)
}
