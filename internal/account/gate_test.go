package account_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

func kindOf(err error) fault.Kind {
	f, _ := fault.Of(err)
	return f.Kind
}

// TestThrottle: whoever guesses is slowed down, and nobody locks the owner out.
func TestThrottle(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	guess := func(address string) error {
		_, _, err := i.SignIn(t.Context(), from(address), ada.Email, "not the password", "test", "")
		return err
	}
	for n := range 6 {
		if err := guess("203.0.113.9"); kindOf(err) != fault.Unauthenticated {
			t.Fatalf("guess %d = %v, want it refused as wrong", n+1, err)
		}
	}
	var waits bool
	if err := i.raw.Get(&waits, `SELECT blocked_until > last_at FROM sign_in_failures WHERE subject LIKE 'pair %'`); err != nil || !waits {
		t.Fatalf("after six failures the next try waits %v, %v", waits, err)
	}
	i.raw.MustExec(`UPDATE sign_in_failures SET blocked_until = now() + interval '1 hour' WHERE subject LIKE 'pair %'`) // however slow this machine is
	began := time.Now()
	for range 100 { // refused before any work is done
		if err := guess("203.0.113.9"); kindOf(err) != fault.TooMany {
			t.Fatalf("a guess after six = %v, want TooMany", err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 throttled guesses took %s", took)
	}
	if _, _, err := i.SignIn(t.Context(), from("203.0.113.9"), ada.Email, password, "test", ""); kindOf(err) != fault.TooMany {
		t.Errorf("the right password from the guesser's address = %v, want TooMany", err)
	}
	if _, _, err := i.SignIn(t.Context(), from("198.51.100.1"), ada.Email, password, "test", ""); err != nil {
		t.Errorf("the owner from elsewhere = %v, want to be let in", err)
	}

	// A thousand guesses from a thousand addresses neither let in nor lock out.
	i.raw.MustExec(`INSERT INTO sign_in_failures SELECT 'address 10.' || (n/250) || '.' || (n%250) || '.1/32', 59, now(), now(), now() FROM generate_series(1, 1000) AS n`)
	if err := guess("10.0.7.1"); kindOf(err) != fault.Unauthenticated {
		t.Errorf("the 60th failure of an address = %v", err)
	}
	if err := guess("10.0.7.1"); kindOf(err) != fault.TooMany {
		t.Errorf("after 60 failures of an address = %v, want TooMany", err)
	}
	if _, _, err := i.SignIn(t.Context(), from("198.51.100.2"), ada.Email, password, "test", ""); err != nil {
		t.Errorf("the owner from elsewhere = %v, want to be let in", err)
	}

	// The delays double, and a success forgives.
	i.raw.MustExec(`UPDATE sign_in_failures SET blocked_until = now() WHERE subject LIKE 'pair %'`)
	if err := guess("203.0.113.9"); kindOf(err) != fault.Unauthenticated {
		t.Errorf("after the wait = %v", err)
	}
	var seconds float64
	if err := i.raw.Get(&seconds, `SELECT max(extract(epoch FROM blocked_until - last_at)) FROM sign_in_failures WHERE subject LIKE 'pair %'`); err != nil || seconds < 1.9 || seconds > 2.1 {
		t.Errorf("the wait after the seventh failure is %.1f s, %v; want 2, twice that after the sixth", seconds, err)
	}
	i.raw.MustExec(`UPDATE sign_in_failures SET blocked_until = now()`)
	if _, _, err := i.SignIn(t.Context(), from("203.0.113.9"), ada.Email, password, "test", ""); err != nil {
		t.Error(err)
	}
	if n := i.count(t, `SELECT count(*) FROM sign_in_failures WHERE subject LIKE 'pair %'`); n != 1 {
		t.Errorf("after a success %d pairs are remembered, want that of the other address alone", n)
	}
}

// TestBurstOfGuesses: guesses at once are worth no more than one after the other.
func TestBurstOfGuesses(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	var hashed atomic.Int32
	var guessers sync.WaitGroup
	for range 30 {
		guessers.Go(func() {
			_, _, err := i.SignIn(t.Context(), from("203.0.113.9"), ada.Email, "not the password", "test", "")
			if kindOf(err) == fault.Unauthenticated {
				hashed.Add(1)
			}
		})
	}
	guessers.Wait()
	if n := hashed.Load(); n > 8 { // six, and one more for each second that the burst may take
		t.Errorf("%d of 30 guesses at once were tried, want about 6", n)
	}
}

// TestResetDuringSignIn: a session does not outlive the password that it was
// opened with, however the two cross.
func TestResetDuringSignIn(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	tx := i.raw.MustBegin()
	defer tx.Rollback()
	tx.MustExec(`UPDATE users SET password_hash = NULL WHERE id = $1`, ada.ID) // a reset that has not committed yet
	done := make(chan error, 1)
	go func() {
		_, _, err := i.SignIn(t.Context(), from("192.0.2.1"), ada.Email, password, "test", "")
		done <- err
	}()
	for i.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
		time.Sleep(10 * time.Millisecond) // until the sign-in waits for the reset
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; kindOf(err) != fault.Unauthenticated {
		t.Errorf("SignIn = %v, want it refused", err)
	}
	if n := i.count(t, `SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions outlive the reset", n)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	w, err := i.CreateWorkspace(t.Context(), cli, "Team", ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	signIn := func() string {
		t.Helper()
		token, _, err := i.SignIn(t.Context(), from("192.0.2.1"), "ADA@example.com", password, "agent\x00", "")
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	alive := func(token string) bool {
		t.Helper()
		session, err := i.Session(t.Context(), token)
		if err != nil && kindOf(err) != fault.Unauthenticated {
			t.Fatal(err)
		}
		return err == nil && session.User.ID == ada.ID
	}
	token := signIn()
	if !alive(token) || alive("") || alive("x") || alive(strings.Repeat("x", 1000)) {
		t.Error("the session is not the token's alone")
	}
	if n := i.count(t, `SELECT count(*) FROM sessions WHERE encode(token_hash, 'escape') LIKE '%' || $1 || '%'`, token); n != 0 {
		t.Error("the token itself is stored")
	}
	for _, move := range []string{
		`UPDATE sessions SET last_seen_at = now() - interval '31 minutes'`,
		`UPDATE sessions SET expires_at = now()`,
		`UPDATE users SET disabled_at = now()`,
	} {
		i.raw.MustExec(`UPDATE users SET disabled_at = NULL`)
		token := signIn()
		i.raw.MustExec(move)
		if alive(token) {
			t.Errorf("the session lives after %s", move)
		}
	}
	i.raw.MustExec(`UPDATE users SET disabled_at = NULL`)

	token = signIn()
	if err := i.SignOut(t.Context(), from("192.0.2.1"), token); err != nil || alive(token) {
		t.Errorf("after signing out: %v, alive %v", err, alive(token))
	}
	one, two := signIn(), signIn()
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name, Address: "192.0.2.1"}
	if _, err := i.ChangePassword(t.Context(), by, ada, "wrong", "another long password 9", "x"); kindOf(err) != fault.Invalid {
		t.Errorf("a change with the wrong current password = %v", err)
	}
	fresh, err := i.ChangePassword(t.Context(), by, ada, password, "another long password 9", "x")
	if err != nil || alive(one) || alive(two) || !alive(fresh) {
		t.Errorf("after a change: %v, old alive %v %v, new alive %v", err, alive(one), alive(two), alive(fresh))
	}
	if _, err := i.ResetUser(t.Context(), cli, ada.Email); err != nil || alive(fresh) {
		t.Errorf("after a reset: %v, alive %v", err, alive(fresh))
	}
	for _, chain := range []string{"instance", w.ID.String()} {
		if n := i.count(t, `SELECT count(*) FROM audit_log WHERE chain = $1 AND action = 'user.signed_in'`, chain); n != 7 {
			t.Errorf("the chain %s has %d sign-ins, want 7", chain, n)
		}
	}
}

// TestLastOwnerStays: twenty owners leave at once, and one remains.
func TestLastOwnerStays(t *testing.T) {
	t.Parallel()
	i := open(t)
	first := i.user(t, "o0@example.com", "")
	w, err := i.CreateWorkspace(t.Context(), cli, "Team", first.ID)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 20; n++ {
		i.user(t, fmt.Sprintf("o%d@example.com", n), "")
		if err := i.AddMember(t.Context(), cli, w.Slug, fmt.Sprintf("o%d@example.com", n), account.Owner); err != nil {
			t.Fatal(err)
		}
	}
	var stayed atomic.Int32
	var leavers sync.WaitGroup
	for n := range 20 {
		leavers.Go(func() {
			err := i.RemoveMember(t.Context(), cli, w.Slug, fmt.Sprintf("o%d@example.com", n))
			if kindOf(err) == fault.Conflict {
				stayed.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	leavers.Wait()
	if n := i.count(t, `SELECT count(*) FROM memberships WHERE role = 'owner'`); n != 1 || stayed.Load() != 1 {
		t.Errorf("%d owners remain, and %d were kept; want 1 and 1", n, stayed.Load())
	}
	if err := i.DeleteUser(t.Context(), cli, i.owner(t)); kindOf(err) != fault.Conflict {
		t.Errorf("deleting the last owner = %v, want a conflict", err)
	}
}

func (i instance) owner(t *testing.T) (id [16]byte) {
	t.Helper()
	var text string
	if err := i.raw.Get(&text, `SELECT user_id::text FROM memberships WHERE role = 'owner'`); err != nil {
		t.Fatal(err)
	}
	users, err := i.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range users {
		if user.ID.String() == text {
			return user.ID
		}
	}
	t.Fatal(errors.New("no owner"))
	return id
}

// TestWhoMayDoWhat is the table of roles.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	all := []account.Role{account.Owner, account.Admin, account.RoleMember, account.Auditor}
	for permission, want := range map[account.Permission][]account.Role{
		account.ViewKeys: all, account.ViewKeyTrail: all,
		account.ViewPayloads:    all[:3],
		account.CreateKeys:      all[:3],
		account.EditKeys:        all[:3],
		account.ImportKeys:      all[:2],
		account.ManageMembers:   all[:2],
		account.ManageWorkspace: all[:2],
		account.DeleteWorkspace: all[:1],
	} {
		var got []account.Role
		for _, role := range append(all, "king") {
			if (account.Member{Role: role}).Can(permission) {
				got = append(got, role)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("permission %d (-want +got):\n%s", permission, diff)
		}
	}
	auditor := account.Member{Role: account.Auditor, Workspace: account.Workspace{AuditorsSeePayloads: true}}
	if !auditor.Can(account.ViewPayloads) {
		t.Error("an auditor sees no payloads where the workspace says so")
	}
}
