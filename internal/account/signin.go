package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

var errWrong = fault.New(fault.Unauthenticated, "That e-mail address and password do not belong together.")

// SignIn checks who it is and returns the token of a new session. The answer, and
// the work for it, are the same for an address that is unknown, a password that
// is wrong and a user who is disabled. by tells the address and the request. old is
// the token that the browser presented, "" for none: the new session takes the place
// of that one, which nobody could end once its token is overwritten. Of a user with a
// second factor the error is a [CodeNeeded], for EnterCode to go on with.
func (s *Store) SignIn(ctx context.Context, by audit.Actor, email, password, userAgent, old string) (token string, user User, err error) {
	const query = `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`
	subjects := s.subjects(email, by.Address)
	if err := s.attempt(ctx, subjects); err != nil {
		return "", User{}, err
	}
	var stored string
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if user, err = userByEmail(ctx, tx, email); err != nil && !errors.Is(err, errNoUser) {
			return err
		}
		return tx.GetContext(ctx, &stored, query, user.ID) // of nobody too: the work is the same
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.takeBack(ctx, subjects)
		return "", User{}, fmt.Errorf("sign in: %w", err)
	}
	right, err := s.verify(ctx, stored, password)
	if err != nil {
		s.takeBack(ctx, subjects)
		return "", User{}, err
	}
	if !right || user.DisabledAt != nil {
		return "", User{}, s.refuse(ctx, subjects, user)
	}
	var needed *CodeNeeded
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if err := stillHolds(ctx, tx, user.ID, stored); err != nil {
			return err
		}
		if err := forgive(ctx, tx, subjects); err != nil {
			return err
		}
		if needed, err = stepOf(ctx, tx, user.ID); err != nil || needed != nil {
			return err
		}
		token, err = enter(ctx, tx, by, user, byPassword, userAgent, old)
		return err
	})
	if err != nil {
		if !errors.Is(err, errWrong) {
			s.takeBack(ctx, subjects)
		}
		return "", User{}, conflict(err, "sign in")
	}
	if needed != nil {
		return "", User{}, needed
	}
	return token, user, nil
}

// enter opens a session in the place of an old one and records it.
func enter(ctx context.Context, tx *sqlx.Tx, by audit.Actor, user User, methods, userAgent, old string) (token string, err error) {
	if err := endSession(ctx, tx, old); err != nil {
		return "", err
	}
	if token, err = newSession(ctx, tx, user.ID, methods, by.Address, userAgent); err != nil {
		return "", err
	}
	return token, recordSignIn(ctx, tx, by, audit.SignedIn, user)
}

// stillHolds says whether a password hash is still the user's. Hashing takes long
// enough for a reset to come in between, and a session must not outlive that.
func stillHolds(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, stored string) error {
	const query = `SELECT true FROM users WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL FOR NO KEY UPDATE`
	var holds bool
	err := tx.GetContext(ctx, &holds, query, user, stored)
	if errors.Is(err, sql.ErrNoRows) {
		return errWrong
	}
	return err
}

// printable cuts what a stranger sent to what can be stored and shown.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit])
	}
	return text
}
