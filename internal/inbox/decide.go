package inbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// decide finds out which of the records are new events and which repeat one.
func decide(ctx context.Context, tx *sqlx.Tx, records []*record) error {
	var sent []*record
	for _, r := range records {
		if r.refused() {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make a signal's id: %w", err)
		}
		r.SignalID = id
		sent = append(sent, r)
	}
	if len(sent) == 0 {
		return nil
	}
	slices.SortFunc(sent, byEvent)
	repeats, err := insertSignals(ctx, tx, sent)
	if err != nil {
		return err
	}
	if err := findWinners(ctx, tx, records, repeats); err != nil {
		return err
	}
	return flagSameBodies(ctx, tx, sent)
}

// insertSignals inserts the signals that are new and returns the records of the
// others.
func insertSignals(ctx context.Context, tx *sqlx.Tx, sent []*record) (repeats []*record, err error) {
	const insert = `
		INSERT INTO signals (id, workspace_id, webhook_key_id, delivery_id, source, source_ref, received_at, epoch)
		SELECT r.id, r.workspace_id, r.webhook_key_id, r.delivery_id, r.source, r.source_ref, r.received_at, instance.epoch
		FROM json_to_recordset($1) AS r (
			place integer, id uuid, workspace_id uuid, webhook_key_id uuid, delivery_id uuid, source text,
			source_ref text, received_at timestamptz), instance
		ORDER BY r.place
		ON CONFLICT (workspace_id, source, source_ref) DO NOTHING
		RETURNING id`

	rows := make([]map[string]any, len(sent))
	for i, r := range sent {
		rows[i] = map[string]any{
			"place": i, "id": r.SignalID, "workspace_id": r.WorkspaceID, "webhook_key_id": r.KeyID,
			"delivery_id": r.ID, "source": r.Source, "received_at": r.Arrival.ReceivedAt,
		}
		if r.SourceRef != "" {
			rows[i]["source_ref"] = r.SourceRef
		}
	}
	text, err := recordset(rows)
	if err != nil {
		return nil, err
	}
	var inserted []uuid.UUID
	if err := tx.SelectContext(ctx, &inserted, insert, text); err != nil {
		return nil, fmt.Errorf("insert signals: %w", err)
	}
	for _, r := range sent {
		r.Outcome = Duplicate
		if slices.Contains(inserted, r.SignalID) {
			r.Outcome = Accepted
		} else {
			repeats = append(repeats, r)
		}
	}
	return repeats, nil
}

// findWinners looks up the signal that each of repeats repeats.
func findWinners(ctx context.Context, tx *sqlx.Tx, records, repeats []*record) error {
	const query = `
		SELECT r.n, s.id, s.webhook_key_id, s.delivery_id, s.received_at, d.body_sha256
		FROM json_to_recordset($1) AS r (n integer, workspace_id uuid, source text, source_ref text)
		JOIN signals s ON s.workspace_id = r.workspace_id AND s.source = r.source AND s.source_ref = r.source_ref
		LEFT JOIN deliveries d ON d.id = s.delivery_id`

	if len(repeats) == 0 {
		return nil
	}
	rows := make([]map[string]any, len(repeats))
	for i, r := range repeats {
		rows[i] = map[string]any{"n": r.n, "workspace_id": r.WorkspaceID, "source": r.Source, "source_ref": r.SourceRef}
	}
	text, err := recordset(rows)
	if err != nil {
		return err
	}
	var winners []winner
	if err := tx.SelectContext(ctx, &winners, query, text); err != nil {
		return fmt.Errorf("look up repeated signals: %w", err)
	}
	if len(winners) != len(repeats) {
		return ErrVanished // the batch is tried again
	}
	for _, w := range winners {
		w.settle(records)
	}
	return nil
}

// A winner is the signal that a record repeats.
type winner struct {
	N          int        `db:"n"`
	ID         uuid.UUID  `db:"id"`
	KeyID      *uuid.UUID `db:"webhook_key_id"`
	DeliveryID uuid.UUID  `db:"delivery_id"`
	ReceivedAt time.Time  `db:"received_at"`
	BodySHA256 []byte     `db:"body_sha256"` // nil: the delivery is gone, or part of this batch
}

// settle makes its record a duplicate of w, and flags it if it is not the same.
func (w winner) settle(records []*record) {
	r := records[w.N]
	r.SignalID, r.Result.ReceivedAt = w.ID, w.ReceivedAt
	sum := w.BodySHA256
	for _, other := range records {
		if other.ID == w.DeliveryID {
			sum = other.sum[:]
		}
	}
	switch {
	case sum != nil && !bytes.Equal(sum, r.sum[:]):
		r.conflict = "body"
	case w.KeyID != nil && *w.KeyID != r.KeyID:
		r.conflict = "key"
	}
}

// flagSameBodies notes which new events have the body of an earlier one of the
// same key. Of two that are written at the same moment neither may be noted.
func flagSameBodies(ctx context.Context, tx *sqlx.Tx, sent []*record) error {
	// The index over body_key is in the order of ids: a sender that posts the
	// same body all day long costs no more than another.
	const query = `
		SELECT r.n, earlier.id
		FROM json_to_recordset($1) AS r (n integer, webhook_key_id uuid, body_key bigint, body_sha256 text)
		CROSS JOIN LATERAL (
			SELECT d.id FROM deliveries d
			WHERE d.webhook_key_id = r.webhook_key_id AND d.body_key = r.body_key
				AND d.body_sha256 = decode(r.body_sha256, 'hex') AND d.outcome = 'accepted'
			ORDER BY d.id LIMIT 1) AS earlier`

	groups := flagWithin(sent)
	if len(groups) == 0 {
		return nil
	}
	var rows []map[string]any
	for _, group := range groups {
		r := group[0]
		rows = append(rows, map[string]any{
			"n": r.n, "webhook_key_id": r.KeyID, "body_key": r.bodyKey(), "body_sha256": hex.EncodeToString(r.sum[:]),
		})
	}
	text, err := recordset(rows)
	if err != nil {
		return err
	}
	var found []struct {
		N  int       `db:"n"`
		ID uuid.UUID `db:"id"`
	}
	if err := tx.SelectContext(ctx, &found, query, text); err != nil {
		return fmt.Errorf("look for equal bodies: %w", err)
	}
	for _, f := range found {
		for _, r := range groups[f.N] {
			r.sameBodyAs = f.ID
		}
	}
	return nil
}

// flagWithin groups the new events by key and body, under the place of each
// group's first one in the batch, and notes the others as having its body.
func flagWithin(sent []*record) map[int][]*record {
	type same struct {
		key uuid.UUID
		sum [32]byte
	}
	groups := map[int][]*record{}
	firsts := map[same]*record{}
	for _, r := range sent {
		if r.Outcome != Accepted {
			continue
		}
		first, seen := firsts[same{r.KeyID, r.sum}]
		if seen {
			r.sameBodyAs = first.ID
		} else {
			first = r
			firsts[same{r.KeyID, r.sum}] = r
		}
		groups[first.n] = append(groups[first.n], r)
	}
	return groups
}
