package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/seal"
)

// Append records a batch as part of tx and says what became of each arrival, in
// the batch's order. The caller has called Hold in the same tx, and then checked
// that the keys of what is not refused may send.
//
// Whether an accepted arrival is a new event is decided by the unique
// constraint; the winner of a conflict is looked up by a later statement, which
// sees what a racing writer has committed meanwhile. Locks are always taken in
// one order: workspaces, keys, signals by event, quotas by scope, counts.
func Append(ctx context.Context, tx *sqlx.Tx, box *seal.Box, writer int, batch []Arrival) ([]Result, error) {
	records := make([]*record, len(batch))
	for i := range batch {
		batch[i].sum = sha256.Sum256(batch[i].Body)
		records[i] = &record{Arrival: &batch[i], n: i, Result: Result{
			Outcome: Refused, Reason: batch[i].Reason, Status: batch[i].Status, ReceivedAt: batch[i].ReceivedAt,
		}}
	}
	if err := decide(ctx, tx, records); err != nil {
		return nil, err
	}
	if err := insertDeliveries(ctx, tx, records); err != nil {
		return nil, err
	}
	unkept, err := keepRefused(ctx, tx, box, records)
	if err != nil {
		return nil, err
	}
	if err := count(ctx, tx, writer, records, unkept); err != nil {
		return nil, err
	}
	results := make([]Result, len(records))
	for i, r := range records {
		results[i] = r.Result
	}
	return results, nil
}

// insertDeliveries writes one row for each request.
func insertDeliveries(ctx context.Context, tx *sqlx.Tx, records []*record) error {
	const insert = `
		INSERT INTO deliveries (` + columns + `, body, body_key)
		SELECT id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status,
			scheme, endpoint, address, user_agent, content_type, headers, event_type, source, source_ref, signal_id,
			same_body_as, conflict, body_size, decode(body_sha256, 'hex'), received_at, took_us,
			CASE WHEN outcome <> 'refused' THEN bodies.body END, body_key
		FROM json_to_recordset($1) AS r (
			n integer, id uuid, workspace_id uuid, webhook_key_id uuid, credential_generation integer,
			auth_method text, outcome text, reason text, status smallint, scheme text, endpoint text, address text,
			user_agent text, content_type text, headers jsonb, event_type text, source text, source_ref text,
			signal_id uuid, same_body_as uuid, conflict text, body_size bigint, body_sha256 text,
			received_at timestamptz, took_us bigint, body_key bigint)
		JOIN unnest($2::bytea[]) WITH ORDINALITY AS bodies (body, place) ON bodies.place = r.n + 1
		ORDER BY r.n`

	rows := make([]map[string]any, len(records))
	bodies := make(pq.ByteaArray, len(records))
	for i, r := range records {
		rows[i] = r.row()
		bodies[i] = []byte{}
		if !r.refused() {
			bodies[i] = r.Body
		}
	}
	text, err := recordset(rows)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insert, text, bodies); err != nil {
		return fmt.Errorf("insert deliveries: %w", err)
	}
	return nil
}

// row is a delivery as insertDeliveries reads it.
func (r *record) row() map[string]any {
	headers := r.Headers
	if headers == nil {
		headers = map[string]string{}
	}
	row := map[string]any{
		"n": r.n, "id": r.ID, "workspace_id": orNull(r.WorkspaceID), "webhook_key_id": orNull(r.KeyID),
		"auth_method": r.Method, "outcome": r.Outcome, "reason": r.Result.Reason, "status": r.Result.Status,
		"scheme": r.Scheme, "endpoint": r.Endpoint, "address": r.Address, "user_agent": r.UserAgent,
		"content_type": r.ContentType, "headers": headers, "event_type": r.EventType, "source": r.Source,
		"signal_id": orNull(r.SignalID), "same_body_as": orNull(r.sameBodyAs), "conflict": r.conflict,
		"body_size":   r.BodySize,
		"received_at": r.Arrival.ReceivedAt, "took_us": time.Since(r.Began).Microseconds(),
	}
	if r.BodySize == int64(len(r.Body)) { // else it was not read to its end
		row["body_sha256"], row["body_key"] = hex.EncodeToString(r.sum[:]), r.bodyKey()
	}
	if r.SourceRef != "" {
		row["source_ref"] = r.SourceRef
	}
	if r.Generation > 0 {
		row["credential_generation"] = r.Generation
	}
	return row
}

// orNull returns nil for the id that stands for none.
func orNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id
}

// recordset encodes rows for json_to_recordset.
func recordset[Row any](rows []Row) (string, error) {
	text, err := json.Marshal(rows)
	if err != nil {
		return "", fmt.Errorf("encode rows: %w", err)
	}
	return string(text), nil
}

// ErrVanished says that a signal was forgotten while a repetition of it was being
// stored. The same batch succeeds when it is tried again.
var ErrVanished = errors.New("the signal that a request repeats is gone")
