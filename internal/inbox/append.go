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

	"keyhook/internal/seal"
)

// ErrVanished says that a signal was forgotten while a repetition of it was being
// stored. The same batch succeeds when it is tried again.
var ErrVanished = errors.New("the signal that a request repeats is gone")

// Append records a batch as part of tx and says what became of each arrival, in
// the batch's order. An arrival that is to be accepted is stored only if its key
// still has the version it was checked with and is valid; otherwise its result is
// Stale.
//
// Whether it is a new event is decided by the unique constraint; the winner of a
// conflict is looked up by a later statement, which sees what a racing writer has
// committed meanwhile. Locks are always taken in one order: workspaces (never
// waited for), signals by event, bodies, quotas by scope, counts.
func Append(ctx context.Context, tx *sqlx.Tx, box *seal.Box, writer int, batch []Arrival) ([]Result, error) {
	records := make([]*record, len(batch))
	for i := range batch {
		a := &batch[i]
		records[i] = &record{Arrival: a, n: i, sum: sha256.Sum256(a.Body), took: time.Since(a.Began), Result: Result{
			Outcome: Accepted, Reason: a.Reason, Status: a.Status, ReceivedAt: a.ReceivedAt, SignalID: a.ID,
		}}
		if a.refused() {
			records[i].Outcome, records[i].SignalID = Refused, uuid.Nil
		}
	}
	stored, err := write(ctx, tx, records)
	if err != nil {
		return nil, err
	}
	if err := forgetHandshakes(ctx, tx, stored); err != nil {
		return nil, err
	}
	if err := keepRefused(ctx, tx, box, stored); err != nil {
		return nil, err
	}
	if err := count(ctx, tx, writer, stored); err != nil {
		return nil, err
	}
	results := make([]Result, len(records))
	for i, r := range records {
		results[i] = r.Result
	}
	return results, nil
}

// write stores the records, without those that turn out to be stale, and returns
// the others.
func write(ctx context.Context, tx *sqlx.Tx, records []*record) ([]*record, error) {
	live := slices.Clone(records)
	slices.SortFunc(live, byEvent)
	for len(live) > 0 {
		b := newBatch(live)
		notes, err := b.send(ctx, tx)
		if err != nil {
			return nil, fmt.Errorf("append requests: %w", err)
		}
		again := false
		for _, note := range notes {
			switch note.Kind {
			case "workspace":
				again = true
				forgetWorkspace(live, b.workspaces[note.Place-1])
			case "key":
				again = true
				forgetUse(live, b.uses[note.Place-1])
			case "duplicate":
				r := b.rows[note.Place-1]
				r.Outcome, r.SignalID, r.Result.ReceivedAt = Duplicate, *note.SignalID, *note.ReceivedAt
			default:
				return nil, ErrVanished
			}
		}
		b.release()
		if !again {
			return live, nil
		}
		live = slices.DeleteFunc(live, func(r *record) bool { return r.Stale })
	}
	return nil, nil
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
