package account_test

import (
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

func (i instance) isFresh(t *testing.T, token string) bool {
	t.Helper()
	session, err := i.Session(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return session.Fresh
}

func (i instance) age(t *testing.T, user account.User) {
	t.Helper()
	i.raw.MustExec(`UPDATE sessions SET authenticated_at = now() - interval '11 minutes' WHERE user_id = $1`, user.ID)
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name, Address: "192.0.2.1"}
	token, _, err := i.SignIn(t.Context(), by, ada.Email, password, "test", "")
	if err != nil || !i.isFresh(t, token) {
		t.Fatalf("a new session is not fresh: %v", err)
	}
	i.age(t, ada)
	if i.isFresh(t, token) {
		t.Fatal("a session of 11 minutes is fresh")
	}
	if err := i.Confirm(t.Context(), by, ada, token, "not the password", ""); kindOf(err) != fault.Invalid || i.isFresh(t, token) {
		t.Errorf("a wrong password = %v", err)
	}
	if err := i.Confirm(t.Context(), by, ada, "another token", password, ""); kindOf(err) != fault.Unauthenticated {
		t.Errorf("an unknown session = %v", err)
	}
	if err := i.Confirm(t.Context(), by, ada, token, password, ""); err != nil || !i.isFresh(t, token) {
		t.Errorf("the right password = %v", err)
	}
	if n := i.entries(t, uuid.Nil, audit.SignInConfirmed); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	for range 5 {
		i.Confirm(t.Context(), by, ada, token, "not the password", "")
	}
	i.raw.MustExec(`UPDATE sign_in_failures SET blocked_until = now() + interval '1 hour' WHERE subject LIKE 'pair %'`)
	if err := i.Confirm(t.Context(), by, ada, token, password, ""); kindOf(err) != fault.TooMany {
		t.Errorf("after wrong ones = %v, want to wait", err)
	}
	if _, _, err := i.SignIn(t.Context(), by, ada.Email, password, "test", ""); kindOf(err) != fault.TooMany {
		t.Errorf("they do not count for signing in: %v", err)
	}
}

// TestConfirmWithCode: the password alone makes no session fresh of who has a second
// factor, and changing it neither.
func TestConfirmWithCode(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, secret, codes := i.withFactor(t, "ada@example.com")
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name, Address: "192.0.2.1"}
	token, err := i.EnterCode(t.Context(), by, i.step(t, ada, "192.0.2.1"), codes[0], "test", "")
	if err != nil {
		t.Fatal(err)
	}
	i.age(t, ada)
	for _, code := range []string{"", "000000", codes[0]} {
		if err := i.Confirm(t.Context(), by, ada, token, password, code); kindOf(err) != fault.Invalid || i.isFresh(t, token) {
			t.Errorf("the code %q = %v", code, err)
		}
	}
	if err := i.Confirm(t.Context(), by, ada, token, password, i.code(t, secret, 0)); err != nil || !i.isFresh(t, token) {
		t.Errorf("the right code = %v", err)
	}
	token, err = i.ChangePassword(t.Context(), by, ada, password, "another long password 9", "test")
	if err != nil || i.isFresh(t, token) {
		t.Errorf("a changed password made a session fresh: %v", err)
	}
}

// TestHeld: what was held opens in its own session alone.
func TestHeld(t *testing.T) {
	t.Parallel()
	i := open(t)
	held := i.Hold("a token", []byte("what they did"))
	if text, err := i.Held("a token", held); err != nil || string(text) != "what they did" {
		t.Errorf("%q, %v", text, err)
	}
	for name, err := range map[string]error{
		"another session": func() error { _, err := i.Held("another", held); return err }(),
		"changed": func() error {
			_, err := i.Held("a token", append(held[:len(held)-1:len(held)-1], held[len(held)-1]^1))
			return err
		}(),
		"nothing": func() error { _, err := i.Held("a token", nil); return err }(),
	} {
		if kindOf(err) != fault.Invalid {
			t.Errorf("%s = %v", name, err)
		}
	}
}
