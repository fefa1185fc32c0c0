package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// What a one-time link is for.
const (
	PurposeSetUp    = "setup"
	PurposePassword = "password"
)

const (
	linkLife  = 72 * time.Hour
	resetLife = 30 * time.Minute
)

var errLinkGone = fault.New(fault.NotFound, "This link has been used or its time is over.")

// newLink makes a one-time link and returns its token.
func newLink(ctx context.Context, tx *sqlx.Tx, purpose string, user *uuid.UUID, life time.Duration) (string, error) {
	const insert = `
		INSERT INTO one_time_links (token_hash, purpose, user_id, expires_at)
		VALUES ($1, $2, $3, now() + make_interval(secs => $4))`
	token, hash := newToken()
	_, err := tx.ExecContext(ctx, insert, hash, purpose, user, life.Seconds())
	return token, err
}

// CheckLink says whether a link can still be used, and by whom; of a set-up link
// the user is nobody. It uses nothing up: whoever only looks at a link, a mail
// scanner say, does no harm.
func (s *Store) CheckLink(ctx context.Context, purpose, token string) (user User, err error) {
	const query = `SELECT user_id FROM one_time_links WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > now()`
	const person = `SELECT ` + userColumns + ` FROM users AS u WHERE u.id = $1 AND u.disabled_at IS NULL`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		var id *uuid.UUID
		if err := tx.GetContext(ctx, &id, query, tokenHash(token), purpose); err != nil {
			return linkGone(err)
		}
		if id == nil {
			return nil
		}
		return linkGone(tx.GetContext(ctx, &user, person, *id))
	})
	return user, conflict(err, "check link")
}

// useLink uses a link up. Of those who try at once, one succeeds.
func useLink(ctx context.Context, tx *sqlx.Tx, purpose, token string) (user *uuid.UUID, err error) {
	const use = `
		UPDATE one_time_links SET used_at = now()
		WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > now()
		RETURNING user_id`
	err = tx.GetContext(ctx, &user, use, tokenHash(token), purpose)
	return user, linkGone(err)
}

func linkGone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errLinkGone
	}
	return err
}

// ResetUser takes a user's password and second factor away and returns the token of
// a link to choose another password. Their sessions end.
func (s *Store) ResetUser(ctx context.Context, by audit.Actor, email string) (link string, err error) {
	const clear = `UPDATE users SET password_hash = NULL WHERE id = $1`
	const withdraw = `DELETE FROM one_time_links WHERE user_id = $1`
	const factor = `DELETE FROM second_factors WHERE user_id = $1`
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		user, err := userByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		for _, statement := range []string{clear, withdraw, factor} {
			if _, err := tx.ExecContext(ctx, statement, user.ID); err != nil {
				return err
			}
		}
		if err := endSessions(ctx, tx, user.ID); err != nil {
			return err
		}
		if link, err = newLink(ctx, tx, PurposePassword, &user.ID, resetLife); err != nil {
			return err
		}
		return recordEverywhere(ctx, tx, by, audit.UserReset, user, audit.Fields{"second_factor": user.SecondFactor}, audit.Fields{"second_factor": false})
	})
	if err != nil {
		return "", conflict(err, "reset user")
	}
	return link, nil
}

// ChoosePassword uses a one-time link to set its user's password.
func (s *Store) ChoosePassword(ctx context.Context, by audit.Actor, token, password string) (User, error) {
	user, err := s.CheckLink(ctx, PurposePassword, token)
	if err != nil {
		return User{}, err
	}
	phc, err := s.newPassword(ctx, password, user.Email, user.Name)
	if err != nil {
		return User{}, err
	}
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if _, err := useLink(ctx, tx, PurposePassword, token); err != nil {
			return err
		}
		by.Kind, by.UserID, by.Label = audit.User, user.ID, user.Name
		return setPassword(ctx, tx, by, user, phc)
	})
	if err != nil {
		return User{}, conflict(err, "choose password")
	}
	return user, nil
}

// setPassword stores a password, ends whatever was signed in with another, and
// withdraws the links that would set one.
func setPassword(ctx context.Context, tx *sqlx.Tx, by audit.Actor, user User, phc string) error {
	const update = `UPDATE users SET password_hash = $2, password_changed_at = now() WHERE id = $1`
	const withdraw = `DELETE FROM one_time_links WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL`
	if _, err := tx.ExecContext(ctx, update, user.ID, phc); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, withdraw, user.ID, PurposePassword); err != nil {
		return err
	}
	if err := endSessions(ctx, tx, user.ID); err != nil {
		return err
	}
	return recordUser(ctx, tx, by, audit.PasswordChanged, user, nil, nil)
}

// ChangePassword changes the password of somebody who knows the current one. All
// their sessions end; newToken is that of a fresh one. The new password is looked at
// first: only a wrong current one may count as a guess.
func (s *Store) ChangePassword(ctx context.Context, by audit.Actor, user User, current, password, userAgent string) (newToken string, err error) {
	if f := checkPassword(password, user.Email, user.Name); f != nil {
		return "", f
	}
	const query = `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`
	var stored string
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &stored, query, user.ID) })
	if err != nil {
		return "", conflict(noUser(err), "change password")
	}
	subjects := s.subjects(user.Email, by.Address)
	if err := s.attempt(ctx, subjects); err != nil {
		return "", err
	}
	right, err := s.verify(ctx, stored, current)
	if err == nil && !right {
		return "", fault.On("current", fault.Invalid, "That is not the current password.")
	}
	if err == nil {
		newToken, err = s.changeFrom(ctx, by, user, stored, password, userAgent)
	}
	if err != nil {
		if !errors.Is(err, errWrong) {
			s.takeBack(ctx, subjects)
		}
		return "", conflict(err, "change password")
	}
	return newToken, nil
}

// changeFrom puts a new password in the place of the one that was stored.
func (s *Store) changeFrom(ctx context.Context, by audit.Actor, user User, stored, password, userAgent string) (newToken string, err error) {
	phc, err := s.newPassword(ctx, password, user.Email, user.Name)
	if err != nil {
		return "", err
	}
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if err := stillHolds(ctx, tx, user.ID, stored); err != nil {
			return err
		}
		if err := forgive(ctx, tx, s.subjects(user.Email, by.Address)); err != nil {
			return err
		}
		if err := setPassword(ctx, tx, by, user, phc); err != nil {
			return err
		}
		if newToken, err = newSession(ctx, tx, user.ID, byPassword, by.Address, userAgent); err != nil || !user.SecondFactor {
			return err
		}
		return ageSession(ctx, tx, newToken)
	})
	return newToken, err
}
