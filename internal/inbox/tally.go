package inbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// tookBounds are the buckets of the times of answers: the first up to 1 ms, each
// one twice the one before, the last without an end.
const tookBounds = 12

// tookBucket returns the place of a time among the buckets.
func tookBucket(took time.Duration) int {
	bound := time.Millisecond
	for i := range tookBounds - 1 {
		if took <= bound {
			return i
		}
		bound *= 2
	}
	return tookBounds - 1
}

// A subject is what requests are counted under.
type subject struct {
	key        uuid.UUID // Nil: none could be told
	workspace  uuid.UUID // Nil if key is
	hour       int64     // seconds since 1970
	generation int
	outcome    Outcome
	reason     Reason
	address    string
}

func (r *record) subject() subject {
	s := subject{
		key: r.KeyID, workspace: r.WorkspaceID, hour: r.Arrival.ReceivedAt.Unix() / 3600 * 3600, generation: r.Generation,
		outcome: r.Outcome, reason: r.Result.Reason, address: r.Address,
	}
	if s.key == uuid.Nil { // strangers are told apart by hour and reason alone
		s.workspace, s.generation, s.address = uuid.Nil, 0, ""
	}
	return s
}

// A tally is what a batch adds to the counts of a subject.
type tally struct {
	subject
	requests      int64
	notKept       int64
	bodiesNotKept int64
	first, last   time.Time
	took          [tookBounds]int32
}

func (t *tally) add(r *record) {
	t.requests++
	t.notKept += one(r.CountOnly)
	t.bodiesNotKept += one(r.unkept)
	t.took[tookBucket(r.took)]++
	at := r.Arrival.ReceivedAt
	if t.first.IsZero() || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.last) {
		t.last = at
	}
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// sum adds records up. A batch has few subjects, so they are searched from
// their end.
func sum(records []*record) (tallies []*tally) {
	for _, r := range records {
		s := r.subject()
		i := len(tallies) - 1
		for i >= 0 && tallies[i].subject != s {
			i--
		}
		if i < 0 {
			tallies = append(tallies, &tally{subject: s})
			i = len(tallies) - 1
		}
		tallies[i].add(r)
	}
	return tallies
}

// tallyRows are rows of request_tally.
type tallyRows struct{ *postgres.Records }

// addTallies adds the rows of records.
func (s *rowSet) addTallies(records []*record) {
	c := s.tallies
	for _, t := range sum(records) {
		c.Add()
		c.UUID(t.key)
		c.UUID(t.workspace)
		c.Time(time.Unix(t.hour, 0))
		c.Int(int64(t.generation))
		c.Text(string(t.outcome))
		c.Text(string(t.reason))
		c.Text(t.address)
		c.Int(t.requests)
		c.Int(t.notKept)
		c.Int(t.bodiesNotKept)
		c.Time(t.first)
		c.Time(t.last)
		c.Integers(t.took[:])
	}
}

// count writes the tallies of a batch whose outcomes are known only now.
func (a *Appender) count(ctx context.Context, tx *sqlx.Tx, records []*record) error {
	const insert = `INSERT INTO delivery_tallies SELECT * FROM unnest($1::request_tally[])`
	oids, err := a.types.get(ctx, tx)
	if err != nil {
		return err
	}
	set := rowSets.Get().(*rowSet)
	defer set.release()
	set.addTallies(records)
	if _, err := tx.ExecContext(ctx, insert, set.tallies.Value(oids.Tally)); err != nil {
		return fmt.Errorf("count requests: %w", err)
	}
	return nil
}

// A LastUse says when a key was used and refused last, by what was rolled up.
type LastUse struct {
	KeyID     uuid.UUID  `db:"webhook_key_id"`
	UsedAt    *time.Time `db:"used_at"`    // accepted and duplicate requests
	RefusedAt *time.Time `db:"refused_at"` // nil: not at all
}

// rollUpAtOnce bounds one roll-up, in rows of delivery_tallies.
const rollUpAtOnce = 5000

// RollUp moves tallies into the hourly counts and the keys' addresses as part of
// tx. It returns the uses of the keys that it found, in the order of their ids;
// more tells that there is more to do. If another instance is at it, it does
// nothing.
func RollUp(ctx context.Context, tx *sqlx.Tx) (uses []LastUse, more bool, err error) {
	const alone = `SELECT pg_try_advisory_xact_lock(hashtextextended('keyhook roll-up ' || current_schema(), 0))`
	var mine bool
	if err := tx.GetContext(ctx, &mine, alone); err != nil || !mine {
		return nil, false, err
	}
	var rows []struct {
		LastUse
		Tallies int `db:"tallies"`
	}
	if err := tx.SelectContext(ctx, &rows, rollUp, rollUpAtOnce, maxAddresses); err != nil {
		return nil, false, fmt.Errorf("roll up the counts: %w", err)
	}
	moved := 0
	for _, row := range rows {
		moved += row.Tallies
		if row.KeyID != uuid.Nil {
			uses = append(uses, row.LastUse)
		}
	}
	return slices.Clip(uses), moved == rollUpAtOnce, nil
}

// maxAddresses is how many addresses of a key are told apart.
const maxAddresses = 1000

// Rows that somebody is deleting with their workspace are left to them.
const rollUp = `
	WITH moved AS (
		DELETE FROM delivery_tallies WHERE ctid = ANY (ARRAY(SELECT ctid FROM delivery_tallies LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING *
	), counted AS (
		INSERT INTO delivery_counts AS c (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, not_kept,
			bodies_not_kept, last_at, took_1, took_2, took_4, took_8, took_16, took_32, took_64, took_128, took_256, took_512, took_1024, took_more)
		SELECT webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, sum(requests), sum(not_kept),
			sum(bodies_not_kept), max(last_at), sum(took[1]), sum(took[2]), sum(took[3]), sum(took[4]), sum(took[5]), sum(took[6]), sum(took[7]),
			sum(took[8]), sum(took[9]), sum(took[10]), sum(took[11]), sum(took[12])
		FROM moved WHERE webhook_key_id IS NOT NULL
		GROUP BY webhook_key_id, hour, credential_generation, outcome, reason, workspace_id
		ON CONFLICT (webhook_key_id, hour, credential_generation, outcome, reason) DO UPDATE SET
			requests = c.requests + excluded.requests, not_kept = c.not_kept + excluded.not_kept,
			bodies_not_kept = c.bodies_not_kept + excluded.bodies_not_kept, last_at = greatest(c.last_at, excluded.last_at),
			took_1 = c.took_1 + excluded.took_1, took_2 = c.took_2 + excluded.took_2, took_4 = c.took_4 + excluded.took_4,
			took_8 = c.took_8 + excluded.took_8, took_16 = c.took_16 + excluded.took_16, took_32 = c.took_32 + excluded.took_32,
			took_64 = c.took_64 + excluded.took_64, took_128 = c.took_128 + excluded.took_128, took_256 = c.took_256 + excluded.took_256,
			took_512 = c.took_512 + excluded.took_512, took_1024 = c.took_1024 + excluded.took_1024, took_more = c.took_more + excluded.took_more
	), strays AS (
		INSERT INTO stray_counts AS c (hour, reason, requests, not_kept)
		SELECT hour, reason, sum(requests), sum(not_kept) FROM moved WHERE webhook_key_id IS NULL GROUP BY hour, reason
		ON CONFLICT (hour, reason) DO UPDATE SET requests = c.requests + excluded.requests, not_kept = c.not_kept + excluded.not_kept
	), sent AS (
		SELECT webhook_key_id, address, coalesce(sum(requests) FILTER (WHERE outcome <> 'refused'), 0) AS accepted,
			coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0) AS refused, min(first_at) AS first_at, max(last_at) AS last_at
		FROM moved WHERE webhook_key_id IS NOT NULL GROUP BY webhook_key_id, address
	), told AS (
		SELECT s.*, s.address AS name FROM sent AS s JOIN key_addresses AS a USING (webhook_key_id, address)
		UNION ALL
		SELECT s.*, CASE WHEN known.n + row_number() OVER (PARTITION BY s.webhook_key_id ORDER BY s.first_at, s.address) > $2 THEN 'other' ELSE s.address END
		FROM sent AS s CROSS JOIN LATERAL (SELECT count(*) AS n FROM key_addresses AS k WHERE k.webhook_key_id = s.webhook_key_id AND k.address <> 'other') AS known
		WHERE NOT EXISTS (SELECT FROM key_addresses AS k WHERE k.webhook_key_id = s.webhook_key_id AND k.address = s.address)
	), addressed AS (
		INSERT INTO key_addresses AS a (webhook_key_id, address, accepted, refused, first_at, last_at)
		SELECT webhook_key_id, name, sum(accepted), sum(refused), min(first_at), max(last_at) FROM told GROUP BY webhook_key_id, name
		ON CONFLICT (webhook_key_id, address) DO UPDATE SET accepted = a.accepted + excluded.accepted, refused = a.refused + excluded.refused,
			first_at = least(a.first_at, excluded.first_at), last_at = greatest(a.last_at, excluded.last_at)
	)
	SELECT coalesce(webhook_key_id, '00000000-0000-0000-0000-000000000000') AS webhook_key_id, count(*) AS tallies,
		max(last_at) FILTER (WHERE outcome <> 'refused') AS used_at, max(last_at) FILTER (WHERE outcome = 'refused') AS refused_at
	FROM moved GROUP BY 1 ORDER BY 1`
