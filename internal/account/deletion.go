package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/postgres"
)

// A Deletion is a workspace whose rows are going.
type Deletion struct {
	ID    uuid.UUID `db:"id"`
	Name  string    `db:"name"`
	Slug  string    `db:"slug"`
	By    string    `db:"deleting_by"` // the name at the time
	Since time.Time `db:"deleting_at"`
	Left  *int64    `db:"deleting_left"` // deliveries that are still there; nil: not counted yet
}

// Deletions lists the workspaces of a user that are being deleted, by name.
func (s *Store) Deletions(ctx context.Context, user uuid.UUID) (going []Deletion, err error) {
	const query = `
		SELECT w.id, w.name, w.slug, w.deleting_by, w.deleting_at, w.deleting_left
		FROM workspaces AS w JOIN memberships AS m ON m.workspace_id = w.id
		WHERE m.user_id = $1 AND w.deleting_at IS NOT NULL ORDER BY lower(w.name), w.id`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &going, query, user) })
	if err != nil {
		return nil, fmt.Errorf("list deletions: %w", err)
	}
	return going, nil
}

// DeleteWorkspace takes a workspace out of use, at once and for good: nobody finds
// it any more, and its keys and tokens are refused. Its rows go later, see
// [Store.EraseDeleted]. The audit trail stays.
func (s *Store) DeleteWorkspace(ctx context.Context, by audit.Actor, slug string) error {
	const lock = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.slug = $1 AND w.deleting_at IS NULL FOR UPDATE`
	const stop = `UPDATE workspaces SET deleting_at = now(), deleting_by = $2, deleting_actor = $3 WHERE id = $1`
	if !validSlug(slug) {
		return errNoWorkspace
	}
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		var workspace Workspace
		err := tx.GetContext(ctx, &workspace, lock, slug)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoWorkspace // or somebody else was faster
		}
		if err != nil {
			return err
		}
		by = by.In(workspace.ID)
		if _, _, err := standingAs(ctx, tx, by, DeleteWorkspace); err != nil {
			return err
		}
		actor, err := json.Marshal(by)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, stop, workspace.ID, by.Label, string(actor)); err != nil {
			return err
		}
		return recordDeletion(ctx, tx, by, audit.WorkspaceDeleted, workspace)
	})
	return conflict(err, "delete workspace")
}

// recordDeletion adds an entry to the workspace's chain and to the instance's.
func recordDeletion(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, workspace Workspace) error {
	target := audit.Target{Kind: "workspace", ID: workspace.ID.String(), Label: workspace.Name}
	fields := audit.Fields{"name": workspace.Name, "slug": workspace.Slug}
	if err := audit.Record(ctx, tx, by.In(workspace.ID), action, target, fields, nil); err != nil {
		return err
	}
	return audit.Record(ctx, tx, by.In(uuid.Nil), action, target, fields, nil)
}

const (
	// eraseAtOnce bounds one portion: what it holds others may have to wait for.
	eraseAtOnce = 500
	// leastPause is how long the database rests between portions at least.
	leastPause = 5 * time.Millisecond
)

// EraseDeleted goes on with the deletions, a portion at a time, until none is left.
// Between two it rests for as long as the last one took: half of what a disk can
// write is for who sends. It can be cut off anywhere and called again, by several
// instances at once. It needs a Store on the maintenance pool.
func (s *Store) EraseDeleted(ctx context.Context) error {
	for more := true; more; {
		began := time.Now()
		err := s.db.InTx(ctx, func(tx *sqlx.Tx) (err error) {
			more, err = erasePortion(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("erase deleted workspaces: %w", err)
		}
		if !more {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(leastPause, time.Since(began))):
		}
	}
	return nil
}

// A doomed workspace is one whose rows are going, with its lock.
type doomed struct {
	Workspace
	Actor   []byte    `db:"deleting_actor"`
	Left    *int64    `db:"deleting_left"`
	Reached uuid.UUID `db:"deleting_reached"`
}

// erasePortion takes a portion of the deletion that began first, or, where nothing
// is left of it, the workspace itself.
func erasePortion(ctx context.Context, tx *sqlx.Tx) (more bool, err error) {
	const next = `
		SELECT ` + workspaceColumns + `, w.deleting_actor, w.deleting_left, w.deleting_reached
		FROM workspaces AS w WHERE w.deleting_at IS NOT NULL ORDER BY w.deleting_at, w.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED`
	const count = `SELECT count(*) FROM deliveries WHERE workspace_id = $1`
	const erase = `SELECT erased, reached, log FROM erase_workspace_rows($1, $2, $3)`
	const note = `UPDATE workspaces SET deleting_left = $2, deleting_reached = $3 WHERE id = $1`
	var d doomed
	err = tx.GetContext(ctx, &d, next)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var left int64
	if d.Left == nil { // told to who waits, before the first rows go
		if err := tx.GetContext(ctx, &left, count, d.ID); err != nil {
			return false, err
		}
		_, err = tx.ExecContext(ctx, note, d.ID, left, uuid.Nil)
		return true, err
	}
	var erased int64
	var log bool
	reached := d.Reached
	err = tx.QueryRowxContext(ctx, erase, d.ID, reached, eraseAtOnce).Scan(&erased, &reached, &log)
	switch {
	case err != nil:
		return false, err
	case erased == 0 && reached == uuid.Nil:
		return true, d.finish(ctx, tx)
	case erased == 0: // once more from the front: some may have been passed over
		reached = uuid.Nil
	case log:
		left = max(0, *d.Left-erased)
	}
	_, err = tx.ExecContext(ctx, note, d.ID, left, reached)
	return true, err
}

// finish removes the workspace with the little that is left, and ends it in the trail.
func (d doomed) finish(ctx context.Context, tx *sqlx.Tx) error {
	const remove = `DELETE FROM workspaces WHERE id = $1`
	var by audit.Actor
	if err := json.Unmarshal(d.Actor, &by); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, remove, d.ID); err != nil {
		return err
	}
	return recordDeletion(ctx, tx, by, audit.WorkspaceErased, d.Workspace)
}
