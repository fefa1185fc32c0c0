package account_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/pgtest"
)

const password = "heron lamp tuesday 7"

var cli = audit.Actor{Kind: audit.CLI, Label: "command line", Address: "192.0.2.1"}

// from is somebody who signs in from an address.
func from(address string) audit.Actor { return audit.Actor{Address: address} }

// An instance is a store with the database behind it.
type instance struct {
	*account.Store
	raw *sqlx.DB
}

func open(t *testing.T) instance {
	t.Helper()
	db := pgtest.New(t)
	return instance{account.NewStore(db.Console(), pgtest.Box(t), pgtest.Log(t)), db.Raw()}
}

// user makes a user; a password costs a hash, so only those have one who sign in.
func (i instance) user(t *testing.T, email, password string) account.User {
	t.Helper()
	user, _, err := i.CreateUser(t.Context(), cli, email, "Ada Okonkwo", password)
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func (i instance) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := i.raw.Get(&n, query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

func (i instance) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := i.raw.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}

// entries counts the entries of a chain about an action.
func (i instance) entries(t *testing.T, chain uuid.UUID, action audit.Action) int {
	t.Helper()
	return i.count(t, `SELECT count(*) FROM audit_log WHERE chain = $1 AND action = $2`, audit.ChainOf(chain), action)
}

// kind tells the kind of the fault that err carries: 0 without an error.
func kind(t *testing.T, err error) fault.Kind {
	t.Helper()
	if err == nil {
		return 0
	}
	f, known := fault.Of(err)
	if !known {
		t.Errorf("an error without a fault: %v", err)
	}
	return f.Kind
}

// race calls f n times at once and returns how often it succeeded.
func race(n int, f func(i int) error) int {
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if f(i) == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	return int(won.Load())
}

func TestSetUpHappensOnce(t *testing.T) {
	t.Parallel()
	i := open(t)
	var tokens [2]string
	for n := range tokens {
		token, err := i.SetupLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.CheckLink(t.Context(), account.PurposeSetUp, token); err != nil {
			t.Fatalf("a look at a new link: %v", err)
		}
		tokens[n] = token
	}
	won := race(20, func(n int) error {
		owner := account.NewUser{Name: "Ada", Email: fmt.Sprintf("ada%d@example.com", n), Password: password}
		_, _, err := i.SetUp(context.WithoutCancel(t.Context()), from("192.0.2.1"), tokens[n%2], owner, "Acme", "test")
		if err != nil {
			kind(t, err)
		}
		return err
	})
	if won != 1 {
		t.Errorf("%d of 20 set-ups succeeded, want 1", won)
	}
	for table, want := range map[string]int{"users": 1, "workspaces": 1, "memberships": 1, "sessions": 1} {
		if got := i.count(t, "SELECT count(*) FROM "+table); got != want {
			t.Errorf("%d rows in %s, want %d", got, table, want)
		}
	}
	for _, action := range []audit.Action{audit.InstanceSetUp, audit.UserCreated, audit.SignedIn} {
		if got := i.entries(t, uuid.Nil, action); got != 1 {
			t.Errorf("%d entries %s, want 1", got, action)
		}
	}
	if _, err := i.SetupLink(t.Context()); kind(t, err) != fault.Conflict {
		t.Errorf("another set-up link: %v, want a conflict", err)
	}
}

func TestLinkIsUsedOnce(t *testing.T) {
	t.Parallel()
	i := open(t)
	_, link, err := i.CreateUser(t.Context(), cli, "ada@example.com", "Ada", "")
	if err != nil {
		t.Fatal(err)
	}
	won := race(10, func(int) error {
		_, err := i.ChoosePassword(t.Context(), from("192.0.2.1"), link, password)
		return err
	})
	if won != 1 {
		t.Errorf("a link was used %d times, want once", won)
	}
	if got := i.entries(t, uuid.Nil, audit.PasswordChanged); got != 1 {
		t.Errorf("%d entries of a changed password, want 1", got)
	}
	reset, err := i.ResetUser(t.Context(), cli, "ADA@example.com")
	if err != nil {
		t.Fatal(err)
	}
	i.exec(t, `UPDATE one_time_links SET expires_at = now()`)
	if _, err := i.ChoosePassword(t.Context(), cli, reset, password); kind(t, err) != fault.NotFound {
		t.Errorf("a link past its time: %v, want NotFound", err)
	}
}

func TestHostilePeopleAreFaults(t *testing.T) {
	t.Parallel()
	i := open(t)
	i.user(t, "ada@example.com", "")
	_, _, err := i.CreateUser(t.Context(), cli, "ADA@Example.com", "Ada", "")
	if f, _ := fault.Of(err); kind(t, err) != fault.Conflict || f.Field != "email" {
		t.Errorf("the same address in capitals: %v, want a conflict on email", err)
	}
	for n, text := range []string{"", " ", "\x00", "a\x00@example.com", "\xff\xfe", "\xff@example.com", "Ada\u200b", "A\u2028da", strings.Repeat("x", 1<<20)} {
		if _, _, err := i.CreateUser(t.Context(), cli, text, "Ada", ""); kind(t, err) == 0 {
			t.Errorf("e-mail %.20q was taken", text)
		}
		if _, _, err := i.CreateUser(t.Context(), cli, fmt.Sprintf("bob%d@example.com", n), text, ""); kind(t, err) == 0 {
			t.Errorf("name %.20q was taken", text)
		}
		if _, err := i.ResetUser(t.Context(), cli, text); kind(t, err) != fault.NotFound {
			t.Errorf("reset of %.20q: %v, want NotFound", text, err)
		}
		if _, err := i.CheckLink(t.Context(), account.PurposePassword, text); kind(t, err) != fault.NotFound {
			t.Errorf("link %.20q: %v, want NotFound", text, err)
		}
		if _, err := i.Session(t.Context(), text); kind(t, err) != fault.Unauthenticated {
			t.Errorf("session %.20q: %v, want Unauthenticated", text, err)
		}
		if _, err := i.Workspace(t.Context(), text); kind(t, err) != fault.NotFound {
			t.Errorf("workspace %.20q: %v, want NotFound", text, err)
		}
	}
}
