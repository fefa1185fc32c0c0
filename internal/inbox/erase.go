package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// An Erasure takes the bodies and headers of all requests with one source ref. It
// leaves their hashes and traces. It goes on in portions, see [Store.Erase].
type Erasure struct {
	ID         uuid.UUID  `db:"id"`
	Source     string     `db:"source"` // "": any
	SourceRef  string     `db:"source_ref"`
	Reason     string     `db:"reason"`
	AskedAt    time.Time  `db:"asked_at"`
	AskedBy    string     `db:"asked_by"` // the name at the time
	Deliveries int64      `db:"deliveries"`
	Signals    int64      `db:"signals"`
	Refused    int64      `db:"refused"` // sealed requests that were kept
	FinishedAt *time.Time `db:"finished_at"`
}

const erasureColumns = `id, source, source_ref, reason, asked_at, asked_by, deliveries, signals, refused, finished_at`

// erasedColumn is the erasure that took the body of delivery d, as JSON, or NULL.
const erasedColumn = `
	CASE WHEN d.erasure_id IS NOT NULL THEN (
		SELECT json_build_object('reason', e.reason, 'erasedAt', e.asked_at, 'erasedBy', e.asked_by)::text FROM erasures AS e WHERE e.id = d.erasure_id) END`

// erasedOf says who took a delivery's body away; nil: nobody did.
func erasedOf(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (*Erasing, error) {
	const query = `
		SELECT e.reason, e.asked_at, e.asked_by FROM deliveries AS d JOIN erasures AS e ON e.id = d.erasure_id
		WHERE d.workspace_id = $1 AND d.id = $2`
	var by Erasing
	err := tx.QueryRowxContext(ctx, query, workspace, id).Scan(&by.Reason, &by.ErasedAt, &by.ErasedBy)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &by, err
}

// An Erasing says who took a body away.
type Erasing struct {
	Reason   string    `json:"reason"`
	ErasedAt time.Time `json:"erasedAt"`
	ErasedBy string    `json:"erasedBy"`
}

func (e Erasure) check() error {
	var wrong []*fault.Error
	switch {
	case e.SourceRef == "":
		wrong = append(wrong, fault.On("ref", fault.Invalid, "Write the event's id, as the sender gave it."))
	case len(e.SourceRef) > 255 || unprintable(e.SourceRef):
		wrong = append(wrong, fault.On("ref", fault.Invalid, "No event has such an id."))
	}
	if len(e.Source) > 255 || unprintable(e.Source) {
		wrong = append(wrong, fault.On("source", fault.Invalid, "There is no such source."))
	}
	if f := checkReason(e.Reason); f != nil {
		wrong = append(wrong, f)
	}
	return fault.Join(wrong)
}

// AskToErase begins an erasure of the workspace's requests with a source ref.
func (s *Store) AskToErase(ctx context.Context, by audit.Actor, e Erasure) (Erasure, error) {
	const insert = `
		INSERT INTO erasures (id, workspace_id, source, source_ref, reason, asked_by, actor) VALUES ($1, $2, $3, $4, $5, $6, $7)
		RETURNING ` + erasureColumns
	if err := e.check(); err != nil {
		return Erasure{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Erasure{}, fmt.Errorf("ask to erase: %w", err)
	}
	actor, err := json.Marshal(by)
	if err != nil {
		return Erasure{}, fmt.Errorf("ask to erase: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &e, insert, id, by.WorkspaceID, e.Source, e.SourceRef, e.Reason, by.Label, string(actor)); err != nil {
			return err
		}
		return audit.Record(ctx, tx, by, audit.ErasureAsked, e.target(), nil, audit.Fields{"source": e.Source, "source_ref": e.SourceRef, "reason": e.Reason})
	})
	if err != nil {
		return Erasure{}, fmt.Errorf("ask to erase: %w", err)
	}
	return e, nil
}

func (e Erasure) target() audit.Target {
	return audit.Target{Kind: "erasure", ID: e.ID.String(), Label: e.SourceRef}
}

// Erasures returns a workspace's erasures, the latest first.
func (s *Store) Erasures(ctx context.Context, workspaceID uuid.UUID) (erasures []Erasure, err error) {
	const query = `SELECT ` + erasureColumns + ` FROM erasures WHERE workspace_id = $1 ORDER BY asked_at DESC, id DESC LIMIT 100`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &erasures, query, workspaceID) })
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", err)
	}
	return erasures, nil
}

// ErasureOf returns one erasure of a workspace.
func (s *Store) ErasureOf(ctx context.Context, workspaceID, id uuid.UUID) (e Erasure, err error) {
	const query = `SELECT ` + erasureColumns + ` FROM erasures WHERE workspace_id = $1 AND id = $2`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &e, query, workspaceID, id) })
	if errors.Is(err, sql.ErrNoRows) {
		return Erasure{}, fault.New(fault.NotFound, "There is no such erasure.")
	}
	if err != nil {
		return Erasure{}, fmt.Errorf("find an erasure: %w", err)
	}
	return e, nil
}

// eraseAtOnce bounds one portion: each body is written anew, without it.
const eraseAtOnce = 500

// An openErasure is one that is not finished, with its lock.
type openErasure struct {
	Erasure
	WorkspaceID uuid.UUID `db:"workspace_id"`
	Actor       []byte    `db:"actor"`
	Reached     uuid.UUID `db:"reached"`
	Settled     bool      `db:"settled"` // all that ran when it was asked for has ended
}

// Erase goes on with the erasures that are not finished, a portion at a time,
// until none is or they have to wait for what still writes. It needs a Store on
// the maintenance pool. Several instances may call it at once.
func (s *Store) Erase(ctx context.Context) error {
	for more := true; more; {
		err := s.db.InTx(ctx, func(tx *sqlx.Tx) (err error) {
			more, err = erasePortion(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("erase payloads: %w", err)
		}
	}
	return nil
}

func erasePortion(ctx context.Context, tx *sqlx.Tx) (more bool, err error) {
	const next = `
		SELECT ` + erasureColumns + `, workspace_id, actor, reached, asked_xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
		FROM erasures WHERE finished_at IS NULL ORDER BY reached <> '00000000-0000-0000-0000-000000000000' DESC, asked_at LIMIT 1 FOR UPDATE SKIP LOCKED`
	var e openErasure
	err = tx.GetContext(ctx, &e, next)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := e.take(ctx, tx)
	switch {
	case err != nil:
		return false, err
	case n == eraseAtOnce:
		return true, nil
	case e.Reached != uuid.Nil || n > 0: // once more from the front: what was in front may have been committed meanwhile
		_, err = tx.ExecContext(ctx, `UPDATE erasures SET reached = $2 WHERE id = $1`, e.ID, uuid.Nil)
		return err == nil, err
	case !e.Settled:
		return false, nil
	}
	return true, e.finish(ctx, tx)
}

// take erases one portion, and returns how many requests it had.
func (e *openErasure) take(ctx context.Context, tx *sqlx.Tx) (int, error) {
	const find = `
		SELECT id, outcome FROM deliveries
		WHERE workspace_id = $1 AND source_ref = $2 AND id > $3 AND ($4 = '' OR source = $4) AND erasure_id IS NULL
		ORDER BY id LIMIT $5 FOR UPDATE`
	const empty = `UPDATE deliveries SET body = NULL, headers = '{}', erasure_id = $2 WHERE id = ANY ($1)`
	const sealed = `DELETE FROM refused_requests WHERE delivery_id = ANY ($1)`
	const note = `UPDATE erasures SET reached = $2, deliveries = deliveries + $3, signals = signals + $4, refused = refused + $5 WHERE id = $1`
	var rows []struct {
		ID      uuid.UUID `db:"id"`
		Outcome Outcome   `db:"outcome"`
	}
	err := tx.SelectContext(ctx, &rows, find, e.WorkspaceID, e.SourceRef, e.Reached, e.Source, eraseAtOnce)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	var ids []uuid.UUID
	var signals int64
	for _, row := range rows {
		ids = append(ids, row.ID)
		signals += one(row.Outcome == Accepted)
	}
	if _, err := tx.ExecContext(ctx, empty, pq.Array(ids), e.ID); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, sealed, pq.Array(ids))
	if err != nil {
		return 0, err
	}
	refused, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, note, e.ID, ids[len(ids)-1], len(ids), signals, refused)
	return len(ids), err
}

// finish tells the trail and the readers.
func (e *openErasure) finish(ctx context.Context, tx *sqlx.Tx) error {
	const end = `UPDATE erasures SET finished_at = now() WHERE id = $1`
	var by audit.Actor
	if err := json.Unmarshal(e.Actor, &by); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, end, e.ID); err != nil {
		return err
	}
	if err := noteChange(ctx, tx, e.WorkspaceID, Erased, nil, &e.ID); err != nil {
		return err
	}
	return audit.Record(ctx, tx, by, audit.PayloadsErased, e.target(), nil, audit.Fields{
		"source": e.Source, "source_ref": e.SourceRef, "deliveries": e.Deliveries, "signals": e.Signals, "refused_requests": e.Refused,
	})
}
