package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/postgres"
)

// A History is a month of a workspace's deliveries that is made up.
type History struct {
	Workspace  uuid.UUID
	Keys       []uuid.UUID // the first of them send most
	Deliveries int64
}

// historyModel makes 100,000 requests, of which the history is copies: 97 % accepted,
// 2 % duplicates and 1 % refused for six reasons, of keys of which a few send most,
// from some addresses and programs each. All follows from a row's number, so that two
// runs are the same. To make each row by itself would take ten times as long.
const historyModel = `
	CREATE TABLE bench_model AS
	WITH r AS MATERIALIZED (
		SELECT n, md5(n::text) AS m FROM generate_series(1, $1::integer) AS n
	), d AS MATERIALIZED (
		SELECT n, m, '8' || substr(m, 1, 3) || '-' || substr(m, 4, 7) AS tail,
			1 + floor(cardinality($2::uuid[]) * power(('x' || substr(m, 16, 6))::bit(24)::integer / 16777216::float8, 2.2::float8))::integer AS k,
			('x' || substr(m, 22, 6))::bit(24)::integer % 1000 AS chance, ('x' || substr(m, 26, 6))::bit(24)::integer AS dice
		FROM r
	), e AS MATERIALIZED (
		SELECT *, CASE WHEN chance < 970 THEN 'accepted' WHEN chance < 990 THEN 'duplicate' ELSE 'refused' END AS outcome,
			(ARRAY['order.created', 'order.paid', 'parcel.scanned', 'invoice.sent', 'user.changed', 'push'])[1 + dice % 6] AS event,
			left(CASE WHEN chance BETWEEN 970 AND 989 THEN md5((n - 60)::text) ELSE m END, 16) AS ref
		FROM d
	), b AS MATERIALIZED (
		SELECT *, convert_to('{"id":"evt_' || ref || '","type":"' || event || '","amount":' || dice % 90000 || ',"currency":"EUR","customer":{"id":"cus_' || left(m, 12)
			|| '","country":"DE"},"lines":[{"sku":"' || substr(m, 3, 9) || '","n":1},{"sku":"' || substr(m, 9, 9) || '","n":2}],"token":"' || m || m || m || '"}', 'UTF8') AS body
		FROM e
	)
	SELECT n, tail, ($2::uuid[])[k] AS key, (1 + (k + dice / 7) % 40 / 38) AS generation, (ARRAY['api_key', 'signature', 'bearer', 'url'])[1 + k % 7 / 2] AS method, outcome,
		CASE WHEN outcome = 'refused' THEN (ARRAY['signature_wrong', 'signature_wrong', 'address_forbidden', 'invalid_json', 'rate_limited', 'timestamp_stale', 'key_expired'])[1 + dice % 7] ELSE '' END AS reason,
		(CASE WHEN outcome = 'refused' THEN 401 ELSE 200 END)::smallint AS status, (ARRAY['generic', 'github', 'stripe', 'standard'])[1 + k % 4] AS scheme,
		'198.51.' || k || '.' || power((dice % 4000)::float8, 0.4::float8)::integer AS address,
		(ARRAY['curl/8.5', 'Stripe/1.0', 'GitHub-Hookshot/1f2', 'python-requests/2.31', 'okhttp/4.12', 'axios/1.6'])[1 + (k + dice % 2) % 6] AS agent,
		CASE WHEN k % 4 = 1 THEN jsonb_build_object('x-github-event', event) ELSE '{}' END AS headers, event, 'source-' || k AS source, 'evt_' || ref AS ref,
		CASE WHEN outcome <> 'refused' THEN body END AS body, length(body) AS size, sha256(body) AS sum, 800 + dice % 9000 AS took
	FROM b ORDER BY n`

// historyCopy adds the model's requests once more, spread over $3 seconds from $2 on,
// with refs and ids of their own.
const historyCopy = `
	WITH r AS (
		SELECT m.*, t.ms, (lpad(to_hex(t.ms), 12, '0') || '7' || left($4::text, 3) || tail || right($4::text, 5))::uuid AS id
		FROM bench_model AS m, LATERAL (SELECT (1000 * ($2::float8 + $3::float8 * m.n / $5))::bigint AS ms OFFSET 0) AS t WHERE m.n <= $6
	)
	INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status, scheme, endpoint, address,
		user_agent, content_type, headers, event_type, source, source_ref, signal_id, body, body_size, body_sha256, received_at, took_us)
	SELECT id, $1, key, generation, method, outcome, reason, status, scheme, '/hooks/{key id}', address, agent, 'application/json', headers, event, source, ref || $4::text,
		CASE WHEN outcome <> 'refused' THEN id END, body, size, sum, to_timestamp(ms / 1000.0), took
	FROM r ORDER BY n`

// Make stores the deliveries and the counts that follow from them. Indexes come
// after the rows: that takes a third of the time.
func (h History) Make(ctx context.Context, db *postgres.DB, progress io.Writer) error {
	indexes, err := dropIndexes(ctx, db)
	if err != nil {
		return fmt.Errorf("drop the indexes: %w", err)
	}
	if err := execute(ctx, db, historyModel, fillAtOnce, pq.Array(h.Keys)); err != nil {
		return fmt.Errorf("make the model: %w", err)
	}
	copies := (h.Deliveries + fillAtOnce - 1) / fillAtOnce
	span := 30 * 24 * time.Hour.Seconds() * fillAtOnce / float64(h.Deliveries)
	began := float64(time.Now().Add(-30 * 24 * time.Hour).Unix())
	for n := range copies {
		rows := min(fillAtOnce, h.Deliveries-n*fillAtOnce)
		if err := execute(ctx, db, historyCopy, h.Workspace, began+float64(n)*span, span, fmt.Sprintf("%08d", n), fillAtOnce, rows); err != nil {
			return fmt.Errorf("store deliveries: %w", err)
		}
		if n%10 == 9 {
			fmt.Fprintf(progress, "%d deliveries stored\n", (n+1)*fillAtOnce)
		}
	}
	for _, index := range indexes {
		fmt.Fprintln(progress, index)
		if err := execute(ctx, db, "SET LOCAL maintenance_work_mem = '512MB'; "+index); err != nil {
			return fmt.Errorf("make an index: %w", err)
		}
	}
	return h.count(ctx, db)
}

func (h History) count(ctx context.Context, db *postgres.DB) error {
	const counts = `
		INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at)
		SELECT webhook_key_id, date_trunc('hour', received_at), credential_generation, outcome, reason, workspace_id, count(*), max(received_at)
		FROM deliveries GROUP BY 1, 2, 3, 4, 5, 6`
	const addresses = `
		INSERT INTO key_addresses (webhook_key_id, address, accepted, refused, first_at, last_at)
		SELECT webhook_key_id, address, count(*) FILTER (WHERE outcome <> 'refused'), count(*) FILTER (WHERE outcome = 'refused'), min(received_at), max(received_at)
		FROM deliveries GROUP BY 1, 2`
	for _, query := range []string{counts, addresses, `DROP TABLE bench_model`} {
		if err := execute(ctx, db, query); err != nil {
			return fmt.Errorf("count the deliveries: %w", err)
		}
	}
	return nil
}

// dropIndexes makes the weeks that are needed, drops all indexes of deliveries but
// the primary key and returns what makes them again.
func dropIndexes(ctx context.Context, db *postgres.DB) (indexes []string, err error) {
	const query = `
		SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'deliveries'::regclass AND NOT indisprimary ORDER BY indexrelid`
	const drop = `
		DO $$ DECLARE i regclass; BEGIN
			FOR i IN SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'deliveries'::regclass AND NOT indisprimary LOOP
				EXECUTE format('DROP INDEX %s', i);
			END LOOP;
		END $$`
	if err := execute(ctx, db, `SELECT ensure_delivery_weeks(now() - interval '31 days', now())`); err != nil {
		return nil, err
	}
	if err := db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &indexes, query) }); err != nil {
		return nil, err
	}
	for i := range indexes {
		indexes[i] = strings.Replace(indexes[i], " ON ONLY ", " ON ", 1)
	}
	return indexes, execute(ctx, db, drop)
}

func execute(ctx context.Context, db *postgres.DB, query string, args ...any) error {
	return db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}
