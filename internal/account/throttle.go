package account

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// subjects are what failures are counted by: the account from one address, and
// the address. Never the account alone, so that nobody can lock its owner out. What
// is said to those who must wait has a place for how long.
type subjects struct{ account, pair, address, wait string }

func (s *Store) subjects(email, address string) subjects {
	network := network(address)
	account := hex.EncodeToString(s.box.Fingerprint("email", strings.ToLower(strings.TrimSpace(email))))
	return subjects{account, "pair " + account + " " + network, network, "Too many wrong passwords from here. Try again in %s."}
}

// codeSubjects are those of the second step. Few values are possible for a code, and
// only who knows the password gets to try one: those are counted by the account,
// from wherever they come. A recovery code can't be guessed, so that it is the way
// in for an owner whom somebody with their password makes wait.
func (s *Store) codeSubjects(user User, address, code string) subjects {
	of := s.subjects(user.Email, address)
	if isCode(code) {
		of.pair, of.wait = "code "+user.ID.String(), "Too many wrong codes. Try again in %s, or use a recovery code."
	} else {
		of.pair, of.wait = "recovery "+user.ID.String()+" "+of.address, "Too many wrong codes from here. Try again in %s."
	}
	return of
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

// attempt counts a try as a failure before any work is done for it, and refuses
// those who failed too often. A success is taken back by forgive, and a try that
// told nothing by takeBack. The rows' locks
// make tries at once take turns, so that a burst of guesses is worth no more than
// one after the other. The times are the database's, shared by all instances; whether
// a wait is over is asked of the clock, because the statement that had to wait for
// another try's rows began before that one ended.
func (s *Store) attempt(ctx context.Context, of subjects) error {
	const begin = `
		INSERT INTO sign_in_failures (subject, failures, first_at, last_at, blocked_until)
		SELECT subject, 0, statement_timestamp(), statement_timestamp(), statement_timestamp() FROM unnest($1::text[]) AS subject ORDER BY subject
		ON CONFLICT (subject) DO NOTHING`
	const lock = `
		WITH locked AS MATERIALIZED (SELECT blocked_until FROM sign_in_failures WHERE subject = ANY ($1) ORDER BY subject FOR UPDATE)
		SELECT greatest(0, extract(epoch FROM blocked_until - clock_timestamp())) FROM locked`
	both := pq.Array([]string{of.pair, "address " + of.address})
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, begin, both); err != nil {
			return err
		}
		var waits []float64
		if err := tx.SelectContext(ctx, &waits, lock, both); err != nil {
			return err
		}
		if seconds := slices.Max(waits); seconds > 0 {
			return fault.New(fault.TooMany, fmt.Sprintf(of.wait, wait(seconds)))
		}
		return countFailure(ctx, tx, of)
	})
	return conflict(err, "count a sign-in")
}

func wait(seconds float64) string {
	if n := int(math.Ceil(seconds)); n > 90 {
		return fmt.Sprintf("%d minutes", (n+59)/60)
	} else if n > 1 {
		return fmt.Sprintf("%d seconds", n)
	}
	return "a second"
}

// countFailure counts a failure of both subjects, whose rows are locked, and sets
// how long the next try must wait.
func countFailure(ctx context.Context, tx *sqlx.Tx, of subjects) error {
	const pair = `
		UPDATE sign_in_failures SET failures = failures + 1, last_at = statement_timestamp(),
			blocked_until = statement_timestamp() + CASE WHEN failures + 1 <= $2 THEN interval '0'
				ELSE make_interval(secs => least($3, power(2, least(failures - $2, 20)))) END
		WHERE subject = $1`
	const address = `
		UPDATE sign_in_failures SET last_at = statement_timestamp(),
			failures = CASE WHEN first_at < statement_timestamp() - make_interval(secs => $3) THEN 1 ELSE failures + 1 END,
			first_at = CASE WHEN first_at < statement_timestamp() - make_interval(secs => $3) THEN statement_timestamp() ELSE first_at END,
			blocked_until = CASE WHEN failures + 1 >= $2 AND first_at >= statement_timestamp() - make_interval(secs => $3)
				THEN first_at + make_interval(secs => $3) ELSE statement_timestamp() END
		WHERE subject = $1`
	if _, err := tx.ExecContext(ctx, pair, of.pair, freeFailures, longestDelay.Seconds()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, address, "address "+of.address, addressFailures, addressWindow.Seconds())
	return err
}

// forgive takes back what attempt counted: the account's failures from the
// address are forgotten, and the address has one fewer.
func forgive(ctx context.Context, tx *sqlx.Tx, of subjects) error {
	const remove = `DELETE FROM sign_in_failures WHERE subject = $1`
	if err := fewerOf(ctx, tx, of); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, remove, of.pair)
	return err
}

// fewerOf gives the address one failure fewer.
func fewerOf(ctx context.Context, tx *sqlx.Tx, of subjects) error {
	const fewer = `
		UPDATE sign_in_failures SET failures = greatest(0, failures - 1),
			blocked_until = CASE WHEN failures - 1 < $2 THEN statement_timestamp() ELSE blocked_until END
		WHERE subject = $1`
	_, err := tx.ExecContext(ctx, fewer, "address "+of.address, addressFailures)
	return err
}

// takeBackWithin is how long giving up on a count may take.
const takeBackWithin = 5 * time.Second

// takeBack takes back one attempt that was no failure: the password was not looked
// at, or was right and something else went wrong. It forgives nothing else, or a
// guesser could wipe the slate by keeping us busy. Whoever asked may be gone.
func (s *Store) takeBack(ctx context.Context, of subjects) {
	const pair = `UPDATE sign_in_failures SET failures = greatest(0, failures - 1), blocked_until = statement_timestamp() WHERE subject = $1`
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackWithin)
	defer cancel()
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if err := fewerOf(ctx, tx, of); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, pair, of.pair)
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "take back a counted sign-in", "err", err)
	}
}
