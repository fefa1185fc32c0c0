package inbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// A tally is what a batch adds to one row of delivery_counts.
type tally struct {
	KeyID         uuid.UUID `json:"webhook_key_id"`
	Hour          time.Time `json:"hour"`
	Generation    int       `json:"credential_generation"`
	Outcome       Outcome   `json:"outcome"`
	Reason        Reason    `json:"reason"`
	WorkspaceID   uuid.UUID `json:"workspace_id"`
	Requests      int       `json:"requests"`
	BodiesNotKept int       `json:"bodies_not_kept"`
	LastAt        time.Time `json:"last_at"`
}

// count adds a batch to the hourly counts. Each writer has rows of its own;
// were two writers to share a number, the fixed order still keeps them from
// waiting for each other.
func count(ctx context.Context, tx *sqlx.Tx, writer int, records []*record, unkept map[int]bool) error {
	const upsert = `
		INSERT INTO delivery_counts AS c (webhook_key_id, hour, writer, credential_generation, outcome, reason,
			workspace_id, requests, bodies_not_kept, last_at)
		SELECT webhook_key_id, hour, $2, credential_generation, outcome, reason,
			workspace_id, requests, bodies_not_kept, last_at
		FROM json_to_recordset($1) AS r (webhook_key_id uuid, hour timestamptz, credential_generation integer,
			outcome text, reason text, workspace_id uuid, requests bigint, bodies_not_kept bigint, last_at timestamptz)
		ORDER BY webhook_key_id, hour, credential_generation, outcome, reason
		ON CONFLICT (webhook_key_id, hour, writer, credential_generation, outcome, reason) DO UPDATE SET
			requests = c.requests + excluded.requests,
			bodies_not_kept = c.bodies_not_kept + excluded.bodies_not_kept,
			last_at = greatest(c.last_at, excluded.last_at)`

	text, err := recordset(tallies(records, unkept))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, upsert, text, writer); err != nil {
		return fmt.Errorf("count deliveries: %w", err)
	}
	return nil
}

func tallies(records []*record, unkept map[int]bool) []tally {
	type place struct {
		key        uuid.UUID
		hour       time.Time
		generation int
		outcome    Outcome
		reason     Reason
	}
	sums := map[place]*tally{}
	for _, r := range records {
		if r.KeyID == uuid.Nil {
			continue
		}
		at := r.Arrival.ReceivedAt
		p := place{r.KeyID, hourOf(at), r.Generation, r.Outcome, r.Result.Reason}
		sum := sums[p]
		if sum == nil {
			sum = &tally{p.key, p.hour, p.generation, p.outcome, p.reason, r.WorkspaceID, 0, 0, at}
			sums[p] = sum
		}
		sum.Requests++
		if unkept[r.n] {
			sum.BodiesNotKept++
		}
		if at.After(sum.LastAt) {
			sum.LastAt = at
		}
	}
	all := make([]tally, 0, len(sums))
	for _, sum := range sums {
		all = append(all, *sum)
	}
	slices.SortFunc(all, func(a, b tally) int { return cmp.Compare(a.KeyID.String(), b.KeyID.String()) })
	return all
}

// A LastUse says when a key was last used, and last refused, by what was counted.
type LastUse struct {
	KeyID     uuid.UUID  `db:"webhook_key_id"`
	UsedAt    *time.Time `db:"used_at"`    // accepted and duplicate requests
	RefusedAt *time.Time `db:"refused_at"` // nil: never
}

// LastUses returns the last use of every key with counts from the hour of since
// on, in the order of their ids. The zero time asks for all.
func (s *Store) LastUses(ctx context.Context, since time.Time) ([]LastUse, error) {
	const query = `
		SELECT webhook_key_id,
			max(last_at) FILTER (WHERE outcome <> 'refused') AS used_at,
			max(last_at) FILTER (WHERE outcome = 'refused') AS refused_at
		FROM delivery_counts WHERE hour >= $1
		GROUP BY webhook_key_id ORDER BY webhook_key_id`
	var uses []LastUse
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &uses, query, hourOf(since)) })
	if err != nil {
		return nil, fmt.Errorf("read last uses: %w", err)
	}
	return uses, nil
}
