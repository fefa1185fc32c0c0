package inbox

import (
	"bytes"
	"cmp"
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

// A tally is what a batch adds to one row of delivery_counts.
type tally struct {
	key           uuid.UUID
	hour          int64 // seconds since 1970
	generation    int
	outcome       Outcome
	reason        Reason
	workspace     uuid.UUID
	requests      int64
	notKept       int64
	bodiesNotKept int64
	last          time.Time
	took          [tookBounds]int64
}

// A sender is what a batch adds to one row of key_addresses.
type sender struct {
	key               uuid.UUID
	address           string
	accepted, refused int64
	first, last       time.Time
}

// A stray is what a batch adds to one row of stray_counts.
type stray struct {
	hour              int64
	reason            Reason
	requests, notKept int64
}

// sums are what a batch adds to all counts.
type sums struct {
	tallies []*tally
	senders []*sender
	strays  []*stray
}

// count adds a batch to the hourly counts. Each writer has rows of its own; were
// two writers to share a number, the fixed order still keeps them from waiting
// for each other.
func count(ctx context.Context, tx *sqlx.Tx, writer int, records []*record) error {
	s := sum(records)
	if err := s.countStrays(ctx, tx, writer); err != nil {
		return err
	}
	if len(s.tallies) == 0 {
		return nil
	}
	c := countSets.get()
	defer countSets.put(c)
	s.fill(c.arrays)
	if _, err := tx.ExecContext(ctx, countCall, append([]any{writer}, c.values()...)...); err != nil {
		return fmt.Errorf("count requests: %w", err)
	}
	return nil
}

var countCall = `SELECT count_requests(` + placeholders(1+len(countColumns)) + `)`

var countColumns = []postgres.ElementType{
	postgres.UUID, postgres.Timestamptz, postgres.Integer, postgres.Text, postgres.Text, postgres.UUID, // key … workspace
	postgres.Bigint, postgres.Bigint, postgres.Bigint, postgres.Timestamptz, postgres.Bigint, // requests … took
	postgres.UUID, postgres.Text, postgres.Bigint, postgres.Bigint, postgres.Timestamptz, postgres.Timestamptz, // addresses
}

var countSets = setPool{types: countColumns}

func (s sums) fill(c []*postgres.Array) {
	for _, t := range s.tallies {
		c[0].UUID(t.key)
		c[1].Time(time.Unix(t.hour, 0))
		c[2].Int(int64(t.generation))
		c[3].Text(string(t.outcome))
		c[4].Text(string(t.reason))
		c[5].UUID(t.workspace)
		c[6].Int(t.requests)
		c[7].Int(t.notKept)
		c[8].Int(t.bodiesNotKept)
		c[9].Time(t.last)
		for _, n := range t.took {
			c[10].Int(n)
		}
	}
	for _, a := range s.senders {
		c[11].UUID(a.key)
		c[12].Text(a.address)
		c[13].Int(a.accepted)
		c[14].Int(a.refused)
		c[15].Time(a.first)
		c[16].Time(a.last)
	}
}

// sum adds up records. Batches have few keys, addresses and outcomes, so the
// sums are searched from their end.
func sum(records []*record) (s sums) {
	for _, r := range records {
		hour := r.Arrival.ReceivedAt.Unix() / 3600 * 3600
		if r.KeyID == uuid.Nil {
			t := found(&s.strays, func(t *stray) bool { return t.hour == hour && t.reason == r.Result.Reason })
			t.hour, t.reason = hour, r.Result.Reason
			t.requests++
			t.notKept += one(r.CountOnly)
			continue
		}
		t := found(&s.tallies, func(t *tally) bool {
			return t.key == r.KeyID && t.hour == hour && t.generation == r.Generation && t.outcome == r.Outcome && t.reason == r.Result.Reason
		})
		t.add(r, hour)
		a := found(&s.senders, func(a *sender) bool { return a.key == r.KeyID && a.address == r.Address })
		a.add(r)
	}
	slices.SortFunc(s.strays, func(a, b *stray) int { return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.reason, b.reason)) })
	slices.SortFunc(s.tallies, func(a, b *tally) int {
		return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.hour, b.hour), cmp.Compare(a.generation, b.generation),
			cmp.Compare(a.outcome, b.outcome), cmp.Compare(a.reason, b.reason))
	})
	slices.SortFunc(s.senders, func(a, b *sender) int {
		return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.address, b.address))
	})
	return s
}

// found returns the last of all that is wanted, or a new one.
func found[T any](all *[]*T, wanted func(*T) bool) *T {
	for _, t := range slices.Backward(*all) {
		if wanted(t) {
			return t
		}
	}
	t := new(T)
	*all = append(*all, t)
	return t
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

func (t *tally) add(r *record, hour int64) {
	t.key, t.hour, t.generation, t.outcome, t.reason, t.workspace = r.KeyID, hour, r.Generation, r.Outcome, r.Result.Reason, r.WorkspaceID
	t.requests++
	t.notKept += one(r.CountOnly)
	t.bodiesNotKept += one(r.unkept)
	t.took[tookBucket(r.took)]++
	if r.Arrival.ReceivedAt.After(t.last) {
		t.last = r.Arrival.ReceivedAt
	}
}

func (a *sender) add(r *record) {
	a.key, a.address = r.KeyID, r.Address
	if r.refused() {
		a.refused++
	} else {
		a.accepted++
	}
	at := r.Arrival.ReceivedAt
	if a.first.IsZero() || at.Before(a.first) {
		a.first = at
	}
	if at.After(a.last) {
		a.last = at
	}
}

// countStrays counts the requests that name no key.
func (s sums) countStrays(ctx context.Context, tx *sqlx.Tx, writer int) error {
	const upsert = `
		INSERT INTO stray_counts AS c (hour, writer, reason, requests, not_kept) VALUES (to_timestamp($1), $2, $3, $4, $5)
		ON CONFLICT (hour, writer, reason) DO UPDATE SET requests = c.requests + excluded.requests, not_kept = c.not_kept + excluded.not_kept`
	for _, t := range s.strays {
		if _, err := tx.ExecContext(ctx, upsert, t.hour, writer, t.reason, t.requests, t.notKept); err != nil {
			return fmt.Errorf("count requests without a key: %w", err)
		}
	}
	return nil
}

// A LastUse says when a key was last used, and last refused, by what was counted.
type LastUse struct {
	KeyID     uuid.UUID  `db:"webhook_key_id"`
	UsedAt    *time.Time `db:"used_at"`    // accepted and duplicate requests
	RefusedAt *time.Time `db:"refused_at"` // nil: never
}

// LastUses returns the last use of every key with counts from the hour of since
// on, in the order of their ids. The zero time asks for all.
func (s *Store) LastUses(ctx context.Context, since time.Time) ([]LastUse, error) {
	const query = `
		SELECT webhook_key_id,
			max(last_at) FILTER (WHERE outcome <> 'refused') AS used_at,
			max(last_at) FILTER (WHERE outcome = 'refused') AS refused_at
		FROM delivery_counts WHERE hour >= $1
		GROUP BY webhook_key_id ORDER BY webhook_key_id`
	var uses []LastUse
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &uses, query, hourOf(since)) })
	if err != nil {
		return nil, fmt.Errorf("read last uses: %w", err)
	}
	return uses, nil
}
