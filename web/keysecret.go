package web

import (
	"net/http"
	"strings"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// pasteSecret gives a key the secret that its sender signs with. What was typed
// is never shown again, not even when it is wrong.
func (s *Server) pasteSecret(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	after, found, err := s.keys.PasteSecret(r.Context(), s.actor(r, m), key.ID, strings.TrimSpace(r.PostFormValue("secret")))
	if f, known := fault.Of(err); err != nil && known && f.Kind == fault.Invalid && f.Field == "secret" {
		return s.renderKey(w, r, m, http.StatusUnprocessableEntity, key, f.Fields())
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "The secret is stored. Requests are verified with it from now on." + warnings(after, found)})
	return redirect(w, r, keysPath(m, key.ID.String()))
}

// explained says what may be wrong with a pasted secret.
func explained(key keyring.Key, found []keyring.Warning) []string {
	var texts []string
	for _, w := range found {
		texts = append(texts, w.Explain(key))
	}
	return texts
}

// warnings is explained as the end of a message.
func warnings(key keyring.Key, found []keyring.Warning) string {
	if len(found) == 0 {
		return ""
	}
	return " Look at it again, though. " + strings.Join(explained(key, found), " ")
}
