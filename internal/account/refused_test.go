package account_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// refusals are the entries of refused sign-ins from an address: how many, and what
// they add up to, however the minutes fell.
func (i instance) refusals(t *testing.T, address string) (entries, count, accounts int) {
	t.Helper()
	var texts []string
	if err := i.raw.Select(&texts, `SELECT after FROM audit_log WHERE chain = 'instance' AND action = $1 AND address = $2`, audit.SignInRefused, address); err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		var after struct{ Count, Accounts int }
		if err := json.Unmarshal([]byte(text), &after); err != nil {
			t.Fatal(err)
		}
		count, accounts = count+after.Count, accounts+after.Accounts
	}
	return len(texts), count, accounts
}

func (i instance) guess(t *testing.T, address, email string) {
	t.Helper()
	if _, _, err := i.SignIn(t.Context(), from(address), email, "not the password", "test", ""); kindOf(err) != fault.Unauthenticated {
		t.Fatal(err)
	}
}

// TestRefusedSignInsAreSummed: a flood of guesses leaves one entry a minute and
// address that tells of all of them, and an unknown address stands nowhere in plain
// text.
func TestRefusedSignInsAreSummed(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	for n := range 10 {
		i.guess(t, "203.0.113.9", fmt.Sprintf("stranger%d@elsewhere.example", n))
	}
	for range 4 {
		i.guess(t, "203.0.113.10", ada.Email)
	}
	i.guess(t, "203.0.113.9", ada.Email)

	i.raw.MustExec(`UPDATE sign_in_failures SET last_at = now() WHERE subject LIKE 'refused %'`) // however slow this machine is
	if err := i.SumRefused(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries, _, _ := i.refusals(t, "203.0.113.9"); entries != 0 {
		t.Errorf("%d entries before the minute is over", entries)
	}
	i.raw.MustExec(`UPDATE sign_in_failures SET last_at = last_at - interval '2 days' WHERE subject LIKE 'refused %'`)
	if err := i.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if won := race(5, func(int) error { return i.SumRefused(t.Context()) }); won != 5 {
		t.Errorf("%d of 5 sums at once succeeded", won)
	}
	if entries, count, accounts := i.refusals(t, "203.0.113.9"); entries < 1 || entries > 2 || count != 11 || accounts != 11 {
		t.Errorf("11 guesses at 11 accounts left %d entries of %d guesses at %d accounts", entries, count, accounts)
	}
	entries, count, accounts := i.refusals(t, "203.0.113.10")
	if entries < 1 || entries > 2 || count != 4 || accounts != entries {
		t.Errorf("4 guesses at one account left %d entries of %d guesses at %d accounts", entries, count, accounts)
	}
	if n := i.count(t, `SELECT count(*) FROM audit_log WHERE target_id = $1 AND target_label = $2 AND action = 'user.sign_in_refused'`, ada.ID, ada.Name); n != entries {
		t.Errorf("%d of the %d entries name the one account", n, entries)
	}
	for _, table := range []string{"audit_log", "sign_in_failures"} {
		if n := i.count(t, `SELECT count(*) FROM `+table+` AS r WHERE r::text LIKE '%stranger%'`); n != 0 {
			t.Errorf("%s names who tried", table)
		}
	}
	if n := i.count(t, `SELECT count(*) FROM sign_in_failures WHERE subject LIKE 'refused %'`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestRightPasswordIsNoFailure: what went wrong after a right password, or before
// any was looked at, counts as no guess, and forgives none.
func TestRightPasswordIsNoFailure(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name, Address: "203.0.113.9"}
	failures := func() int {
		t.Helper()
		return i.count(t, `SELECT coalesce(sum(failures), 0) FROM sign_in_failures WHERE subject NOT LIKE 'refused %'`)
	}
	for n := range 8 {
		if _, err := i.ChangePassword(t.Context(), by, ada, password, "short", "x"); kindOf(err) != fault.Invalid {
			t.Errorf("change %d to a weak password = %v", n, err)
		}
	}
	if n := failures(); n != 0 {
		t.Errorf("the right password with a weak new one counts as %d failures", n)
	}
	i.guess(t, "203.0.113.9", ada.Email)
	if n := failures(); n != 2 { // of the pair and of the address
		t.Fatalf("one guess counts as %d failures", n)
	}
	leave := account.KeepBusy(i.Store)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, _, err := i.SignIn(t.Context(), from("203.0.113.9"), ada.Email, password, "test", ""); kindOf(err) != fault.Busy {
			t.Errorf("signing in while busy = %v", err)
		}
	})
	waiting.Go(func() {
		if _, err := i.ChangePassword(t.Context(), by, ada, password, "another long password 9", "x"); kindOf(err) != fault.Busy {
			t.Errorf("a change while busy = %v", err)
		}
	})
	waiting.Wait()
	leave()
	if n := failures(); n != 2 {
		t.Errorf("after being turned away as busy %d failures are counted, want the 2 of the guess", n)
	}
	if n := i.count(t, `SELECT count(*) FROM sign_in_failures WHERE blocked_until > now()`); n != 0 {
		t.Errorf("%d are blocked", n)
	}
}

// TestTriesAtOnce: who signs in at the same moment as somebody else from there waits
// for the other's turn, and is not taken for one who failed too often.
func TestTriesAtOnce(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	i.guess(t, "203.0.113.9", "somebody@example.com")
	other := i.raw.MustBegin()
	defer other.Rollback()
	other.MustExec(`SELECT FROM sign_in_failures FOR UPDATE`)
	done := make(chan error, 1)
	go func() {
		_, _, err := i.SignIn(t.Context(), from("203.0.113.9"), ada.Email, password, "test", "")
		done <- err
	}()
	for i.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
		select {
		case err := <-done:
			t.Fatalf("signing in waited for nobody: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	other.MustExec(`UPDATE sign_in_failures SET failures = failures + 1, blocked_until = clock_timestamp()`)
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("signing in beside another = %v", err)
	}
}
