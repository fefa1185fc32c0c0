package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/fault"
)

// A ChangeKind is what became of signals after they could be read.
type ChangeKind string

// The kinds of changes.
const (
	Marked   ChangeKind = "marked"
	Unmarked ChangeKind = "unmarked"
	Erased   ChangeKind = "erased"
)

// A Change is one entry of a workspace's list of them: of a mark, or of an erasure.
type Change struct {
	ID      uuid.UUID  `db:"id"` // also its place
	Kind    ChangeKind `db:"change"`
	At      time.Time  `db:"changed_at"`
	Mark    *Mark      `db:"-"`
	Erasure *Erasure   `db:"-"`
}

// noteChange adds to the list as part of tx. The lock lets numbers become visible
// in their order, so that a reader of the list misses none.
func noteChange(ctx context.Context, tx *sqlx.Tx, workspaceID uuid.UUID, kind ChangeKind, mark, erasure *uuid.UUID) error {
	const lock = `SELECT id FROM workspaces WHERE id = $1 FOR NO KEY UPDATE`
	const insert = `
		INSERT INTO signal_changes (id, workspace_id, seq, change, range_id, erasure_id)
		SELECT $1, $2, coalesce(max(seq), 0) + 1, $3, $4, $5 FROM signal_changes WHERE workspace_id = $2`
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	var locked uuid.UUID
	if err := tx.GetContext(ctx, &locked, lock, workspaceID); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert, id, workspaceID, kind, mark, erasure)
	return err
}

var errChangesCursor = fault.On("after", fault.Invalid, "The cursor is not one that this list has given out. Read it again from its beginning.")

// Changes returns what became of a workspace's signals behind a place, oldest
// first; uuid.Nil is the beginning.
func (s *Store) Changes(ctx context.Context, workspaceID, after uuid.UUID, limit int) (changes []Change, err error) {
	const place = `SELECT seq FROM signal_changes WHERE id = $1 AND workspace_id = $2`
	const query = `
		SELECT c.id, c.change, c.changed_at,
			r.id AS range_id, r.webhook_key_id, coalesce(r.address, '') AS address, r.credential_generation, r.from_at, r.until_at, coalesce(r.reason, e.reason) AS reason,
			e.id AS erasure_id, coalesce(e.source, '') AS source, coalesce(e.source_ref, '') AS source_ref
		FROM signal_changes AS c LEFT JOIN suspect_ranges AS r ON r.id = c.range_id LEFT JOIN erasures AS e ON e.id = c.erasure_id
		WHERE c.workspace_id = $1 AND c.seq > $2 ORDER BY c.seq LIMIT $3`
	var rows []changeRow
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		var seq int64
		if after != uuid.Nil {
			if err := tx.GetContext(ctx, &seq, place, after, workspaceID); err != nil {
				return err
			}
		}
		return tx.SelectContext(ctx, &rows, query, workspaceID, seq, limit)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errChangesCursor
	}
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	for _, row := range rows {
		changes = append(changes, row.whole())
	}
	return changes, nil
}

type changeRow struct {
	Change
	RangeID    *uuid.UUID `db:"range_id"`
	KeyID      *uuid.UUID `db:"webhook_key_id"`
	Address    string     `db:"address"`
	Generation *int       `db:"credential_generation"`
	From       *time.Time `db:"from_at"`
	Until      *time.Time `db:"until_at"`
	Reason     string     `db:"reason"`
	ErasureID  *uuid.UUID `db:"erasure_id"`
	Source     string     `db:"source"`
	SourceRef  string     `db:"source_ref"`
}

func (r changeRow) whole() Change {
	change := r.Change
	if r.RangeID != nil {
		change.Mark = &Mark{ID: *r.RangeID, KeyID: *r.KeyID, Address: r.Address, Generation: r.Generation, From: *r.From, Until: *r.Until, Reason: r.Reason}
	} else {
		change.Erasure = &Erasure{ID: *r.ErasureID, Source: r.Source, SourceRef: r.SourceRef, Reason: r.Reason}
	}
	return change
}
