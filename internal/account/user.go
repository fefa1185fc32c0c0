// Package account knows people: users, how they prove who they are, the
// workspaces they belong to and as what. It owns the tables users, workspaces,
// memberships, invitations, sessions, one_time_links and sign_in_failures.
//
// Passwords and tokens are stored as hashes only, and an answer never tells
// whether an e-mail address is known.
package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// A User is a person.
type User struct {
	ID          uuid.UUID  `db:"id"            json:"id"`
	Email       string     `db:"email"         json:"email"`
	Name        string     `db:"name"          json:"name"`
	CreatedAt   time.Time  `db:"created_at"    json:"created_at"`
	DisabledAt  *time.Time `db:"disabled_at"   json:"disabled_at"`
	LastSeenAt  *time.Time `db:"last_seen_at"  json:"last_seen_at"`
	HasPassword bool       `db:"has_password"  json:"has_password"` // false: the one-time link is not used yet

	SecondFactor bool   `db:"second_factor" json:"second_factor"` // signing in takes a code too
	TimeZone     string `db:"time_zone"     json:"-"`             // in which times are shown: an IANA name, or "" for UTC
	ShortcutsOff bool   `db:"shortcuts_off" json:"-"`
}

// hasFactor says of a user u whether signing in takes a code too.
const hasFactor = `EXISTS (SELECT FROM second_factors AS f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL)`

const userColumns = `u.id, u.email, u.name, u.created_at, u.disabled_at, u.last_seen_at, u.password_hash IS NOT NULL AS has_password,
	u.time_zone, u.shortcuts_off, ` + hasFactor + ` AS second_factor`

// userInRow are the same columns of a user within something else.
const userInRow = `u.id AS "user.id", u.email AS "user.email", u.name AS "user.name", u.created_at AS "user.created_at",
	u.disabled_at AS "user.disabled_at", u.last_seen_at AS "user.last_seen_at", u.password_hash IS NOT NULL AS "user.has_password",
	u.time_zone AS "user.time_zone", u.shortcuts_off AS "user.shortcuts_off", ` + hasFactor + ` AS "user.second_factor"`

// A Store keeps people.
type Store struct {
	db     *postgres.DB
	box    *seal.Box
	log    *slog.Logger
	hashes chan struct{} // as many at once as there are processors
}

// NewStore returns a Store on db; box makes keyed hashes of e-mail addresses and
// seals second factors.
func NewStore(db *postgres.DB, box *seal.Box, log *slog.Logger) *Store {
	return &Store{db: db, box: box, log: log, hashes: make(chan struct{}, hashesAtOnce())}
}

// UserCount returns how many users there are.
func (s *Store) UserCount(ctx context.Context) (n int, err error) {
	const query = `SELECT count(*) FROM users`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, query) })
	if err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	return n, nil
}

// Users lists all users by e-mail address.
func (s *Store) Users(ctx context.Context) (users []User, err error) {
	const query = `SELECT ` + userColumns + ` FROM users AS u ORDER BY lower(u.email)`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &users, query) })
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return users, nil
}

// A NewUser is who is to be made.
type NewUser struct{ Name, Email, Password string }

// Check returns a fault that says what no user can have. No password is none that is
// wrong.
func (n NewUser) Check() error {
	if _, _, err := checkPerson(n.Email, n.Name); err != nil || n.Password == "" {
		return err
	}
	if f := checkPassword(n.Password, n.Email, n.Name); f != nil {
		return f
	}
	return nil
}

// CreateUser makes a user. Without a password it returns the token of a one-time
// link to choose one with.
func (s *Store) CreateUser(ctx context.Context, by audit.Actor, email, name, password string) (user User, link string, err error) {
	email, name, err = checkPerson(email, name)
	if err != nil {
		return User{}, "", err
	}
	phc := ""
	if password != "" {
		if phc, err = s.newPassword(ctx, password, email, name); err != nil {
			return User{}, "", err
		}
	}
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if user, err = insertUser(ctx, tx, by, email, name, phc); err != nil || phc != "" {
			return err
		}
		link, err = newLink(ctx, tx, PurposePassword, &user.ID, linkLife)
		return err
	})
	if err != nil {
		return User{}, "", conflict(err, "create user")
	}
	return user, link, nil
}

func insertUser(ctx context.Context, tx *sqlx.Tx, by audit.Actor, email, name, phc string) (User, error) {
	user, err := addUser(ctx, tx, email, name, phc)
	if err != nil {
		return User{}, err
	}
	return user, recordNewUser(ctx, tx, by, user)
}

func recordNewUser(ctx context.Context, tx *sqlx.Tx, by audit.Actor, user User) error {
	return recordUser(ctx, tx, by, audit.UserCreated, user, nil, audit.Fields{"email": user.Email, "name": user.Name})
}

// addUser adds a user without telling the trail.
func addUser(ctx context.Context, tx *sqlx.Tx, email, name, phc string) (User, error) {
	const insert = `
		INSERT INTO users AS u (id, email, name, password_hash, password_changed_at)
		VALUES ($1, $2, $3, nullif($4, ''), CASE WHEN $4 <> '' THEN now() END)
		RETURNING ` + userColumns
	id, err := uuid.NewV7()
	if err != nil {
		return User{}, err
	}
	var user User
	err = tx.GetContext(ctx, &user, insert, id, email, name, phc)
	return user, err
}

// DisableUser keeps a user out and ends their sessions. What they made stays.
func (s *Store) DisableUser(ctx context.Context, by audit.Actor, email string) error {
	const update = `UPDATE users SET disabled_at = now() WHERE id = $1 AND disabled_at IS NULL`
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		user, err := userByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, update, user.ID)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if err := endSessions(ctx, tx, user.ID); err != nil {
			return err
		}
		return recordUser(ctx, tx, by, audit.UserDisabled, user, audit.Fields{"disabled": false}, audit.Fields{"disabled": true})
	})
	return conflict(err, "disable user")
}

func userByEmail(ctx context.Context, tx *sqlx.Tx, email string) (User, error) {
	const query = `SELECT ` + userColumns + ` FROM users AS u WHERE lower(u.email) = lower($1)`
	if !utf8.ValidString(email) || strings.ContainsRune(email, 0) {
		return User{}, errNoUser
	}
	var user User
	err := tx.GetContext(ctx, &user, query, strings.TrimSpace(email))
	return user, noUser(err)
}

var errNoUser = fault.New(fault.NotFound, "There is no user with that e-mail address.")

func noUser(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errNoUser
	}
	return err
}

// recordUser adds an entry about a user to the instance's chain.
func recordUser(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, user User, before, after audit.Fields) error {
	target := audit.Target{Kind: "user", ID: user.ID.String(), Label: user.Name}
	return audit.Record(ctx, tx, by.In(uuid.Nil), action, target, before, after)
}

const (
	maxEmail = 254 // RFC 5321, 4.5.3.1.3: a path of 256 bytes less its brackets
	maxName  = 80
)

// checkPerson returns an e-mail address and a name as they will be stored, or a
// fault that blames each that is wrong.
func checkPerson(email, name string) (string, string, error) {
	var faults []*fault.Error
	email = strings.TrimSpace(email)
	if f := checkEmail(email); f != nil {
		faults = append(faults, f)
	}
	if f := checkName("name", name); f != nil {
		faults = append(faults, f)
	}
	return email, oneline.Fold(name), fault.Join(faults)
}

// checkEmail says what is wrong with an e-mail address.
func checkEmail(email string) *fault.Error {
	address, err := mail.ParseAddress(email)
	if err != nil || address.Address != email || len(email) > maxEmail || !utf8.ValidString(email) || strings.ContainsFunc(email, unicode.IsControl) {
		return fault.On("email", fault.Invalid, "Write an e-mail address like ada@example.com.")
	}
	return nil
}

// checkName says what is wrong with a name that was typed, before it is folded.
func checkName(field, name string) *fault.Error {
	switch folded := oneline.Fold(name); {
	case folded == "":
		return fault.On(field, fault.Invalid, "Write a name.")
	case utf8.RuneCountInString(folded) > maxName:
		return fault.On(field, fault.Invalid, fmt.Sprintf("The name is longer than %d characters.", maxName))
	case oneline.Hides(name):
		return fault.On(field, fault.Invalid, "The name holds a character that can't be seen. Type it anew.")
	}
	return nil
}

// conflict turns what a constraint says into a fault.
func conflict(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case postgres.Violates(err, "users_email_unique"):
		return fault.On("email", fault.Conflict, "There is a user with that e-mail address already.")
	case postgres.Violates(err, "memberships_pkey"):
		return fault.On("email", fault.Conflict, "That person belongs to the workspace already.")
	}
	if _, known := fault.Of(err); known {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// StillThere tells which of some users, by id, have not been deleted.
func (s *Store) StillThere(ctx context.Context, ids []string) (map[string]bool, error) {
	const query = `SELECT id::text FROM users WHERE id::text = ANY ($1)`
	var found []string
	err := s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &found, query, pq.Array(ids)) })
	if err != nil {
		return nil, fmt.Errorf("look for users: %w", err)
	}
	there := map[string]bool{}
	for _, id := range found {
		there[id] = true
	}
	return there, nil
}
