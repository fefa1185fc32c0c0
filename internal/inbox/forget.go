package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/postgres"
)

// A Rule says how long a workspace's signals are kept: for Keep, and until each of
// its readers has read them, but not longer than KeepUnread; and how long its log:
// deliveries for Log, to the end of their week, and their bodies and headers for
// Payloads. What a signal needs stays with it.
type Rule struct {
	Workspace  uuid.UUID
	Keep       time.Duration
	KeepUnread time.Duration
	Log        time.Duration
	Payloads   time.Duration
	Readers    []uuid.UUID // tokens that work; one that has never read holds nothing back
}

// A portion is one bounded part of the work. It reports whether there may be more.
type portion func(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule) (more bool, err error)

// follow does a workspace's work, portion by portion, each in a transaction.
func (s *Store) follow(ctx context.Context, now time.Time, rule Rule, portions ...portion) error {
	for _, do := range portions {
		err := s.repeat(ctx, func(tx *sqlx.Tx) (bool, error) { return do(ctx, tx, now, rule) })
		if postgres.Violates(err, "signal_floors_workspace_id_fkey") {
			return nil // the workspace went meanwhile, and all of this with it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repeat does one thing until there is no more of it. Between the parts it rests
// for as long as it worked, so that half of what it uses is left to others.
func (s *Store) repeat(ctx context.Context, do func(*sqlx.Tx) (more bool, err error)) error {
	for again := true; again; {
		began := time.Now()
		err := s.db.InTx(ctx, func(tx *sqlx.Tx) (err error) {
			again = false
			var mine bool
			if err := tx.GetContext(ctx, &mine, alone); err != nil || !mine {
				return err
			}
			again, err = do(tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget what is past its time: %w", err)
		}
		if again {
			rest(ctx, min(time.Since(began), maxRest))
		}
	}
	return nil
}

const maxRest = 100 * time.Millisecond

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A doomed is a signal at the front.
type doomed struct {
	Position
	Unread bool  `db:"unread"`
	Log    Limit `db:"log"`
}

// front are the signals of a workspace ($1) that are past their time ($5, $6), from
// the front of the order alone: the place up to which they are gone says which
// cursors have missed some.
const front = `
	SELECT judged.epoch, judged.commit_xid, judged.signal_id, judged.unread, coalesce(k.log, 'full') AS log FROM (
		SELECT epoch, commit_xid, id AS signal_id, webhook_key_id, NOT read AS unread,
			bool_and(id < uuid_floor($6) OR read AND id < uuid_floor($5)) OVER (ORDER BY epoch, commit_xid, id) AS goes
		FROM (
			SELECT s.epoch, s.commit_xid, s.id, s.webhook_key_id, (s.epoch, s.commit_xid, s.id) <= ($2::integer, $3::xid8, $4::uuid) AS read
			FROM signals AS s WHERE s.workspace_id = $1 AND ` + ended + `
			ORDER BY s.epoch, s.commit_xid, s.id LIMIT $7) AS front) AS judged
	LEFT JOIN webhook_keys AS k ON k.id = judged.webhook_key_id
	WHERE goes ORDER BY judged.epoch, judged.commit_xid, judged.signal_id`

func readFront(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule, limit int) (found []doomed, err error) {
	slowest, held, err := slowestOf(ctx, tx, rule)
	if err != nil {
		return nil, err
	}
	if !held {
		slowest = Position{Epoch: math.MaxInt32}
	}
	epoch, xid, id := slowest.args()
	err = tx.SelectContext(ctx, &found, front, rule.Workspace, epoch, xid, id, now.Add(-rule.Keep), now.Add(-rule.KeepUnread), limit)
	return found, err
}

// forgetFront deletes signals, and of their deliveries what the log does not keep.
func forgetFront(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule) (more bool, err error) {
	const remove = `DELETE FROM signals WHERE id = ANY ($1)`
	const floor = `
		INSERT INTO signal_floors AS f (workspace_id, epoch, commit_xid, signal_id) VALUES ($1, $2, $3, $4)
		ON CONFLICT (workspace_id) DO UPDATE SET epoch = excluded.epoch, commit_xid = excluded.commit_xid, signal_id = excluded.signal_id`
	if _, err := lockFloor(ctx, tx, rule.Workspace); err != nil {
		return false, err
	}
	gone, err := readFront(ctx, tx, now, rule, forgetAtOnce)
	if err != nil || len(gone) == 0 {
		return false, err
	}
	var ids []uuid.UUID
	var cut cuts
	unread := 0
	for _, d := range gone {
		ids = append(ids, d.ID)
		cut.add(d.ID, d.Log, now, rule)
		if d.Unread {
			unread++
		}
	}
	if _, err := tx.ExecContext(ctx, remove, pq.Array(ids)); err != nil {
		return false, err
	}
	if err := cut.apply(ctx, tx); err != nil {
		return false, err
	}
	epoch, xid, id := gone[len(gone)-1].args()
	if _, err := tx.ExecContext(ctx, floor, rule.Workspace, epoch, xid, id); err != nil {
		return false, err
	}
	return len(gone) == forgetAtOnce, recordUnread(ctx, tx, rule, unread)
}

// slowestOf is the position that all readers have read; held is false without any.
func slowestOf(ctx context.Context, tx *sqlx.Tx, rule Rule) (slowest Position, held bool, err error) {
	const query = `
		SELECT epoch, commit_xid, signal_id FROM signal_readers WHERE workspace_id = $1 AND token_id = ANY ($2)
		ORDER BY epoch, commit_xid, signal_id LIMIT 1`
	err = tx.GetContext(ctx, &slowest, query, rule.Workspace, pq.Array(rule.Readers))
	if errors.Is(err, sql.ErrNoRows) {
		return Position{}, false, nil
	}
	return slowest, err == nil, err
}

// recordUnread tells the trail that a reader will miss signals.
func recordUnread(ctx context.Context, tx *sqlx.Tx, rule Rule, unread int) error {
	if unread == 0 {
		return nil
	}
	by := audit.Actor{WorkspaceID: rule.Workspace, Kind: audit.System, Label: "Keyhook"}
	target := audit.Target{Kind: "workspace", ID: rule.Workspace.String(), Label: "signals"}
	fields := audit.Fields{"signals": unread, "after_days": int(rule.KeepUnread.Hours() / 24)}
	return audit.Record(ctx, tx, by, audit.UnreadDeleted, target, fields, nil)
}
