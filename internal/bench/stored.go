package bench

import (
	"context"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// A Stored compares an empty database with one that holds much already.
type Stored struct {
	Signals    int64   `json:"signals"`
	Deliveries int64   `json:"deliveries"`
	Empty      Figures `json:"empty"`
	Full       Figures `json:"full"`
	Ratio      float64 `json:"ratio"` // of the requests/s
}

// CompareStored measures two designs, named empty and full, in alternating rounds.
func CompareStored(ctx context.Context, empty, full Design, o Options) (Stored, error) {
	empty.Name, full.Name = "empty", "full"
	rounds, _, err := o.rounds(ctx, []Design{empty, full}, o.Connections[0])
	if err != nil {
		return Stored{}, err
	}
	s := Stored{Empty: median(rounds["empty"]), Full: median(rounds["full"])}
	s.Ratio = ratio(s.Full.RPS, s.Empty.RPS)
	return s, nil
}

// fillAtOnce is how many deliveries one transaction stores.
const fillAtOnce = 100_000

// Fill stores deliveries of the last 85 days, evenly, the first of them accepted
// as many signals and the others duplicates. Refs and bodies are as random as
// those of several senders.
func Fill(ctx context.Context, db *postgres.DB, workspace, key uuid.UUID, signals, deliveries int64, progress io.Writer) error {
	const weeks = `SELECT ensure_delivery_weeks(now() - interval '90 days', now())`
	const rows = `
		WITH r AS MATERIALIZED (
			SELECT n, at, overlay(uuid_floor(at)::text PLACING substr(gen_random_uuid()::text, 20) FROM 20)::uuid AS id, n % $7 = 0 AS new, sha256(n::text::bytea) AS sum
			FROM generate_series($1::bigint, $2::bigint) AS n, LATERAL (SELECT now() - interval '85 days' * (1 - n::float8 / $3)) AS t (at)
		), s AS (
			INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
			SELECT id, $4, $5, 'stored', 'ref-' || md5(n::text), at, 1 FROM r WHERE new ORDER BY n
		), b AS (
			INSERT INTO first_bodies (body_key, delivery_id)
			SELECT ('x' || left(md5(n::text), 16))::bit(64)::bigint, id FROM r WHERE new ON CONFLICT DO NOTHING
		)
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, status, scheme, endpoint, address,
			user_agent, content_type, source, source_ref, signal_id, body, body_size, body_sha256, received_at, took_us)
		SELECT id, $4, $5, 1, 'api_key', CASE WHEN new THEN 'accepted' ELSE 'duplicate' END, 200, 'generic', '/hooks/{key id}', '192.0.2.1',
			'stored', 'application/json', 'stored', 'ref-' || md5(n::text), id, convert_to(repeat('x', $6), 'UTF8'), $6, sum, at, 1000
		FROM r ORDER BY n`
	err := db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, weeks)
		return err
	})
	if err != nil {
		return err
	}
	for from := int64(1); from <= deliveries; from += fillAtOnce {
		to := min(deliveries, from+fillAtOnce-1)
		err := db.InTx(ctx, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, rows, from, to, deliveries, workspace, key, storedBody, max(1, deliveries/max(1, signals)))
			return err
		})
		if err != nil {
			return fmt.Errorf("store deliveries: %w", err)
		}
		if to%(10*fillAtOnce) == 0 {
			fmt.Fprintf(progress, "%d deliveries stored\n", to)
		}
	}
	return nil
}

// storedBody is the size of the bodies that are there before, in bytes. Smaller
// than those that are sent, so that filling takes minutes: what they weigh on
// ingestion is their rows in the indexes.
const storedBody = 128

// Print writes s for people.
func (s Stored) Print(w io.Writer) {
	fmt.Fprintf(w, "with %d signals and %d deliveries stored: %.0f requests/s; empty: %.0f; %.1f %%\n",
		s.Signals, s.Deliveries, s.Full.RPS, s.Empty.RPS, 100*s.Ratio)
	fmt.Fprintf(w, "database CPU a request: %.0f and %.0f µs; p99: %.1f and %.1f ms\n", s.Full.Database, s.Empty.Database, s.Full.P99, s.Empty.P99)
}
