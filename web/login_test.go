package web_test

import (
	"testing"

	"keyhook/internal/audit"
)

// TestSignInAgain: whoever signs in while signed in leaves no session behind.
func TestSignInAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const password = "copper-lantern-riverbank-42"
	bo, _, err := s.accounts.CreateUser(t.Context(), audit.Actor{Kind: audit.CLI}, "bo@example.com", "Bo", password)
	if err != nil {
		t.Fatal(err)
	}
	c := s.signIn(s.home.owner)
	if got := c.post("/sign-in", "email", bo.Email, "password", password); got.StatusCode != 303 {
		t.Fatalf("signing in = %d: %.300s", got.StatusCode, got.body)
	}
	var users []string
	if err := s.Raw().Select(&users, `SELECT user_id::text FROM sessions`); err != nil || len(users) != 1 || users[0] != bo.ID.String() {
		t.Errorf("the sessions are of %v, %v; want %s alone", users, err, bo.ID)
	}
}
