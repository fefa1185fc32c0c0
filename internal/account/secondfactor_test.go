package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// now is the database's time, by which codes are told.
func (i instance) now(t *testing.T) (at time.Time) {
	t.Helper()
	if err := i.raw.Get(&at, `SELECT now()`); err != nil {
		t.Fatal(err)
	}
	return at
}

// code is what an app shows, so many steps from now. The tests wait for no clock:
// what was used before is forgotten.
func (i instance) code(t *testing.T, secret account.CodeSecret, steps time.Duration) string {
	t.Helper()
	code, err := account.CodeAt(secret, i.now(t).Add(steps*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// withFactor makes a user with a password and a second factor.
func (i instance) withFactor(t *testing.T, email string) (account.User, account.CodeSecret, []string) {
	t.Helper()
	user := i.user(t, email, password)
	secret, err := i.BeginSecondFactor(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	by := audit.Actor{Kind: audit.User, UserID: user.ID, Label: user.Name, Address: "192.0.2.1"}
	codes, err := i.ConfirmSecondFactor(t.Context(), by, user, "", i.code(t, secret, 0))
	if err != nil || len(codes) != 10 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	i.raw.MustExec(`UPDATE second_factors SET last_step = 0 WHERE user_id = $1`, user.ID)
	user.SecondFactor = true
	return user, secret, codes
}

// step gives the right password.
func (i instance) step(t *testing.T, user account.User, address string) string {
	t.Helper()
	token, _, err := i.SignIn(t.Context(), from(address), user.Email, password, "test", "")
	needed, ok := errors.AsType[*account.CodeNeeded](err)
	if !ok || token != "" || needed.Token == "" {
		t.Fatalf("a right password = %q, %v; want a step", token, err)
	}
	return needed.Token
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, secret, codes := i.withFactor(t, "ada@example.com")
	w, err := i.CreateWorkspace(t.Context(), cli, "Team", ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	step := i.step(t, ada, "192.0.2.1")
	if _, err := i.Session(t.Context(), step); kindOf(err) != fault.Unauthenticated {
		t.Errorf("a step opens a session: %v", err)
	}
	enter := func(step, code string) error {
		token, err := i.EnterCode(t.Context(), from("192.0.2.1"), step, code, "test", "")
		if (err == nil) != (token != "") {
			t.Errorf("EnterCode = %q, %v", token, err)
		}
		return err
	}
	if err := enter(step, "000000"); kindOf(err) != fault.Invalid {
		t.Errorf("a wrong code = %v", err)
	}
	if err := enter("nothing", i.code(t, secret, 0)); kindOf(err) != fault.Unauthenticated {
		t.Errorf("a code without a step = %v", err)
	}
	code := i.code(t, secret, 0)
	if err := enter(step, code); err != nil {
		t.Errorf("the right code = %v", err)
	}
	if err := enter(step, i.code(t, secret, 1)); kindOf(err) != fault.Unauthenticated {
		t.Errorf("a step that was taken = %v", err)
	}
	again := i.step(t, ada, "192.0.2.1")
	if err := enter(again, code); kindOf(err) != fault.Invalid {
		t.Errorf("a code that was used = %v", err)
	}
	if err := enter(again, codes[3]); err != nil {
		t.Errorf("a recovery code = %v", err)
	}
	again = i.step(t, ada, "192.0.2.1")
	if err := enter(again, codes[3]); kindOf(err) != fault.Invalid {
		t.Errorf("a recovery code that was used = %v", err)
	}
	if factor, err := i.SecondFactorOf(t.Context(), ada.ID); err != nil || factor.CodesLeft != 9 {
		t.Errorf("%+v, %v; want 9 codes left", factor, err)
	}
	for _, action := range []audit.Action{audit.RecoveryCodeUsed} {
		if a, b := i.entries(t, w.ID, action), i.entries(t, uuid.Nil, action); a != 1 || b != 1 {
			t.Errorf("%s: %d entries of the workspace and %d of the instance, want 1 each", action, a, b)
		}
	}

	// A step is worth nothing once the password is another, or the user is out.
	if _, err := i.ResetUser(t.Context(), cli, ada.Email); err != nil {
		t.Fatal(err)
	}
	if err := enter(again, codes[4]); kindOf(err) != fault.Unauthenticated {
		t.Errorf("a step after a reset = %v", err)
	}
	if factor, err := i.SecondFactorOf(t.Context(), ada.ID); err != nil || factor != nil {
		t.Errorf("after a reset there is %+v, %v", factor, err)
	}
	if n := i.count(t, `SELECT count(*) FROM recovery_codes`); n != 0 {
		t.Errorf("%d recovery codes are left after a reset", n)
	}
}

// TestCodeIsUsedOnce: of those who use one code at once, one gets in.
func TestCodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, secret, codes := i.withFactor(t, "ada@example.com")
	for name, code := range map[string]string{"an app's": i.code(t, secret, 0), "a recovery": codes[0]} {
		var steps []string
		for n := range 4 {
			steps = append(steps, i.step(t, ada, "192.0.2."+string(rune('1'+n))))
		}
		won := race(len(steps), func(n int) error {
			_, err := i.EnterCode(t.Context(), from("192.0.2."+string(rune('1'+n))), steps[n], code, "test", "")
			if err != nil {
				kind(t, err)
			}
			return err
		})
		if won != 1 {
			t.Errorf("%d of 4 got in with %s code, want 1", won, name)
		}
	}
}

// TestCodesAreThrottled: guessing is slowed down wherever it comes from, and a
// recovery code is the owner's way in meanwhile.
func TestCodesAreThrottled(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, secret, codes := i.withFactor(t, "ada@example.com")
	step := i.step(t, ada, "192.0.2.1")
	tried := 0
	for n := range 20 {
		_, err := i.EnterCode(t.Context(), from("203.0.113."+string(rune('1'+n%9))), step, "000000", "test", "")
		if kindOf(err) == fault.Invalid {
			tried++
		} else if kindOf(err) != fault.TooMany {
			t.Fatal(err)
		}
	}
	if tried > 8 { // six, and one more for each second that this may take
		t.Errorf("%d of 20 guesses were looked at", tried)
	}
	i.raw.MustExec(`UPDATE sign_in_failures SET blocked_until = now() + interval '1 hour' WHERE subject LIKE 'code %'`)
	if _, err := i.EnterCode(t.Context(), from("192.0.2.1"), step, i.code(t, secret, 0), "test", ""); kindOf(err) != fault.TooMany {
		t.Errorf("the right code meanwhile = %v", err)
	}
	if _, err := i.EnterCode(t.Context(), from("192.0.2.1"), step, codes[0], "test", ""); err != nil {
		t.Errorf("a recovery code meanwhile = %v", err)
	}
}

func TestSetUpSecondFactor(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name}
	if _, err := i.ConfirmSecondFactor(t.Context(), by, ada, "", "123456"); kindOf(err) != fault.Conflict {
		t.Errorf("a code before the set-up = %v", err)
	}
	first, err := i.BeginSecondFactor(t.Context(), ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	second, err := i.BeginSecondFactor(t.Context(), ada.ID) // begun again: the first counts no more
	if err != nil {
		t.Fatal(err)
	}
	if begun, err := i.BegunSecondFactor(t.Context(), ada.ID); err != nil || begun != second {
		t.Errorf("what was begun is another: %v", err)
	}
	if _, err := i.ConfirmSecondFactor(t.Context(), by, ada, "", i.code(t, first, 0)); kindOf(err) != fault.Invalid {
		t.Errorf("a code of the first secret = %v", err)
	}
	if _, _, err := i.SignIn(t.Context(), from("192.0.2.1"), ada.Email, password, "test", ""); err != nil {
		t.Errorf("signing in during the set-up = %v", err)
	}
	code := i.code(t, second, 0)
	if won := race(5, func(int) error { _, err := i.ConfirmSecondFactor(t.Context(), by, ada, "", code); return err }); won != 1 {
		t.Errorf("%d of 5 confirmed at once, want 1", won)
	}
	if _, err := i.BeginSecondFactor(t.Context(), ada.ID); kindOf(err) != fault.Conflict {
		t.Errorf("beginning with one there = %v", err)
	}
	if _, err := i.BegunSecondFactor(t.Context(), ada.ID); kindOf(err) != fault.Conflict {
		t.Errorf("the secret of one in use = %v", err)
	}
	step := i.step(t, ada, "192.0.2.1")
	if _, err := i.EnterCode(t.Context(), from("192.0.2.1"), step, code, "test", ""); kindOf(err) != fault.Invalid {
		t.Errorf("the code of the set-up signs in too: %v", err)
	}
	fresh, err := i.RenewRecoveryCodes(t.Context(), by, ada)
	if err != nil || len(fresh) != 10 {
		t.Fatal(err)
	}
	if n := i.count(t, `SELECT count(*) FROM recovery_codes`); n != 10 {
		t.Errorf("%d recovery codes, want the 10 new ones", n)
	}
	for range 2 { // the second changes nothing
		if err := i.RemoveSecondFactor(t.Context(), by, ada); err != nil {
			t.Error(err)
		}
	}
	if _, err := i.RenewRecoveryCodes(t.Context(), by, ada); kindOf(err) != fault.Conflict {
		t.Errorf("codes without a second factor = %v", err)
	}
	if _, _, err := i.SignIn(t.Context(), from("192.0.2.1"), ada.Email, password, "test", ""); err != nil {
		t.Errorf("signing in after the removal = %v", err)
	}
	for action, want := range map[audit.Action]int{audit.SecondFactorAdded: 1, audit.SecondFactorRemoved: 1, audit.RecoveryCodesMade: 1} {
		if n := i.entries(t, uuid.Nil, action); n != want {
			t.Errorf("%d entries %s, want %d", n, action, want)
		}
	}
}
