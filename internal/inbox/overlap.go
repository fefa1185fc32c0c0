package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// quietFor is how long nothing may have come with an old credential before it is
// called safe to retire.
const quietFor = time.Hour

// An OverlapUse is what came in with a key since it was rotated.
type OverlapUse struct {
	Old       int64      // requests with an old credential
	LastOldAt *time.Time // nil: none
	New       int64      // requests with a new one
	Senders   []Sender   // with an old one, the latest first, of the newest 20,000 requests
	Safe      bool       // an hour of usual traffic came without an old one
	Quiet     bool       // an hour without an old one, but with too little traffic to tell
}

// A Rotation says how the requests since it are told apart.
type Rotation struct {
	At     time.Time
	Old    []int // generations of requests with an old credential
	New    int   // that of requests with a new one
	Before int64 // requests under Old in the hour of At, before
}

// UseSince returns who uses which credentials of a key since a rotation.
func (s *Store) UseSince(ctx context.Context, workspaceID, keyID uuid.UUID, r Rotation) (use OverlapUse, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		quiet, needed, err := use.count(ctx, tx, workspaceID, keyID, r)
		if err != nil {
			return err
		}
		if use.Senders, err = oldSenders(ctx, tx, workspaceID, keyID, r); err != nil || quiet.IsZero() {
			return err
		}
		use.Safe, err = sentSince(ctx, tx, workspaceID, keyID, quiet, needed)
		use.Quiet = !use.Safe
		return err
	})
	if err != nil {
		return OverlapUse{}, fmt.Errorf("read who uses a rotated key: %w", err)
	}
	return use, nil
}

// count reads the counts. quiet is since when nothing came with an old credential,
// zero if that is less than an hour; needed is half of what usually comes in one.
func (u *OverlapUse) count(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID, r Rotation) (quiet time.Time, needed int64, err error) {
	const query = `
		SELECT now(),
			coalesce(sum(requests) FILTER (WHERE hour >= $3 AND credential_generation = ANY ($4) AND reason NOT IN ('credential_ended', 'credential_expired', 'credential_leaked')), 0),
			max(last_at) FILTER (WHERE last_at > $6 AND credential_generation = ANY ($4) AND reason NOT IN ('credential_ended', 'credential_expired', 'credential_leaked')),
			coalesce(sum(requests) FILTER (WHERE credential_generation = $5), 0),
			coalesce(sum(requests) FILTER (WHERE hour < $3 AND outcome <> 'refused'), 0),
			min(hour) FILTER (WHERE hour < $3)
		FROM delivery_totals WHERE webhook_key_id = $1 AND workspace_id = $2 AND hour >= $7`
	const week = 7 * 24 * time.Hour
	var now time.Time
	var first *time.Time
	var usual int64
	hour := hourOf(r.At)
	err = tx.QueryRowxContext(ctx, query, keyID, workspaceID, hour, pq.Array(r.Old), r.New, r.At, hour.Add(-week)).
		Scan(&now, &u.Old, &u.LastOldAt, &u.New, &usual, &first)
	if err != nil {
		return quiet, 0, err
	}
	u.Old = max(u.Old-r.Before, 0)
	needed = 1
	if first != nil {
		hours := int64(hour.Sub(*first) / time.Hour)
		needed = min(max((usual+2*hours-1)/(2*hours), 1), 1000)
	}
	quiet = r.At
	if u.LastOldAt != nil {
		quiet = *u.LastOldAt
	}
	if now.Sub(quiet) < quietFor {
		quiet = time.Time{}
	}
	return quiet, needed, nil
}

// oldSenders returns who sent with an old credential, of the newest 20,000 requests.
func oldSenders(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID, r Rotation) (senders []Sender, err error) {
	const query = `
		SELECT address, user_agent, count(*) AS requests, min(received_at) AS first_at, max(received_at) AS last_at
		FROM (
			SELECT address, user_agent, received_at, credential_generation, reason FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3)
			ORDER BY id DESC LIMIT $4
		) AS newest
		WHERE credential_generation = ANY ($5) AND received_at > $3 AND reason NOT IN ('credential_ended', 'credential_expired', 'credential_leaked')
		GROUP BY address, user_agent ORDER BY last_at DESC LIMIT $6`
	err = tx.SelectContext(ctx, &senders, query, keyID, workspaceID, r.At, maxSenderRows, pq.Array(r.Old), maxSenders)
	return senders, err
}

// sentSince reports whether at least so many requests were let in since a moment:
// by the counts of the whole hours behind it, then by the rows of its own hour.
func sentSince(ctx context.Context, tx *sqlx.Tx, workspaceID, keyID uuid.UUID, since time.Time, needed int64) (enough bool, err error) {
	const query = `
		SELECT count(*) >= $5 FROM (
			SELECT FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3) AND id < uuid_floor($4) AND received_at > $3 AND received_at < $4
				AND outcome <> 'refused'
			ORDER BY id LIMIT $5
		) AS sent`
	end := hourOf(since).Add(time.Hour)
	behind, err := letIn(ctx, tx, workspaceID, keyID, end)
	if err != nil || behind >= needed {
		return behind >= needed, err
	}
	err = tx.GetContext(ctx, &enough, query, keyID, workspaceID, since, end, needed-behind)
	return enough, err
}

// A RotatedKey is a rotation of a key.
type RotatedKey struct {
	WorkspaceID, KeyID uuid.UUID
	Rotation
}

// An OldUse is how often old credentials came since their rotation.
type OldUse struct {
	Requests int64
	LastAt   *time.Time // nil: not at all
	Safe     bool       // as an OverlapUse says; of the first 100 that may be
}

// InUse reports whether somebody seems to need the old credentials still: they came
// in the last 24 hours, and it is not safe to retire them.
func (u OldUse) InUse(now time.Time) bool {
	return u.LastAt != nil && now.Sub(*u.LastAt) < 24*time.Hour && !u.Safe
}

// maxSafe bounds how many rotations are looked at more closely.
const maxSafe = 100

// OldUses returns the uses of the old credentials of rotations, in their order,
// without who it was.
func (s *Store) OldUses(ctx context.Context, rotations []RotatedKey) ([]OldUse, error) {
	const query = `
		SELECT r.place, coalesce(sum(c.requests), 0) AS requests, max(c.last_at) FILTER (WHERE c.last_at > r.since) AS last_at
		FROM unnest($1::integer[], $2::uuid[], $3::integer[], $4::timestamptz[], $5::timestamptz[]) AS r (place, key, generation, since, hour)
		JOIN delivery_totals AS c ON c.webhook_key_id = r.key AND c.credential_generation = r.generation AND c.hour >= r.hour
		WHERE c.reason NOT IN ('credential_ended', 'credential_expired', 'credential_leaked') GROUP BY r.place`
	var places, generations []int64
	var keys []uuid.UUID
	var times, hours []time.Time
	for i, r := range rotations {
		for _, generation := range r.Old {
			places, generations, keys = append(places, int64(i)), append(generations, int64(generation)), append(keys, r.KeyID)
			times, hours = append(times, r.At), append(hours, hourOf(r.At))
		}
	}
	var rows []struct {
		Place    int        `db:"place"`
		Requests int64      `db:"requests"`
		LastAt   *time.Time `db:"last_at"`
	}
	uses := make([]OldUse, len(rotations))
	if len(places) == 0 {
		return uses, nil
	}
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		err := tx.SelectContext(ctx, &rows, query, pq.Array(places), pq.Array(keys), pq.Array(generations), pq.Array(times), pq.Array(hours))
		for i, row := range rows {
			use := &uses[row.Place]
			use.Requests, use.LastAt = max(row.Requests-rotations[row.Place].Before, 0), row.LastAt
			if err == nil && i < maxSafe && row.LastAt != nil {
				use.Safe, err = safe(ctx, tx, rotations[row.Place])
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who uses rotated keys: %w", err)
	}
	return uses, nil
}

// safe tells whether an hour of usual traffic came without an old credential.
func safe(ctx context.Context, tx *sqlx.Tx, r RotatedKey) (bool, error) {
	var use OverlapUse
	quiet, needed, err := use.count(ctx, tx, r.WorkspaceID, r.KeyID, r.Rotation)
	if err != nil || quiet.IsZero() {
		return false, err
	}
	return sentSince(ctx, tx, r.WorkspaceID, r.KeyID, quiet, needed)
}
