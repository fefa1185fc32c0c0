package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/postgres"
)

// refuse notes a refused sign-in for SumRefused: a flood of guesses must not flood
// the trail, and still be told of in full. A user who is not known is noted by a
// keyed hash.
func (s *Store) refuse(ctx context.Context, of subjects, user User) error {
	const note = `
		INSERT INTO sign_in_failures AS f (subject, failures, first_at, last_at, blocked_until)
		SELECT concat_ws(' ', 'refused', floor(extract(epoch FROM at))::bigint / 60, $1::text, $2::text), 1, at, at, at
		FROM (SELECT statement_timestamp() AS at) AS now
		ON CONFLICT (subject) DO UPDATE SET failures = f.failures + 1, last_at = statement_timestamp()`
	who := "unknown " + of.account[:16]
	if user.ID != uuid.Nil {
		who = user.ID.String()
	}
	ctx = context.WithoutCancel(ctx) // hanging up hides no guess
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, note, of.address, who)
		return err
	})
	if err != nil {
		return conflict(err, "note refused sign-in")
	}
	return errWrong
}

// refused is what was refused to a network within a minute.
type refused struct {
	Minute  int64          `db:"minute"` // since 1970
	Network string         `db:"network"`
	Times   int            `db:"times"`
	Who     pq.StringArray `db:"who"` // the accounts: users' ids, and hashes of who is not known
}

// SumRefused writes an entry for each minute that is over and each network that
// was refused in it, with how often and how many accounts were tried.
func (s *Store) SumRefused(ctx context.Context) error {
	for more := true; more; {
		err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
			sums, err := takeRefused(ctx, tx)
			more = len(sums) > 0
			for _, sum := range sums {
				if err := sum.record(ctx, tx); err != nil {
					return err
				}
			}
			return err
		})
		if err != nil {
			return conflict(err, "sum refused sign-ins")
		}
	}
	return nil
}

// takeRefused takes some of what is due out of the table; others that do so at
// once wait and find it gone. Ten seconds are for a refusal that has not committed
// when its minute ends.
func takeRefused(ctx context.Context, tx *sqlx.Tx) (sums []refused, err error) {
	const take = `
		WITH due AS (
			SELECT DISTINCT split_part(subject, ' ', 2) AS minute, split_part(subject, ' ', 3) AS network FROM sign_in_failures
			WHERE subject LIKE 'refused %' AND last_at < date_trunc('minute', statement_timestamp() - interval '10 seconds')
			LIMIT 100
		), locked AS (
			SELECT subject FROM sign_in_failures JOIN due
				ON subject LIKE 'refused %' AND split_part(subject, ' ', 2) = minute AND split_part(subject, ' ', 3) = network
			ORDER BY subject FOR UPDATE OF sign_in_failures
		), taken AS (
			DELETE FROM sign_in_failures WHERE subject IN (SELECT subject FROM locked) RETURNING subject, failures
		)
		SELECT split_part(subject, ' ', 2)::bigint AS minute, split_part(subject, ' ', 3) AS network, sum(failures) AS times,
			array_agg(regexp_replace(subject, '^refused \S+ \S+ ', '') ORDER BY subject) AS who
		FROM taken GROUP BY 1, 2 ORDER BY 1, 2`
	err = tx.SelectContext(ctx, &sums, take)
	return sums, err
}

// record adds the entry. One account is its target; several are listed in it.
func (r refused) record(ctx context.Context, tx *sqlx.Tx) error {
	const name = `SELECT coalesce((SELECT name FROM users WHERE id::text = $1), '')`
	target := audit.Target{Kind: "user", ID: r.Who[0]}
	fields := audit.Fields{"count": r.Times, "accounts": len(r.Who), "minute": time.Unix(r.Minute*60, 0).UTC().Format(time.RFC3339)}
	if len(r.Who) > 1 {
		target.ID, target.Label = "several", fmt.Sprintf("%d accounts", len(r.Who))
		fields["who"] = []string(r.Who)
	} else if err := tx.GetContext(ctx, &target.Label, name, target.ID); err != nil {
		return err
	}
	by := audit.Actor{Kind: audit.System, Label: "sign-in", Address: strings.TrimSuffix(r.Network, "/32")}
	return audit.Record(ctx, tx, by, audit.SignInRefused, target, nil, fields)
}
