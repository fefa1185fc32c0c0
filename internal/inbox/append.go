package inbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// ErrTryAgain says that the same batch succeeds when it is tried again: a signal
// was forgotten while a repetition of it was being stored, or the database is
// not the one that it was.
var ErrTryAgain = errors.New("the batch must be tried again")

// An Appender writes what arrives. Several goroutines may use it at once, with
// one database.
type Appender struct {
	box   *seal.Box
	types rowTypes
}

// NewAppender returns an Appender. box seals what is kept of refused requests.
func NewAppender(box *seal.Box) *Appender { return &Appender{box: box} }

// Append records a batch as part of tx and says what became of each arrival, in
// the batch's order. An arrival that is to be accepted is stored only if its key
// still has the version it was checked with and is valid; otherwise its result is
// Stale.
//
// Whether it is a new event is decided by the unique constraint; the winner of a
// conflict is looked up by a later statement, which sees what a racing writer has
// committed meanwhile. Locks are always taken in one order: workspaces (never
// waited for), signals by event, bodies, quotas by scope.
func (a *Appender) Append(ctx context.Context, tx *sqlx.Tx, batch []Arrival) ([]Result, error) {
	records := make([]*record, len(batch))
	for i := range batch {
		arrival := &batch[i]
		records[i] = &record{Arrival: arrival, n: i, sum: sha256.Sum256(arrival.Body), took: time.Since(arrival.Began), Result: Result{
			Outcome: Accepted, Reason: arrival.Reason, Status: arrival.Status, ReceivedAt: arrival.ReceivedAt, SignalID: arrival.ID,
		}}
		if arrival.refused() {
			records[i].Outcome, records[i].SignalID = Refused, uuid.Nil
		}
	}
	if err := a.write(ctx, tx, records); err != nil {
		return nil, err
	}
	results := make([]Result, len(records))
	for i, r := range records {
		results[i] = r.Result
	}
	return results, nil
}

// write stores the records, without those that turn out to be stale, and counts
// them. What the outcomes are is known before only where nothing is refused.
func (a *Appender) write(ctx context.Context, tx *sqlx.Tx, records []*record) error {
	live := slices.Clone(records)
	slices.SortFunc(live, byEvent)
	for len(live) > 0 {
		b := newBatch(live)
		notes, counted, err := b.send(ctx, tx, &a.types)
		b.release()
		if postgres.Code(err) == wrongType {
			a.types.forget()
			return fmt.Errorf("append requests: %w: %w", ErrTryAgain, err)
		}
		if err != nil {
			return fmt.Errorf("append requests: %w", err)
		}
		again, err := b.heed(notes)
		if err != nil {
			return err
		}
		if again {
			live = slices.DeleteFunc(live, func(r *record) bool { return r.Stale })
			continue
		}
		if err := forgetHandshakes(ctx, tx, live); err != nil {
			return err
		}
		if err := limitLogged(ctx, tx, live); err != nil || counted {
			return err
		}
		if err := keepRefused(ctx, tx, a.box, live); err != nil {
			return err
		}
		return a.count(ctx, tx, live)
	}
	return nil
}

// wrongType is the SQLSTATE of a row whose type is none of this database's.
const wrongType = "42804"

// heed notes what did not go as asked; again tells that nothing was written and
// the rest can be.
func (b *batch) heed(notes []note) (again bool, err error) {
	for _, note := range notes {
		switch note.Kind {
		case "workspace":
			again = true
			forgetWorkspace(b.records, b.workspaces[note.Place-1])
		case "key":
			again = true
			forgetUse(b.records, b.uses[note.Place-1])
		case "duplicate":
			r := b.rows[note.Place-1]
			r.Outcome, r.SignalID, r.Result.ReceivedAt = Duplicate, note.Signal, note.At
		default:
			return false, fmt.Errorf("append requests: %w: the signal that a request repeats is gone", ErrTryAgain)
		}
	}
	return again, nil
}

// forgetWorkspace takes a workspace that is gone, or going, out of the refused
// records, and makes the others stale.
func forgetWorkspace(records []*record, id uuid.UUID) {
	for _, r := range records {
		switch {
		case r.WorkspaceID != id:
		case r.refused():
			r.WorkspaceID, r.KeyID, r.Generation = uuid.Nil, uuid.Nil, 0
		default:
			r.Result = Result{Stale: true}
		}
	}
}

// forgetUse does the same with a key, as far as the records used it so.
func forgetUse(records []*record, u use) {
	for _, r := range records {
		switch {
		case r.use() != u:
		case r.refused():
			r.KeyID, r.Generation = uuid.Nil, 0
		default:
			r.Result = Result{Stale: true}
		}
	}
}

// A use is a key as a request was checked with it.
type use struct {
	key     uuid.UUID
	version int64 // 0: it need only be there
	until   int64 // microseconds since 1970; 0: never over
}

func (r *record) use() use {
	switch {
	case r.refused():
		return use{key: r.KeyID}
	case r.ValidUntil.IsZero():
		return use{key: r.KeyID, version: r.KeyVersion}
	}
	return use{r.KeyID, r.KeyVersion, r.ValidUntil.UnixMicro()}
}
