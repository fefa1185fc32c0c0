package keyring

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const (
	// OverlapNotice is how long before its end an overlap is pointed out.
	OverlapNotice = 24 * time.Hour

	week     = 7 * 24 * time.Hour
	longIdle = 90 * 24 * time.Hour
)

// A Mention is a key as a concern names it.
type Mention struct {
	ID         uuid.UUID  `db:"id"`
	Name       string     `db:"name"`
	ExpiresAt  *time.Time `db:"expires_at"`
	LastUsedAt *time.Time `db:"last_used_at"`
	CreatedAt  time.Time  `db:"created_at"`
}

// A Concern is a set of keys that somebody should look at: how many, and the
// first few of them.
type Concern struct {
	Count int
	First []Mention
}

// Concerns are the keys of a workspace that work and should be looked at. A key
// may be of several.
type Concerns struct {
	Expiring     Concern // within ExpiringWithin, the soonest first
	WithinWeek   int     // of them
	NeverUsed    Concern // the oldest first
	Idle         Concern // not used for IdleAfter, nor younger; the longest first
	LongIdle     Concern // of them, for 90 days
	NeverExpires Concern
	OwnerGone    Concern // nobody who still belongs to the workspace answers for it
}

// working is the condition of a key k that requests can be accepted with.
const working = `k.is_active AND (k.expires_at > now()) IS NOT FALSE AND ` + notLeakedOut

// ownerGone is the condition of a key k that nobody of its workspace answers for.
const ownerGone = `NOT EXISTS (SELECT FROM memberships AS m JOIN users AS u ON u.id = m.user_id
	WHERE m.workspace_id = k.workspace_id AND m.user_id = k.owner_id AND u.disabled_at IS NULL)`

// Concerns returns what should be looked at, with the first few keys of each.
func (s *Store) Concerns(ctx context.Context, workspace uuid.UUID, few int) (c Concerns, err error) {
	const query = `
		WITH working AS MATERIALIZED (
			SELECT k.id, k.name, k.expires_at, k.last_used_at, k.created_at, coalesce(k.last_used_at, k.created_at) AS quiet_since, ` + ownerGone + ` AS owner_gone
			FROM webhook_keys AS k WHERE k.workspace_id = $1 AND ` + working + `
		), concerned AS (
			SELECT 'expiring' AS concern, w.*, w.expires_at AS first FROM working AS w WHERE w.expires_at <= now() + make_interval(secs => $2)
			UNION ALL SELECT 'within-week', w.*, w.expires_at FROM working AS w WHERE w.expires_at <= now() + make_interval(secs => $3)
			UNION ALL SELECT 'never-used', w.*, w.created_at FROM working AS w WHERE w.last_used_at IS NULL
			UNION ALL SELECT 'idle', w.*, w.quiet_since FROM working AS w WHERE w.quiet_since < now() - make_interval(secs => $4)
			UNION ALL SELECT 'idle-90', w.*, w.quiet_since FROM working AS w WHERE w.quiet_since < now() - make_interval(secs => $5)
			UNION ALL SELECT 'never-expires', w.*, w.created_at FROM working AS w WHERE w.expires_at IS NULL
			UNION ALL SELECT 'owner-gone', w.*, w.created_at FROM working AS w WHERE w.owner_gone
		), placed AS (
			SELECT c.*, count(*) OVER (PARTITION BY concern) AS all_of_it, row_number() OVER (PARTITION BY concern ORDER BY first, id) AS place FROM concerned AS c
		)
		SELECT concern, all_of_it, id, name, expires_at, last_used_at, created_at FROM placed WHERE place <= $6 ORDER BY concern, place`
	var rows []struct {
		Concern string `db:"concern"`
		Count   int    `db:"all_of_it"`
		Mention
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, query, workspace, ExpiringWithin.Seconds(), week.Seconds(), IdleAfter.Seconds(), longIdle.Seconds(), few)
	})
	if err != nil {
		return Concerns{}, fmt.Errorf("look for keys of concern: %w", err)
	}
	var within Concern
	concerns := map[string]*Concern{
		"expiring": &c.Expiring, "within-week": &within, "never-used": &c.NeverUsed, "idle": &c.Idle, "idle-90": &c.LongIdle,
		"never-expires": &c.NeverExpires, "owner-gone": &c.OwnerGone,
	}
	for _, row := range rows {
		concern := concerns[row.Concern]
		concern.Count, concern.First = row.Count, append(concern.First, row.Mention)
	}
	c.WithinWeek = within.Count
	return c, nil
}

// An EndingOverlap is an overlap of a key that ends soon.
type EndingOverlap struct {
	WorkspaceID, KeyID uuid.UUID
	Name               string
	Overlap
}

// EndingOverlaps returns the overlaps of keys that work which end within
// [OverlapNotice], the soonest first: of a workspace, or of all if that is uuid.Nil.
func (s *Store) EndingOverlaps(ctx context.Context, workspace uuid.UUID) (ending []EndingOverlap, err error) {
	const query = `
		SELECT k.id, k.workspace_id, k.name, min(c.expires_at) AS until FROM webhook_key_credentials AS c JOIN webhook_keys AS k ON k.id = c.webhook_key_id
		WHERE c.ended_at IS NULL AND c.expires_at > now() AND c.expires_at <= now() + make_interval(secs => $2) AND ($1::uuid IS NULL OR k.workspace_id = $1)
			AND c.superseded_at IS NOT NULL AND ` + working + `
		GROUP BY k.id, k.workspace_id, k.name ORDER BY until, k.id`
	var keys []struct {
		ID          uuid.UUID `db:"id"`
		WorkspaceID uuid.UUID `db:"workspace_id"`
		Name        string    `db:"name"`
		Until       time.Time `db:"until"`
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &keys, query, uuid.NullUUID{UUID: workspace, Valid: workspace != uuid.Nil}, OverlapNotice.Seconds()); err != nil {
			return err
		}
		for _, key := range keys {
			held, at, err := heldBy(ctx, tx, key.ID)
			if err != nil {
				return err
			}
			for _, o := range overlapsIn(held) {
				if o.Until.Sub(at) <= OverlapNotice {
					ending = append(ending, EndingOverlap{key.WorkspaceID, key.ID, key.Name, o})
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for overlaps that end: %w", err)
	}
	return ending, nil
}

// Some returns those keys of a workspace that are there, without what people
// recognise their credentials by, or whom.
func (s *Store) Some(ctx context.Context, workspace uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Key, error) {
	const query = `SELECT ` + bare + ` FROM webhook_keys AS k WHERE k.workspace_id = $1 AND k.id = ANY ($2)`
	var keys []Key
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &keys, query, workspace, pq.Array(ids)) })
	if err != nil {
		return nil, fmt.Errorf("find keys: %w", err)
	}
	found := make(map[uuid.UUID]Key, len(keys))
	for _, key := range keys {
		found[key.ID] = key
	}
	return found, nil
}

// Works reports whether the key is active, has not expired, and has credentials
// unless it never had any.
func (k Key) Works(now time.Time) bool {
	return k.Active && !k.Leaked() && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

// Expiring counts the keys of the whole instance that work and end within a day, a
// week and [ExpiringWithin].
func (s *Store) Expiring(ctx context.Context) (day, sevenDays, notice int, err error) {
	const query = `
		SELECT count(*) FILTER (WHERE k.expires_at <= now() + interval '1 day'), count(*) FILTER (WHERE k.expires_at <= now() + make_interval(secs => $1)), count(*)
		FROM webhook_keys AS k WHERE k.expires_at <= now() + make_interval(secs => $2) AND ` + working
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.QueryRowxContext(ctx, query, week.Seconds(), ExpiringWithin.Seconds()).Scan(&day, &sevenDays, &notice)
	})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("count the keys that expire: %w", err)
	}
	return day, sevenDays, notice, nil
}

// Working tells which of the keys, of whatever workspaces, work.
func (s *Store) Working(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	const query = `SELECT k.id FROM webhook_keys AS k WHERE k.id = ANY ($1) AND ` + working
	var found []uuid.UUID
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &found, query, pq.Array(ids)) })
	if err != nil {
		return nil, fmt.Errorf("find the keys that work: %w", err)
	}
	works := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		works[id] = true
	}
	return works, nil
}
