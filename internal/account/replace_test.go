package account_test

import (
	"testing"

	"keyhook/internal/account"
	"keyhook/internal/fault"
)

// TestSignInEndsTheOldSession: a browser has one session, whosever the one before
// was. A refused sign-in ends none.
func TestSignInEndsTheOldSession(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, bo := i.user(t, "ada@example.com", password), i.user(t, "bo@example.com", password)
	signIn := func(user account.User, password, old string) (string, error) {
		token, _, err := i.SignIn(t.Context(), from("192.0.2.1"), user.Email, password, "test", old)
		return token, err
	}
	alive := func(token string) bool {
		_, err := i.Session(t.Context(), token)
		return err == nil
	}
	elsewhere, _ := signIn(ada, password, "")
	first, _ := signIn(ada, password, "")
	if _, err := signIn(bo, "not the password", first); kindOf(err) != fault.Unauthenticated || !alive(first) {
		t.Errorf("a refused sign-in = %v, the session before is alive: %v", err, alive(first))
	}
	second, err := signIn(bo, password, first)
	if err != nil || alive(first) || !alive(second) || !alive(elsewhere) {
		t.Errorf("signing in again = %v; old alive %v, new %v, another browser's %v", err, alive(first), alive(second), alive(elsewhere))
	}
}
