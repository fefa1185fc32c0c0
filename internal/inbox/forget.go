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
// its readers has read them, but not longer than KeepUnread.
type Rule struct {
	Workspace  uuid.UUID
	Keep       time.Duration
	KeepUnread time.Duration
	Readers    []uuid.UUID // tokens that work; one that has never read holds nothing back
}

// forgetSignals deletes the signals of a workspace that are past their time, with
// their bodies, from the front of the order alone: the place up to which they are
// gone says which cursors have missed some.
func (s *Store) forgetSignals(ctx context.Context, rule Rule) error {
	for again := true; again; {
		err := s.db.InTx(ctx, func(tx *sqlx.Tx) (err error) {
			again = false
			var mine bool
			if err := tx.GetContext(ctx, &mine, alone); err != nil || !mine {
				return err
			}
			again, err = forgetFront(ctx, tx, rule)
			if err != nil || again {
				return err
			}
			again, err = emptyRepetitions(ctx, tx, rule)
			return err
		})
		if postgres.Violates(err, "signal_floors_workspace_id_fkey") {
			return nil // the workspace went meanwhile, and all of this with it
		}
		if err != nil {
			return fmt.Errorf("forget signals: %w", err)
		}
	}
	return nil
}

// A doomed is a signal at the front.
type doomed struct {
	Position
	Unread bool `db:"unread"`
}

// forgetFront deletes one portion. It reports whether there may be more.
func forgetFront(ctx context.Context, tx *sqlx.Tx, rule Rule) (more bool, err error) {
	const query = `
		SELECT epoch, commit_xid, signal_id, unread FROM (
			SELECT epoch, commit_xid, id AS signal_id, NOT read AS unread,
				bool_and(id < uuid_floor(now() - make_interval(secs => $6)) OR read AND id < uuid_floor(now() - make_interval(secs => $5)))
					OVER (ORDER BY epoch, commit_xid, id) AS goes
			FROM (
				SELECT s.epoch, s.commit_xid, s.id, (s.epoch, s.commit_xid, s.id) <= ($2::integer, $3::xid8, $4::uuid) AS read
				FROM signals AS s WHERE s.workspace_id = $1 AND ` + ended + `
				ORDER BY s.epoch, s.commit_xid, s.id LIMIT $7) AS front) AS judged
		WHERE goes ORDER BY epoch, commit_xid, signal_id`
	const remove = `DELETE FROM signals WHERE id = ANY ($1)`
	const empty = `UPDATE deliveries SET body = NULL WHERE id = ANY ($1)`
	const floor = `
		INSERT INTO signal_floors AS f (workspace_id, epoch, commit_xid, signal_id) VALUES ($1, $2, $3, $4)
		ON CONFLICT (workspace_id) DO UPDATE SET epoch = excluded.epoch, commit_xid = excluded.commit_xid, signal_id = excluded.signal_id`
	slowest, err := slowestOf(ctx, tx, rule)
	if err != nil {
		return false, err
	}
	epoch, xid, id := slowest.args()
	var front []doomed
	err = tx.SelectContext(ctx, &front, query, rule.Workspace, epoch, xid, id, rule.Keep.Seconds(), rule.KeepUnread.Seconds(), forgetAtOnce)
	if err != nil || len(front) == 0 {
		return false, err
	}
	var ids []uuid.UUID
	unread := 0
	for _, d := range front {
		ids = append(ids, d.ID)
		if d.Unread {
			unread++
		}
	}
	for _, statement := range []string{remove, empty} {
		if _, err := tx.ExecContext(ctx, statement, pq.Array(ids)); err != nil {
			return false, err
		}
	}
	epoch, xid, id = front[len(front)-1].args()
	if _, err := tx.ExecContext(ctx, floor, rule.Workspace, epoch, xid, id); err != nil {
		return false, err
	}
	return len(front) == forgetAtOnce, recordUnread(ctx, tx, rule, unread)
}

// slowestOf is the position that all readers have read; without any, the end.
func slowestOf(ctx context.Context, tx *sqlx.Tx, rule Rule) (slowest Position, err error) {
	const query = `
		SELECT epoch, commit_xid, signal_id FROM signal_readers WHERE workspace_id = $1 AND token_id = ANY ($2)
		ORDER BY epoch, commit_xid, signal_id LIMIT 1`
	err = tx.GetContext(ctx, &slowest, query, rule.Workspace, pq.Array(rule.Readers))
	if errors.Is(err, sql.ErrNoRows) {
		return Position{Epoch: math.MaxInt32}, nil
	}
	return slowest, err
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

// emptyRepetitions does away with one portion of the bodies of duplicates that are
// as old as signals may be. It reports whether there may be more.
func emptyRepetitions(ctx context.Context, tx *sqlx.Tx, rule Rule) (more bool, err error) {
	const empty = `
		UPDATE deliveries SET body = NULL WHERE id = ANY (ARRAY(
			SELECT d.id FROM deliveries AS d
			WHERE d.workspace_id = $1 AND d.outcome = 'duplicate' AND d.body IS NOT NULL AND d.id < uuid_floor(now() - make_interval(secs => $2))
				AND d.id >= uuid_floor(coalesce((SELECT bodies_before FROM signal_floors WHERE workspace_id = $1), 'epoch'))
			ORDER BY d.id LIMIT $3))`
	const note = `
		INSERT INTO signal_floors AS f (workspace_id, bodies_before) VALUES ($1, now() - make_interval(secs => $2))
		ON CONFLICT (workspace_id) DO UPDATE SET bodies_before = excluded.bodies_before WHERE f.bodies_before < excluded.bodies_before`
	result, err := tx.ExecContext(ctx, empty, rule.Workspace, rule.Keep.Seconds(), forgetAtOnce)
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == forgetAtOnce {
		return true, err
	}
	_, err = tx.ExecContext(ctx, note, rule.Workspace, rule.Keep.Seconds())
	return false, err
}
