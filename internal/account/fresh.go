package account

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// How a session was opened, as it is stored.
const (
	byPassword = "password"
	byCode     = "password,code"
)

// stepLife is how long a right password waits for its code.
const stepLife = 10 * time.Minute

// A CodeNeeded says that a password was right and a code is still to come. Its token
// opens nothing by itself.
type CodeNeeded struct{ Token string }

func (*CodeNeeded) Error() string { return "a code is needed" }

var (
	errStepGone = fault.New(fault.Unauthenticated, "Signing in took too long. Start again with your password.")
	errNotYours = fault.On("password", fault.Invalid, "That is not your password.")
)

// stepOf notes that a code is to come, nil if none is needed.
func stepOf(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) (*CodeNeeded, error) {
	const query = `SELECT ` + hasFactor + ` FROM users AS u WHERE u.id = $1`
	const insert = `
		INSERT INTO sign_in_steps (token_hash, user_id, password_of, expires_at)
		SELECT $1, id, password_changed_at, now() + make_interval(secs => $3) FROM users WHERE id = $2`
	var needed bool
	if err := tx.GetContext(ctx, &needed, query, user); err != nil || !needed {
		return nil, err
	}
	token, hash := newToken()
	_, err := tx.ExecContext(ctx, insert, hash, user, stepLife.Seconds())
	return &CodeNeeded{token}, err
}

// stepUser returns who gave a right password and is to give a code.
func stepUser(ctx context.Context, tx *sqlx.Tx, step string) (user User, err error) {
	const query = `
		SELECT ` + userColumns + ` FROM sign_in_steps AS t JOIN users AS u ON u.id = t.user_id
		WHERE t.token_hash = $1 AND t.expires_at > now() AND u.disabled_at IS NULL
			AND u.password_hash IS NOT NULL AND u.password_changed_at IS NOT DISTINCT FROM t.password_of`
	err = tx.GetContext(ctx, &user, query, tokenHash(step))
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, errStepGone
	}
	return user, err
}

// CheckStep says whether a code may still be given for a right password.
func (s *Store) CheckStep(ctx context.Context, step string) error {
	err := s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		_, err := stepUser(ctx, tx, step)
		return err
	})
	return conflict(err, "find a step")
}

// EnterCode is the second step of SignIn, whose token is step. A code is that of an
// authenticator app or a recovery code, and good once.
func (s *Store) EnterCode(ctx context.Context, by audit.Actor, step, code, userAgent, old string) (token string, err error) {
	const done = `DELETE FROM sign_in_steps WHERE token_hash = $1 RETURNING true`
	var user User
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		user, err = stepUser(ctx, tx, step)
		return err
	})
	if err != nil {
		return "", conflict(err, "enter code")
	}
	err = s.withCode(ctx, by, user, code, func(tx *sqlx.Tx) error {
		if _, err := stepUser(ctx, tx, step); err != nil {
			return err
		}
		var used bool
		if err := tx.GetContext(ctx, &used, done, tokenHash(step)); errors.Is(err, sql.ErrNoRows) {
			return errStepGone
		} else if err != nil {
			return err
		}
		token, err = enter(ctx, tx, by, user, byCode, userAgent, old)
		return err
	})
	if err != nil {
		return "", conflict(err, "enter code")
	}
	return token, nil
}

// withCode does act if code is right, in one transaction with using it up. A wrong
// one is counted and noted.
func (s *Store) withCode(ctx context.Context, by audit.Actor, user User, code string, act func(*sqlx.Tx) error) error {
	subjects := s.codeSubjects(user, by.Address, code)
	if err := s.attempt(ctx, subjects); err != nil {
		return onCode(err)
	}
	const lock = `SELECT true FROM users WHERE id = $1 FOR NO KEY UPDATE` // before the factor's row, as a reset does
	right := false
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) (err error) {
		var locked bool
		if err := tx.GetContext(ctx, &locked, lock, user.ID); err != nil {
			return noUser(err)
		}
		if right, err = s.useCode(ctx, tx, by, user, code); err != nil || !right {
			return err
		}
		if err := forgive(ctx, tx, subjects); err != nil {
			return err
		}
		return act(tx)
	})
	if err != nil {
		s.takeBack(ctx, subjects)
		return err
	}
	if !right {
		return s.refuseAs(ctx, subjects, user, errWrongCode)
	}
	return nil
}

// onCode blames the field for a code that came too soon.
func onCode(err error) error {
	if f, ok := fault.Of(err); ok && f.Kind == fault.TooMany {
		return fault.On("code", f.Kind, f.Message)
	}
	return err
}

// refuseAs notes a refused sign-in and says why.
func (s *Store) refuseAs(ctx context.Context, of subjects, user User, why *fault.Error) error {
	if err := s.refuse(ctx, of, user); !errors.Is(err, errWrong) {
		return err
	}
	return why
}

// Confirm lets somebody who is signed in say again who they are, with the password
// and, of a user with a second factor, a code: their session is fresh then. Wrong ones
// count like those of a sign-in.
func (s *Store) Confirm(ctx context.Context, by audit.Actor, user User, token, password, code string) error {
	const update = `UPDATE sessions SET authenticated_at = now() WHERE token_hash = $1 AND user_id = $2 RETURNING true`
	subjects := s.subjects(user.Email, by.Address)
	if err := s.attempt(ctx, subjects); err != nil {
		return err
	}
	stored, err := s.checkOwn(ctx, user.ID, password)
	if errors.Is(err, errNotYours) {
		return s.refuseAs(ctx, subjects, user, errNotYours)
	}
	if err != nil {
		s.takeBack(ctx, subjects)
		return conflict(err, "confirm sign-in")
	}
	renew := func(tx *sqlx.Tx) error {
		if err := stillHolds(ctx, tx, user.ID, stored); err != nil {
			return err
		}
		if err := forgive(ctx, tx, subjects); err != nil {
			return err
		}
		var there bool
		if err := tx.GetContext(ctx, &there, update, tokenHash(token), user.ID); errors.Is(err, sql.ErrNoRows) {
			return errSignedOut
		} else if err != nil {
			return err
		}
		return recordSignIn(ctx, tx, by, audit.SignInConfirmed, user)
	}
	if user.SecondFactor {
		err = s.withCode(ctx, by, user, code, renew)
	} else {
		err = s.db.InTx(postgres.Everywhere(ctx), renew)
	}
	if err != nil {
		s.takeBack(ctx, subjects)
	}
	return conflict(err, "confirm sign-in")
}

// checkOwn returns the stored hash of a user's password if it is the right one.
func (s *Store) checkOwn(ctx context.Context, user uuid.UUID, password string) (stored string, err error) {
	const query = `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &stored, query, user) })
	if err != nil {
		return "", noUser(err)
	}
	right, err := s.verify(ctx, stored, password)
	if err == nil && !right {
		err = errNotYours
	}
	return stored, err
}

// Hold seals what somebody was doing while they are asked who they are, so that it
// can wait in the page: only the session with the token can go on with it.
func (s *Store) Hold(token string, doing []byte) []byte {
	return s.box.Seal(doing, "held", hex.EncodeToString(tokenHash(token)))
}

var errNotHeld = fault.New(fault.Invalid, "What you were doing is no longer known. Go back to its page and begin again.")

// Held opens what Hold sealed for the same session.
func (s *Store) Held(token string, held []byte) ([]byte, error) {
	doing, err := s.box.Open(held, "held", hex.EncodeToString(tokenHash(token)))
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", errNotHeld, err)
	}
	return doing, nil
}
