package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

const (
	// SessionIdle is how long a session lives without a request.
	SessionIdle = 30 * time.Minute
	// SessionLife is how long a session lives at all.
	SessionLife = 12 * time.Hour
	// FreshFor is how long somebody counts as having just said who they are.
	FreshFor = 10 * time.Minute
)

// A Session is somebody signed in.
type Session struct {
	ID              uuid.UUID `db:"id"` // names it; only the token opens it
	User            User      `db:"user"`
	CreatedAt       time.Time `db:"created_at"`
	AuthenticatedAt time.Time `db:"authenticated_at"` // the last proof of who it is
	Fresh           bool      `db:"fresh"`            // that was within FreshFor
}

var errSignedOut = fault.New(fault.Unauthenticated, "Sign in to go on.")

// newToken returns 256 random bits as text, and the hash that is stored of them.
func newToken() (token string, hash []byte) {
	var raw [32]byte
	rand.Read(raw[:])
	token = base64.RawURLEncoding.EncodeToString(raw[:])
	return token, tokenHash(token)
}

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// newSession signs a user in and returns the session's token.
func newSession(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, methods, address, userAgent string) (string, error) {
	const insert = `
		INSERT INTO sessions (token_hash, id, user_id, methods, address, user_agent, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))`
	const seen = `UPDATE users SET last_seen_at = now() WHERE id = $1`
	token, hash := newToken()
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, insert, hash, id, user, methods, address, printable(userAgent, 400), SessionLife.Seconds()); err != nil {
		return "", err
	}
	_, err = tx.ExecContext(ctx, seen, user)
	return token, err
}

// Session returns whose token it is. A token that is unknown, idle for too long
// or past its life gives a fault Unauthenticated. That it was seen is written at
// most once a minute.
func (s *Store) Session(ctx context.Context, token string) (Session, error) {
	session, stale, err := s.session(ctx, token)
	if err != nil || !stale {
		return session, err
	}
	return session, s.see(ctx, token, session.User.ID)
}

// SessionUnseen is Session for what a page asks by itself: it keeps no session
// alive, or an open page would do so for as long as sessions can live.
func (s *Store) SessionUnseen(ctx context.Context, token string) (Session, error) {
	session, _, err := s.session(ctx, token)
	return session, err
}

// session also tells whether it is time to write that the token was seen.
func (s *Store) session(ctx context.Context, token string) (session Session, stale bool, err error) {
	const query = `
		SELECT s.id, s.created_at, s.authenticated_at, s.last_seen_at < now() - interval '1 minute' AS stale,
			s.authenticated_at > now() - make_interval(secs => $3) AS fresh, ` + userInRow + `
		FROM sessions AS s JOIN users AS u ON u.id = s.user_id
		WHERE s.token_hash = $1 AND s.expires_at > now() AND s.last_seen_at > now() - make_interval(secs => $2) AND u.disabled_at IS NULL`
	if token == "" || len(token) > 200 {
		return Session{}, false, errSignedOut
	}
	var row struct {
		Session
		Stale bool `db:"stale"`
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, query, tokenHash(token), SessionIdle.Seconds(), FreshFor.Seconds())
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, false, errSignedOut
	}
	if err != nil {
		return Session{}, false, fmt.Errorf("find session: %w", err)
	}
	return row.Session, row.Stale, nil
}

func (s *Store) see(ctx context.Context, token string, user uuid.UUID) error {
	const session = `UPDATE sessions SET last_seen_at = now() WHERE token_hash = $1`
	const person = `UPDATE users SET last_seen_at = now() WHERE id = $1`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, session, tokenHash(token)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, person, user)
		return err
	})
	if err != nil {
		return fmt.Errorf("move last seen: %w", err)
	}
	return nil
}

// SignOut ends a session. An unknown token is signed out already.
func (s *Store) SignOut(ctx context.Context, by audit.Actor, token string) error {
	const remove = `DELETE FROM sessions WHERE token_hash = $1 RETURNING user_id`
	const query = `SELECT ` + userColumns + ` FROM users AS u WHERE u.id = $1`
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		var id uuid.UUID
		err := tx.GetContext(ctx, &id, remove, tokenHash(token))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var user User
		if err := tx.GetContext(ctx, &user, query, id); err != nil {
			return err
		}
		return recordSignIn(ctx, tx, by, audit.SignedOut, user)
	})
	return conflict(err, "sign out")
}

// ageSession makes a session one of which nobody has just said who they are.
func ageSession(ctx context.Context, tx *sqlx.Tx, token string) error {
	const update = `UPDATE sessions SET authenticated_at = now() - make_interval(secs => $2) WHERE token_hash = $1`
	_, err := tx.ExecContext(ctx, update, tokenHash(token), FreshFor.Seconds())
	return err
}

func endSession(ctx context.Context, tx *sqlx.Tx, token string) error {
	const remove = `DELETE FROM sessions WHERE token_hash = $1`
	_, err := tx.ExecContext(ctx, remove, tokenHash(token))
	return err
}

// endSessions ends all sessions of a user, and those that wait for a code.
func endSessions(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	const remove = `DELETE FROM sessions WHERE user_id = $1`
	const steps = `DELETE FROM sign_in_steps WHERE user_id = $1`
	if _, err := tx.ExecContext(ctx, remove, user); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, steps, user)
	return err
}

// recordSignIn adds an entry of what a user did by signing in or out.
func recordSignIn(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, user User) error {
	return recordEverywhere(ctx, tx, by.As(user.ID, user.Name), action, user, nil, nil)
}

// recordEverywhere adds an entry about a user to the chain of each workspace of
// theirs and to the instance's, in the order that Record asks for.
func recordEverywhere(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, user User, before, after audit.Fields) error {
	const query = `SELECT workspace_id FROM memberships WHERE user_id = $1 ORDER BY workspace_id::text`
	var chains []uuid.UUID
	if err := tx.SelectContext(ctx, &chains, query, user.ID); err != nil {
		return err
	}
	target := audit.Target{Kind: "user", ID: user.ID.String(), Label: user.Name}
	for _, chain := range append(chains, uuid.Nil) {
		if err := audit.Record(ctx, tx, by.In(chain), action, target, before, after); err != nil {
			return err
		}
	}
	return nil
}

// Sweep removes sessions, links and counted failures whose time is over.
func (s *Store) Sweep(ctx context.Context) error {
	statements := []string{
		`DELETE FROM sessions WHERE expires_at <= now() OR last_seen_at <= now() - interval '1 day'`,
		`DELETE FROM sign_in_steps WHERE expires_at <= now()`,
		`DELETE FROM second_factors WHERE confirmed_at IS NULL AND created_at <= now() - interval '1 day'`,
		`DELETE FROM one_time_links WHERE expires_at <= now() - interval '7 days'`,
		`DELETE FROM sign_in_failures WHERE last_at <= now() - interval '1 day' AND subject NOT LIKE 'refused %'`, // those SumRefused takes
	}
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	return conflict(err, "sweep sessions")
}
