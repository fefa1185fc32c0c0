package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// MaxBatch is how many keys one batch may have.
const MaxBatch = 10_000

const (
	busyWithin  = 24 * time.Hour // a key that was used since is in use
	batchesKept = 7              // days
	namesShown  = 100            // of the keys of each outcome
)

// A BatchAction is what is done with the keys of a batch.
type BatchAction string

// What can be done with many keys at once.
const (
	BatchDeactivate BatchAction = "deactivate"
	BatchReactivate BatchAction = "reactivate"
	BatchOwner      BatchAction = "owner" // give them to somebody
)

// An Outcome is what became of one key of a batch.
type Outcome string

// The outcomes. They are stored.
const (
	Pending   Outcome = ""          // nothing yet
	Done      Outcome = "done"      // it is as it was asked
	Unchanged Outcome = "unchanged" // it was so already
	Used      Outcome = "used"      // left as it is: it came into use after it was chosen
	Changed   Outcome = "changed"   // left as it is: somebody changed it after the batch that is taken back
	NotOwn    Outcome = "not_own"   // left as it is: whoever pressed the button may not change it
)

// A Batch is keys that somebody chose to do one thing with. Which they are is
// settled when it is made; what became of each is written with its change.
type Batch struct {
	ID        uuid.UUID   `db:"id"`
	Action    BatchAction `db:"action"`
	OwnerID   *uuid.UUID  `db:"owner_id"` // of BatchOwner, once it began
	OwnerName string      `db:"owner_name"`
	Undoes    *uuid.UUID  `db:"undoes"`    // the batch that it takes back
	UndoneBy  *uuid.UUID  `db:"undone_by"` // the one that takes it back
	MadeAt    time.Time   `db:"made_at"`
	BeganAt   *time.Time  `db:"began_at"` // nil: nobody pressed the button
}

const batchColumns = `b.id, b.action, b.owner_id, coalesce((SELECT u.name FROM users AS u WHERE u.id = b.owner_id), '') AS owner_name,
	b.undoes, (SELECT u.id FROM key_batches AS u WHERE u.undoes = b.id) AS undone_by, b.made_at, b.began_at`

var (
	errNoBatch   = fault.New(fault.NotFound, "There is no such selection of keys. One is kept for 7 days.")
	errNoneMeant = fault.On("key", fault.Invalid, "No key is chosen. Tick some, or all that match.")
	errTooMany   = fault.On("key", fault.Invalid, "More than 10,000 keys match. Narrow the list, and do it in parts.")
)

// Choose makes a batch of the keys that meet a filter, as they are now. It changes
// no key.
func (s *Store) Choose(ctx context.Context, by audit.Actor, action BatchAction, filter Filter) (id uuid.UUID, err error) {
	const tidy = `DELETE FROM key_batches WHERE workspace_id = $1 AND made_at < now() - make_interval(days => $2)`
	const insert = `INSERT INTO key_batches (id, workspace_id, action) VALUES ($1, $2, $3)`
	const fill = `
		INSERT INTO key_batch_keys (batch_id, webhook_key_id, used_at)
		SELECT $8, k.id, k.last_used_at FROM webhook_keys AS k WHERE ` + meets + ` LIMIT $9`
	if id, err = uuid.NewV7(); err != nil {
		return id, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, tidy, by.WorkspaceID, batchesKept); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insert, id, by.WorkspaceID, action); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, fill, append(filter.args(by.WorkspaceID), id, MaxBatch+1)...)
		if err != nil {
			return err
		}
		switch n, err := result.RowsAffected(); {
		case err != nil:
			return err
		case n == 0:
			return errNoneMeant
		case n > MaxBatch:
			return errTooMany
		}
		return nil
	})
	if err != nil {
		return uuid.Nil, conflict(err, "choose keys")
	}
	return id, nil
}

// Undo makes the batch that takes a deactivation back: of the keys that it stopped,
// those that nobody changed since. There is one such batch, however often it is asked for.
func (s *Store) Undo(ctx context.Context, by audit.Actor, id uuid.UUID) (undo uuid.UUID, err error) {
	const insert = `INSERT INTO key_batches (id, workspace_id, action, undoes) VALUES ($1, $2, 'reactivate', $3)`
	const fill = `
		INSERT INTO key_batch_keys (batch_id, webhook_key_id, version)
		SELECT $2, webhook_key_id, version FROM key_batch_keys WHERE batch_id = $1 AND outcome = 'done'`
	if undo, err = uuid.NewV7(); err != nil {
		return undo, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		batch, err := lockBatch(ctx, tx, by.WorkspaceID, id)
		switch {
		case err != nil:
			return err
		case batch.UndoneBy != nil:
			undo = *batch.UndoneBy
			return nil
		case batch.Action != BatchDeactivate || batch.BeganAt == nil:
			return fault.New(fault.Conflict, "Only a deactivation that was made can be taken back here.")
		}
		if _, err := tx.ExecContext(ctx, insert, undo, by.WorkspaceID, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fill, id, undo)
		return err
	})
	if err != nil {
		return uuid.Nil, conflict(err, "undo a batch")
	}
	return undo, nil
}

// lockBatch keeps a batch to this transaction, so that a second press of the button
// waits for the first one's part and goes on behind it.
func lockBatch(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (Batch, error) {
	const lock = `SELECT id FROM key_batches WHERE workspace_id = $1 AND id = $2 FOR NO KEY UPDATE`
	err := tx.GetContext(ctx, &id, lock, workspace, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Batch{}, errNoBatch
	}
	if err != nil {
		return Batch{}, err
	}
	return findBatch(ctx, tx, workspace, id)
}

func findBatch(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (batch Batch, err error) {
	const query = `SELECT ` + batchColumns + ` FROM key_batches AS b WHERE b.workspace_id = $1 AND b.id = $2`
	err = tx.GetContext(ctx, &batch, query, workspace, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Batch{}, errNoBatch
	}
	return batch, err
}

// A Chosen key is one of a batch.
type Chosen struct {
	ID         uuid.UUID  `db:"id"`
	Name       string     `db:"name"`
	Outcome    Outcome    `db:"outcome"`
	Busy       bool       `db:"busy"`         // in use when it was chosen
	LastUsedAt *time.Time `db:"last_used_at"` // as it is now
}

// A Report tells what a batch is about to do, or did. Before it began the numbers
// say what would be left out as things stand, each key for one reason: the first of
// those that hold.
type Report struct {
	Batch
	Keys      int             `db:"keys"`       // in all
	Busy      int             `db:"busy"`       // to be changed, and in use when they were chosen
	LatestUse *time.Time      `db:"latest_use"` // of the keys that are to be changed
	Foreign   int             `db:"foreign_"`   // still to be done, and not the actor's to change
	Needless  int             `db:"needless"`   // of the actor's, still to be done, and so already
	Came      int             `db:"came"`       // of the actor's, still to be done, and in use since they were chosen
	Outcomes  map[Outcome]int // how many of each
	Shown     []Chosen        // the first of each outcome: those in use, then by name
}

// Left is how many keys are still to be done.
func (r Report) Left() int { return r.Outcomes[Pending] }

// Ready is how many keys would be changed as things stand.
func (r Report) Ready() int { return r.Left() - r.Foreign - r.Needless - r.Came }

// The conditions on a chosen key c of a batch b, and webhook_keys AS k.
const (
	wasBusy = `coalesce(c.used_at > b.made_at - interval '24 hours', false)`
	cameOn  = `(b.action = 'deactivate' AND k.is_active AND NOT ` + wasBusy + ` AND coalesce(k.last_used_at > coalesce(c.used_at, '-infinity'), false))`
	isOwn   = `(coalesce(k.created_by = $3 OR k.owner_id = $3, false) OR $4 IN ('owner', 'admin'))` // by the actor and their role
	soNow   = `CASE b.action WHEN 'owner' THEN false WHEN 'deactivate' THEN NOT k.is_active ELSE k.is_active END`
)

// ReportOn tells of a batch of the actor's workspace.
func (s *Store) ReportOn(ctx context.Context, by audit.Actor, id uuid.UUID) (r Report, err error) {
	const sums = `
		SELECT count(*) AS keys, count(*) FILTER (WHERE c.outcome IS NULL AND ` + isOwn + ` AND k.is_active AND ` + wasBusy + `) AS busy,
			max(k.last_used_at) FILTER (WHERE c.outcome IS NULL AND ` + isOwn + ` AND k.is_active) AS latest_use,
			count(*) FILTER (WHERE c.outcome IS NULL AND NOT ` + isOwn + `) AS foreign_,
			count(*) FILTER (WHERE c.outcome IS NULL AND ` + isOwn + ` AND ` + soNow + `) AS needless,
			count(*) FILTER (WHERE c.outcome IS NULL AND ` + isOwn + ` AND ` + cameOn + `) AS came
		FROM key_batches AS b JOIN key_batch_keys AS c ON c.batch_id = b.id JOIN webhook_keys AS k ON k.id = c.webhook_key_id
		WHERE b.workspace_id = $1 AND b.id = $2`
	const outcomes = `SELECT coalesce(outcome, '') AS outcome, count(*) AS keys FROM key_batch_keys WHERE batch_id = $1 GROUP BY outcome`
	const shown = `
		SELECT id, name, outcome, busy, last_used_at FROM (
			SELECT k.id, k.name, coalesce(c.outcome, '') AS outcome, ` + wasBusy + ` AS busy, k.last_used_at,
				row_number() OVER (PARTITION BY c.outcome ORDER BY ` + wasBusy + ` DESC, lower(k.name), k.id) AS place
			FROM key_batches AS b JOIN key_batch_keys AS c ON c.batch_id = b.id JOIN webhook_keys AS k ON k.id = c.webhook_key_id
			WHERE b.id = $1
		) AS ranked WHERE place <= $2 ORDER BY outcome, place`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if r.Batch, err = findBatch(ctx, tx, by.WorkspaceID, id); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &r, sums, by.WorkspaceID, id, by.UserID, roleOf(by)); err != nil {
			return err
		}
		var rows []struct {
			Outcome Outcome `db:"outcome"`
			Keys    int     `db:"keys"`
		}
		if err := tx.SelectContext(ctx, &rows, outcomes, id); err != nil {
			return err
		}
		r.Outcomes = map[Outcome]int{}
		for _, row := range rows {
			r.Outcomes[row.Outcome] = row.Keys
		}
		return tx.SelectContext(ctx, &r.Shown, shown, id, namesShown)
	})
	if err != nil {
		return Report{}, fmt.Errorf("report on a batch: %w", err)
	}
	return r, nil
}
