package account

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

const (
	addressResets = 20 // that an address asks for within an hour
	accountResets = 3  // that are mailed to an account within an hour
)

// CountReset counts that somebody asks for a link by mail, and refuses an address
// that did so too often. It knows nothing of accounts.
func (s *Store) CountReset(ctx context.Context, address string) error {
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		n, err := countHourly(ctx, tx, "reset "+network(address))
		if err == nil && n > addressResets {
			err = fault.New(fault.TooMany, "Too many links were asked for from here. Try again in an hour.")
		}
		return err
	})
	return conflict(err, "count a reset")
}

// AskReset makes a link to choose another password, for the account's own address.
// The password works until it is used, and a second factor stays. Without such an
// account, or when it had enough of them, the token is "".
func (s *Store) AskReset(ctx context.Context, by audit.Actor, email string) (user User, token string, err error) {
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if user, err = userByEmail(ctx, tx, email); err != nil || user.DisabledAt != nil {
			return err
		}
		n, err := countHourly(ctx, tx, "reset "+user.ID.String())
		if err != nil || n > accountResets {
			return err
		}
		if token, err = newLink(ctx, tx, PurposePassword, &user.ID, resetLife); err != nil {
			return err
		}
		return recordUser(ctx, tx, by, audit.ResetAsked, user, nil, nil)
	})
	if errors.Is(err, errNoUser) {
		return User{}, "", nil
	}
	if err != nil {
		return User{}, "", conflict(err, "ask for a reset")
	}
	return user, token, nil
}

// countHourly counts something that may happen so often within an hour.
func countHourly(ctx context.Context, tx *sqlx.Tx, subject string) (n int, err error) {
	const count = `
		INSERT INTO sign_in_failures AS f (subject, failures, first_at, last_at, blocked_until)
		VALUES ($1, 1, statement_timestamp(), statement_timestamp(), statement_timestamp())
		ON CONFLICT (subject) DO UPDATE SET last_at = statement_timestamp(),
			failures = CASE WHEN f.first_at < statement_timestamp() - interval '1 hour' THEN 1 ELSE f.failures + 1 END,
			first_at = CASE WHEN f.first_at < statement_timestamp() - interval '1 hour' THEN statement_timestamp() ELSE f.first_at END
		RETURNING failures`
	err = tx.GetContext(ctx, &n, count, subject)
	return n, err
}
