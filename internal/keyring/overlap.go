package keyring

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// A holding is a credential of a key, as it stands in the database. At most one of
// each kind is current; an old one overlaps until its end.
type holding struct {
	ID           uuid.UUID  `db:"id"`
	Kind         string     `db:"kind"`
	Generation   int        `db:"generation"`
	CountedAs    int        `db:"counted_as"`
	Hint         string     `db:"hint"`
	Fingerprint  []byte     `db:"fingerprint"`
	CreatedAt    time.Time  `db:"created_at"`
	ExpiresAt    *time.Time `db:"expires_at"`
	SupersededAt *time.Time `db:"superseded_at"`
	UsedBefore   int64      `db:"used_before"`
	LeakedAt     *time.Time `db:"leaked_at"`
	Ended        bool       `db:"ended"` // stopped for good
	Current      bool       `db:"current"`
	Overlaps     bool       `db:"overlaps"`
	At           time.Time  `db:"at"` // the database's time
}

func (h holding) works() bool { return h.Current || h.Overlaps }

// heldBy returns all credentials that a key has or had, the newest first, and the
// database's time, by which overlaps begin and end.
func heldBy(ctx context.Context, tx *sqlx.Tx, id uuid.UUID) (held []holding, at time.Time, err error) {
	const query = `
		SELECT c.id, c.kind, c.generation, ` + countedAs + ` AS counted_as, c.hint, c.fingerprint, c.created_at, c.expires_at, c.superseded_at,
			coalesce(c.used_before, 0) AS used_before, c.leaked_at, c.ended_at IS NOT NULL AS ended, c.ended_at IS NULL AND c.expires_at IS NULL AS current,
			c.ended_at IS NULL AND coalesce(c.expires_at > statement_timestamp(), false) AS overlaps, statement_timestamp() AS at
		FROM webhook_key_credentials AS c WHERE c.webhook_key_id = $1 ORDER BY c.generation DESC, c.kind`
	if err := tx.SelectContext(ctx, &held, query, id); err != nil || len(held) == 0 {
		return nil, at, err
	}
	return held, held[0].At, nil
}

// lastNumber is the highest that anything is counted under.
func lastNumber(held []holding) (n int) {
	for _, h := range held {
		n = max(n, h.CountedAs)
	}
	return n
}

// turnOf is where the next credential of a kind stands.
func turnOf(held []holding, kind string) turn {
	t := turn{1, lastNumber(held) + 1}
	for _, h := range held {
		if h.Kind == kind {
			t.Generation = max(t.Generation, h.Generation+1)
		}
	}
	return t
}

func nextTurn(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, kind string) (turn, error) {
	held, _, err := heldBy(ctx, tx, id)
	return turnOf(held, kind), err
}

// An Overlap is the time in which the credentials that a rotation replaced still
// work beside the new ones.
type Overlap struct {
	What      What
	Since     time.Time
	Until     time.Time
	CountedAs []int // generations of requests with an old credential
	Before    int64 // requests under those, before, in the hour of Since
	New       int   // generation of requests with a new one
	Latest    bool  // no rotation came after it, so it can be undone

	old, fresh []holding
}

// Overlapping are a key's overlaps, the latest first, and how many credentials it
// has or had, which is Rotation.Seen.
type Overlapping struct {
	Overlaps []Overlap
	Seen     int
	Works    bool // any of them does
}

// OverlapsOf returns a key's overlaps.
func (s *Store) OverlapsOf(ctx context.Context, workspace, id uuid.UUID) (o Overlapping, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if _, err := find(ctx, tx, workspace, id); err != nil {
			return err
		}
		held, _, err := heldBy(ctx, tx, id)
		o = Overlapping{overlapsIn(held), len(held), slices.ContainsFunc(held, holding.works)}
		return err
	})
	if err != nil {
		return Overlapping{}, fmt.Errorf("read a key's overlaps: %w", err)
	}
	return o, nil
}

// overlapsIn groups the old credentials by the rotation that replaced them.
func overlapsIn(held []holding) (overlaps []Overlap) {
	for _, h := range held {
		if !h.Overlaps || h.SupersededAt == nil {
			continue
		}
		i := slices.IndexFunc(overlaps, func(o Overlap) bool { return o.Since.Equal(*h.SupersededAt) })
		if i < 0 {
			i, overlaps = len(overlaps), append(overlaps, Overlap{What: What(h.Kind), Since: *h.SupersededAt, Until: *h.ExpiresAt})
		}
		o := &overlaps[i]
		if o.What != What(h.Kind) {
			o.What = Both
		}
		if !slices.Contains(o.CountedAs, h.CountedAs) {
			o.CountedAs, o.Before = append(o.CountedAs, h.CountedAs), o.Before+h.UsedBefore
		}
		o.old = append(o.old, h)
	}
	for i := range overlaps {
		overlaps[i].meet(held)
	}
	slices.SortFunc(overlaps, func(a, b Overlap) int { return b.Since.Compare(a.Since) })
	return overlaps
}

// meet finds the new credentials beside the old ones. The rotation was the latest
// if nothing was replaced or made after it, taken back or not: then requests with
// the new ones have had one number all along.
func (o *Overlap) meet(held []holding) {
	for _, h := range held {
		if h.Current && o.What.has(h.Kind) {
			o.fresh, o.New = append(o.fresh, h), h.CountedAs
		}
	}
	o.Latest = len(o.fresh) > 0 && !slices.ContainsFunc(held, func(h holding) bool {
		return h.SupersededAt != nil && h.SupersededAt.After(o.Since) || h.CreatedAt.After(o.fresh[0].CreatedAt)
	})
}

var (
	errNoOverlap = fault.New(fault.Conflict, "That overlap has ended already.")
	errOlder     = fault.New(fault.Conflict, "The key was rotated again since. Only the latest rotation can be undone.")
	errUsed      = fault.New(fault.Conflict, "A request came with the new credentials, so somebody has them. The rotation can't be undone any more.")
)

// MoveOverlapEnd lets the old credentials of an overlap work until another time.
func (s *Store) MoveOverlapEnd(ctx context.Context, by audit.Actor, id uuid.UUID, what What, until time.Time) error {
	const update = `UPDATE webhook_key_credentials SET expires_at = $2 WHERE id = $1`
	return s.onOverlap(ctx, by, id, what, audit.OverlapMoved, func(tx *sqlx.Tx, key Key, o Overlap) (was, is audit.Fields, err error) {
		if err := checkEnd(until, o.old[0].At); err != nil {
			return nil, nil, err
		}
		is = audit.Fields{"overlap_ends": until.UTC().Format(time.RFC3339), "rotated": string(what)}
		return o.fields(), is, o.each(ctx, tx, o.old, update, until)
	})
}

// EndOverlap stops the old credentials of an overlap now, for good.
func (s *Store) EndOverlap(ctx context.Context, by audit.Actor, id uuid.UUID, what What) error {
	const update = `UPDATE webhook_key_credentials SET ended_at = $2 WHERE id = $1`
	return s.onOverlap(ctx, by, id, what, audit.OverlapEnded, func(tx *sqlx.Tx, key Key, o Overlap) (was, is audit.Fields, err error) {
		is = audit.Fields{"overlap_ends": "now", "rotated": string(what)}
		return o.fields(), is, o.each(ctx, tx, o.old, update, o.old[0].At)
	})
}

// UndoRotation stops the new credentials and lets the old ones work on, as before,
// while no request has come with a new one. A request that is being stored at this
// very moment is still accepted.
func (s *Store) UndoRotation(ctx context.Context, by audit.Actor, id uuid.UUID, what What) error {
	const used = `SELECT EXISTS (SELECT FROM delivery_totals WHERE webhook_key_id = $1 AND credential_generation = $2)`
	const stop = `UPDATE webhook_key_credentials SET ended_at = $2 WHERE id = $1`
	const restore = `UPDATE webhook_key_credentials SET expires_at = NULL, superseded_at = NULL, used_before = NULL WHERE id = $1`
	return s.onOverlap(ctx, by, id, what, audit.RotationUndone, func(tx *sqlx.Tx, key Key, o Overlap) (was, is audit.Fields, err error) {
		if !o.Latest {
			return nil, nil, errOlder
		}
		var inUse bool
		if err := tx.GetContext(ctx, &inUse, used, id, o.New); err != nil {
			return nil, nil, err
		}
		if inUse {
			return nil, nil, errUsed
		}
		if err := o.each(ctx, tx, o.fresh, stop, o.old[0].At); err != nil {
			return nil, nil, err
		}
		if err := o.each(ctx, tx, o.old, restore); err != nil {
			return nil, nil, err
		}
		after, err := find(ctx, tx, by.WorkspaceID, id)
		was, is = changed(recognised(key), recognised(after))
		return was, is, err
	})
}

// onOverlap changes the overlap of what was rotated, and records it.
func (s *Store) onOverlap(ctx context.Context, by audit.Actor, id uuid.UUID, what What, action audit.Action,
	change func(*sqlx.Tx, Key, Overlap) (was, is audit.Fields, err error),
) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := lock(ctx, tx, by, id)
		if err != nil {
			return err
		}
		held, _, err := heldBy(ctx, tx, id)
		if err != nil {
			return err
		}
		overlaps := overlapsIn(held)
		i := slices.IndexFunc(overlaps, func(o Overlap) bool { return o.What == what })
		if i < 0 {
			return errNoOverlap
		}
		was, is, err := change(tx, key, overlaps[i])
		if err != nil {
			return err
		}
		return record(ctx, tx, by, action, key, was, is)
	})
	if err != nil {
		return conflict(err, string(action))
	}
	return nil
}

func (o Overlap) fields() audit.Fields {
	return audit.Fields{"overlap_ends": o.Until.UTC().Format(time.RFC3339), "rotated": string(o.What)}
}

// each runs a statement for each of some credentials, the first argument being its id.
func (o Overlap) each(ctx context.Context, tx *sqlx.Tx, some []holding, statement string, more ...any) error {
	for _, h := range some {
		if _, err := tx.ExecContext(ctx, statement, append([]any{h.ID}, more...)...); err != nil {
			return err
		}
	}
	return nil
}
