package api

import (
	"context"
	"net/http"
	"strings"

	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

// withToken lets h answer programs with a token that works and may read. Whatever
// is wrong with a token, the answer is the same.
func (s *Server) withToken(h tokenHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := s.keys.AuthenticateToken(r.Context(), bearer(r))
		if err != nil {
			return err
		}
		s.activity.use(token)
		if !token.Can(keyring.ReadSignals) {
			return forbidden
		}
		return h(w, r.WithContext(s.scope(r.Context(), token)), token)
	}
}

// inside confines what is asked with the context to a token's workspace.
func inside(ctx context.Context, token keyring.Token) context.Context {
	return postgres.InWorkspace(ctx, token.WorkspaceID)
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
