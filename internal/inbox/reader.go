package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A Reading says that a token has read a workspace up to a position.
type Reading struct {
	TokenID, WorkspaceID uuid.UUID
	Until                Position
	At                   time.Time
}

// MarkRead stores how far tokens have read, as part of tx. The latest word counts,
// also of one that began anew from an earlier place.
func MarkRead(ctx context.Context, tx *sqlx.Tx, readings []Reading) error {
	const upsert = `
		INSERT INTO signal_readers AS r (token_id, workspace_id, epoch, commit_xid, signal_id, read_at)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::xid8[], $5::uuid[], $6::timestamptz[]) AS u (token_id, w, e, x, s, t)
		ORDER BY token_id
		ON CONFLICT (token_id) DO UPDATE SET epoch = excluded.epoch, commit_xid = excluded.commit_xid, signal_id = excluded.signal_id, read_at = excluded.read_at
		WHERE r.read_at <= excluded.read_at`
	if len(readings) == 0 {
		return nil
	}
	var tokens, workspaces, ids []uuid.UUID
	var epochs []int32
	var xids []string
	var times []time.Time
	for _, r := range readings {
		epoch, xid, id := r.Until.args()
		tokens, workspaces, times = append(tokens, r.TokenID), append(workspaces, r.WorkspaceID), append(times, r.At)
		epochs, xids, ids = append(epochs, epoch), append(xids, xid), append(ids, id)
	}
	_, err := tx.ExecContext(ctx, upsert, pq.Array(tokens), pq.Array(workspaces), pq.Array(epochs), pq.Array(xids), pq.Array(ids), pq.Array(times))
	if err != nil {
		return fmt.Errorf("store how far tokens have read: %w", err)
	}
	return nil
}

// A Held is what is committed and may not be read yet, because a transaction that
// writes has been open since before.
type Held struct {
	Signals int       `db:"signals"` // at most [MaxCounted]
	Since   time.Time `db:"since"`   // when the first of them was received
}

// MaxCounted is how far signals are counted for people.
const MaxCounted = 10_001

// HeldBack returns what readers of a workspace wait for.
func (s *Store) HeldBack(ctx context.Context, workspace uuid.UUID) (held Held, err error) {
	const query = `
		SELECT count(*) AS signals, coalesce(min(received_at), now()) AS since FROM (
			SELECT s.received_at FROM signals AS s
			WHERE s.workspace_id = $1 AND (s.epoch, s.commit_xid) >= ((SELECT epoch FROM instance), pg_snapshot_xmin(pg_current_snapshot()))
			ORDER BY s.epoch, s.commit_xid, s.id LIMIT $2) AS waiting`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &held, query, workspace, MaxCounted) })
	if err != nil {
		return Held{}, fmt.Errorf("look what is held back: %w", err)
	}
	return held, nil
}

// A Reader is how far a token has read.
type Reader struct {
	TokenID      uuid.UUID  `db:"token_id"`
	ReadAt       time.Time  `db:"read_at"`       // when it last came
	ReadUntil    *time.Time `db:"read_until"`    // when the last signal that it read was received; nil: it is gone, or none
	Behind       int        `db:"behind"`        // signals that it may read and has not; at most [MaxCounted]
	OldestUnread *time.Time `db:"oldest_unread"` // when the first of them was received; nil: none
}

// Readers returns how far each token of a workspace has read that has read at all,
// the slowest first.
func (s *Store) Readers(ctx context.Context, workspace uuid.UUID) (readers []Reader, err error) {
	const place = `s.workspace_id = $1 AND (s.epoch, s.commit_xid, s.id) `
	const query = `
		SELECT r.token_id, r.read_at,
			(SELECT s.received_at FROM signals AS s WHERE ` + place + `<= (r.epoch, r.commit_xid, r.signal_id)
				ORDER BY s.epoch DESC, s.commit_xid DESC, s.id DESC LIMIT 1) AS read_until,
			(SELECT count(*) FROM (SELECT FROM signals AS s WHERE ` + place + `> (r.epoch, r.commit_xid, r.signal_id) AND ` + ended + ` LIMIT $2) AS unread) AS behind,
			(SELECT s.received_at FROM signals AS s WHERE ` + place + `> (r.epoch, r.commit_xid, r.signal_id) AND ` + ended + `
				ORDER BY s.epoch, s.commit_xid, s.id LIMIT 1) AS oldest_unread
		FROM signal_readers AS r WHERE r.workspace_id = $1
		ORDER BY r.epoch, r.commit_xid, r.signal_id, r.token_id`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &readers, query, workspace, MaxCounted) })
	if err != nil {
		return nil, fmt.Errorf("look how far tokens have read: %w", err)
	}
	return readers, nil
}
