// Package demo fills an empty database with believable keys and traffic, to try
// the console on. It owns no table: people and keys are made through their
// stores, and only the past, which no store can make, is written directly.
//
// What it writes obeys the rules of real data: counts equal rows, and are left of
// what is older than the rows.
package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

const (
	days       = 30
	deliveries = 50_000
)

// A Login is how to sign in to the demonstration.
type Login struct{ Email, Password string }

// A filler knows what it has made so far.
type filler struct {
	accounts *account.Store
	keys     *keyring.Store
	db       *postgres.DB // maintenance: writing the past takes longer than a request may
	random   *rand.Rand
	now      time.Time

	by     audit.Actor
	people []uuid.UUID
}

// Fill makes a workspace with 60 keys and 50,000 deliveries over the 30 days
// before now, and returns how its owner signs in.
func Fill(ctx context.Context, accounts *account.Store, keys *keyring.Store, db *postgres.DB, now time.Time) (Login, error) {
	f := &filler{
		accounts: accounts, keys: keys, db: db, now: now.UTC(),
		random: rand.New(rand.NewPCG(20261123, 1)), // the same every time
		by:     audit.Actor{Kind: audit.System, Label: "demonstration"},
	}
	login := Login{Email: "ada@harbourpine.example", Password: newPassword()}
	if err := f.addPeople(ctx, login); err != nil {
		return login, fmt.Errorf("make the demonstration's people: %w", err)
	}
	made, err := f.addKeys(ctx)
	if err != nil {
		return login, fmt.Errorf("make the demonstration's keys: %w", err)
	}
	if err := f.addTraffic(ctx, made); err != nil {
		return login, fmt.Errorf("make the demonstration's traffic: %w", err)
	}
	return login, nil
}

func newPassword() string {
	id := uuid.New().String()
	return "demo-" + id[:8] + "-" + id[24:]
}

func (f *filler) addPeople(ctx context.Context, login Login) error {
	ada, _, err := f.accounts.CreateUser(ctx, f.by, login.Email, "Ada Okonkwo", login.Password)
	if err != nil {
		return err
	}
	workspace, err := f.accounts.CreateWorkspace(ctx, f.by, "Harbour & Pine", ada.ID)
	if err != nil {
		return err
	}
	f.by.WorkspaceID = workspace.ID
	f.people = []uuid.UUID{ada.ID}
	for _, person := range []struct {
		name, email string
		role        account.Role
	}{
		{"Mateo Lindqvist", "mateo@harbourpine.example", account.Admin},
		{"Priya Raman", "priya@harbourpine.example", account.RoleMember},
		{"Tomasz Zieliński", "tomasz@harbourpine.example", account.RoleMember},
		{"Ines Duarte", "ines@harbourpine.example", account.Auditor},
	} {
		user, _, err := f.accounts.CreateUser(ctx, f.by, person.email, person.name, "")
		if err != nil {
			return err
		}
		if err := f.accounts.AddMember(ctx, f.by, workspace.Slug, person.email, person.role); err != nil {
			return err
		}
		if person.role != account.Auditor {
			f.people = append(f.people, user.ID)
		}
	}
	_, err = f.accounts.CreateWorkspace(ctx, f.by, "Sandbox", ada.ID)
	return err
}

// A sender is a key with the traffic that comes in with it.
type sender struct {
	profile
	key       keyring.Key
	createdAt time.Time
	addresses []string
}

func (f *filler) addKeys(ctx context.Context) ([]sender, error) {
	var made []sender
	for i, p := range profiles() {
		issued, err := f.keys.Issue(ctx, f.by, f.draft(i, p), "")
		if err != nil {
			return nil, err
		}
		s := sender{profile: p, key: issued.Key, addresses: f.addresses()}
		s.createdAt = f.now.Add(-time.Duration(p.age*24*float64(time.Hour)) - time.Duration(f.random.IntN(8*3600))*time.Second)
		if p.rotated > 0 {
			if _, err := f.keys.Rotate(ctx, f.by, issued.Key.ID, keyring.Rotation{Overlap: 24 * time.Hour, Reason: "yearly rotation"}); err != nil {
				return nil, err
			}
		}
		if p.inactive {
			if _, err := f.keys.Deactivate(ctx, f.by, issued.Key.ID, "not used any more"); err != nil {
				return nil, err
			}
		}
		made = append(made, s)
	}
	return made, f.backdate(ctx, made)
}

func (f *filler) draft(i int, p profile) keyring.Draft {
	owner := f.people[i%len(f.people)]
	draft := keyring.Draft{
		Name: p.name, OwnerID: &owner, Labels: p.labels, Note: p.note,
		RequireSignature: p.signed, RateSeconds: 60, IdenticalBodies: "flag", Log: "full",
	}
	if p.expiresIn != 0 {
		at := f.now.Add(time.Duration(p.expiresIn) * 24 * time.Hour).Truncate(24 * time.Hour).Add(24*time.Hour - time.Second)
		draft.ExpiresAt = &at
	}
	if p.limit > 0 {
		draft.RateLimit = &p.limit
	}
	return draft
}

func (f *filler) addresses() []string {
	var list []string
	for range 1 + f.random.IntN(4) {
		list = append(list, fmt.Sprintf("198.51.100.%d", 1+f.random.IntN(254)))
	}
	return list
}

// backdate moves the keys to the days they were made on, gives each a maker, and
// moves what happened to some of them since.
func (f *filler) backdate(ctx context.Context, made []sender) error {
	return f.db.InTx(ctx, func(tx *sqlx.Tx) error {
		for i, s := range made {
			for _, change := range f.changes(s, f.people[i%len(f.people)]) {
				if _, err := tx.ExecContext(ctx, change.statement, append([]any{s.key.ID}, change.args...)...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// A change is a statement about a key, whose id is its first argument.
type change struct {
	statement string
	args      []any
}

func (f *filler) changes(s sender, maker uuid.UUID) []change {
	const created = `
		UPDATE webhook_keys SET created_at = $2, created_by = $3 WHERE id = $1`
	const credentials = `
		UPDATE webhook_key_credentials SET created_at = $2 WHERE webhook_key_id = $1`
	const ownerless = `UPDATE webhook_keys SET created_by = NULL, owner_id = NULL WHERE id = $1`
	const used = `UPDATE webhook_keys SET last_used_at = $2 WHERE id = $1`
	const expired = `UPDATE webhook_keys SET expires_at = $2 WHERE id = $1`
	const replaced = `
		UPDATE webhook_key_credentials SET superseded_at = $2::timestamptz, expires_at = $2::timestamptz + interval '24 hours' WHERE webhook_key_id = $1 AND superseded_at IS NOT NULL`
	const replacing = `
		UPDATE webhook_key_credentials SET created_at = $2 WHERE webhook_key_id = $1 AND superseded_at IS NULL`
	list := []change{{created, []any{s.createdAt, maker}}, {credentials, []any{s.createdAt}}}
	if s.ownerless {
		list = append(list, change{ownerless, nil})
	}
	if s.idle > 0 {
		list = append(list, change{used, []any{f.ago(s.idle)}})
	}
	if s.expired > 0 {
		list = append(list, change{expired, []any{f.ago(s.expired)}})
	}
	if s.rotated > 0 {
		list = append(list, change{replaced, []any{f.ago(s.rotated / 24)}}, change{replacing, []any{f.ago(s.rotated / 24)}})
	}
	return list
}

// ago is so many days before now.
func (f *filler) ago(days float64) time.Time {
	return f.now.Add(-time.Duration(days * 24 * float64(time.Hour)))
}
