package account

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

var errWrong = fault.New(fault.Unauthenticated, "That e-mail address and password do not belong together.")

// SignIn checks who it is and returns the token of a new session. The answer, and
// the work for it, are the same for an address that is unknown, a password that
// is wrong and a user who is disabled. by tells the address and the request.
func (s *Store) SignIn(ctx context.Context, by audit.Actor, email, password, userAgent string) (token string, user User, err error) {
	const query = `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`
	subjects := s.subjects(email, by.Address)
	if err := s.throttled(ctx, subjects); err != nil {
		return "", User{}, err
	}
	var stored string
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if user, err = userByEmail(ctx, tx, email); err != nil {
			return err
		}
		return tx.GetContext(ctx, &stored, query, user.ID)
	})
	if err != nil && !errors.Is(err, errNoUser) && !errors.Is(err, sql.ErrNoRows) {
		return "", User{}, fmt.Errorf("sign in: %w", err)
	}
	right, err := s.verify(ctx, stored, password)
	if err != nil {
		return "", User{}, err
	}
	if !right || user.DisabledAt != nil {
		return "", User{}, s.refuse(ctx, by, subjects, user)
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := forgive(ctx, tx, subjects); err != nil {
			return err
		}
		if token, err = newSession(ctx, tx, user.ID, by.Address, userAgent); err != nil {
			return err
		}
		return recordSignIn(ctx, tx, by, audit.SignedIn, user)
	})
	if err != nil {
		return "", User{}, conflict(err, "sign in")
	}
	return token, user, nil
}

// refuse counts a failure and records it, at most once a minute for an address:
// a flood of guesses must not flood the trail. A user who is not known is told of
// by a keyed hash.
func (s *Store) refuse(ctx context.Context, by audit.Actor, subjects subjects, user User) error {
	const first = `
		INSERT INTO sign_in_failures AS f (subject, failures, first_at, last_at, blocked_until)
		VALUES ($1, 1, statement_timestamp(), statement_timestamp(), statement_timestamp())
		ON CONFLICT (subject) DO UPDATE SET failures = f.failures + 1, last_at = statement_timestamp()
			WHERE f.last_at < statement_timestamp() - interval '1 minute'
		RETURNING failures`
	if err := s.failed(ctx, subjects); err != nil {
		return err
	}
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var n int
		err := tx.GetContext(ctx, &n, first, "trail "+subjects.address)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		target := audit.Target{Kind: "user", ID: "unknown " + subjects.account[:16]}
		if user.ID != uuid.Nil {
			target = audit.Target{Kind: "user", ID: user.ID.String(), Label: user.Name}
		}
		by.Kind, by.ID, by.Label, by.WorkspaceID = audit.System, "", "sign-in", uuid.Nil
		return audit.Record(ctx, tx, by, audit.SignInRefused, target, nil, nil)
	})
	if err != nil {
		return conflict(err, "record refused sign-in")
	}
	return errWrong
}

// subjects are what failures are counted by: the account from one address, and
// the address. Never the account alone, so that nobody can lock its owner out.
type subjects struct{ account, pair, address string }

func (s *Store) subjects(email, address string) subjects {
	network := network(address)
	account := hex.EncodeToString(s.box.Fingerprint("email", strings.ToLower(strings.TrimSpace(email))))
	return subjects{account: account, pair: "pair " + account + " " + network, address: network}
}

// network is what one sender of guesses can be taken for: an IPv4 address, or the
// /64 that an IPv6 address comes from.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}

const (
	freeFailures    = 5                // of an account from one address, before it slows down
	longestDelay    = 15 * time.Minute // the delays double up to this
	addressFailures = 60               // of an address in addressWindow
	addressWindow   = 10 * time.Minute
)

// throttled refuses those who failed too often, before any work is done. The
// times are the database's, shared by all instances.
func (s *Store) throttled(ctx context.Context, of subjects) error {
	const query = `
		SELECT coalesce(max(extract(epoch FROM blocked_until - statement_timestamp())), 0)
		FROM sign_in_failures WHERE subject IN ($1, $2) AND blocked_until > statement_timestamp()`
	var seconds float64
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &seconds, query, of.pair, "address "+of.address)
	})
	if err != nil {
		return fmt.Errorf("look for refused sign-ins: %w", err)
	}
	if seconds > 0 {
		return fault.New(fault.TooMany, fmt.Sprintf("Too many wrong passwords from here. Try again in %s.", wait(seconds)))
	}
	return nil
}

func wait(seconds float64) string {
	if n := int(math.Ceil(seconds)); n > 90 {
		return fmt.Sprintf("%d minutes", (n+59)/60)
	} else if n > 1 {
		return fmt.Sprintf("%d seconds", n)
	}
	return "a second"
}

// failed counts a wrong password and sets how long the next try must wait.
func (s *Store) failed(ctx context.Context, of subjects) error {
	const pair = `
		INSERT INTO sign_in_failures AS f (subject, failures, first_at, last_at, blocked_until)
		VALUES ($1, 1, statement_timestamp(), statement_timestamp(), statement_timestamp())
		ON CONFLICT (subject) DO UPDATE SET failures = f.failures + 1, last_at = statement_timestamp(),
			blocked_until = statement_timestamp() + CASE WHEN f.failures + 1 <= $2 THEN interval '0'
				ELSE make_interval(secs => least($3, power(2, least(f.failures - $2, 20)))) END`
	const address = `
		INSERT INTO sign_in_failures AS f (subject, failures, first_at, last_at, blocked_until)
		VALUES ($1, 1, statement_timestamp(), statement_timestamp(), statement_timestamp())
		ON CONFLICT (subject) DO UPDATE SET last_at = statement_timestamp(),
			failures = CASE WHEN f.first_at < statement_timestamp() - make_interval(secs => $3) THEN 1 ELSE f.failures + 1 END,
			first_at = CASE WHEN f.first_at < statement_timestamp() - make_interval(secs => $3) THEN statement_timestamp() ELSE f.first_at END,
			blocked_until = CASE WHEN f.failures + 1 >= $2 AND f.first_at >= statement_timestamp() - make_interval(secs => $3)
				THEN f.first_at + make_interval(secs => $3) ELSE statement_timestamp() END`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, pair, of.pair, freeFailures, longestDelay.Seconds()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, address, "address "+of.address, addressFailures, addressWindow.Seconds())
		return err
	})
	return conflict(err, "count refused sign-in")
}

// forgive forgets the failures of an account from one address.
func forgive(ctx context.Context, tx *sqlx.Tx, of subjects) error {
	const remove = `DELETE FROM sign_in_failures WHERE subject = $1`
	_, err := tx.ExecContext(ctx, remove, of.pair)
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
