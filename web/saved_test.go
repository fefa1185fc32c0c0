package web_test

import (
	"testing"

	"keyhook/internal/audit"
)

// TestSavedNeedsItsBox: who was shown the credentials confirms with the box ticked,
// and once.
func TestSavedNeedsItsBox(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c, other := s.signIn(s.home.owner), s.signIn(s.join("admin"))
	shown := c.post("/w/"+s.home.slug+"/keys", "name", "Shown", "expires", "never", "form_nonce", s.nonceOf(c))
	path, ok := parse(t, shown.body).Find(`form[action$="/saved"]`).Attr("action")
	if !ok {
		t.Fatalf("the page has no gate: %.300s", shown.body)
	}
	for _, tt := range []struct {
		who    *client
		saved  string
		status int
	}{{c, "", 422}, {c, "false", 422}, {other, "true", 403}, {c, "true", 303}, {c, "true", 409}} {
		got := tt.who.post(path, "saved", tt.saved)
		if got.StatusCode != tt.status {
			t.Errorf("with saved=%q = %d, want %d", tt.saved, got.StatusCode, tt.status)
		}
	}
	var entries int
	if err := s.Raw().Get(&entries, `SELECT count(*) FROM audit_log WHERE action = $1`, audit.CredentialsSaved); err != nil || entries != 1 {
		t.Errorf("the trail has %d entries of it, %v; want 1", entries, err)
	}
}
