package bench

import (
	"context"
	"fmt"
	"io"
	"strings"

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

// historyRows makes deliveries $1 to $2 of $3: 97 % accepted, 2 % duplicates and 1 %
// refused for six reasons, of keys of which a few send most, from some addresses and
// programs each. Everything follows from a row's number, so two runs are the same.
const historyRows = `
	WITH r AS MATERIALIZED (
		SELECT n, md5(n::text) AS m, now() - interval '30 days' * (1 - n::float8 / $3) AS at FROM generate_series($1::bigint, $2::bigint) AS n
	), d AS MATERIALIZED (
		SELECT n, m, at, overlay(uuid_floor(at)::text PLACING '-8' || substr(m, 1, 3) || '-' || substr(m, 4, 12) FROM 19)::uuid AS id,
			1 + floor(cardinality($5::uuid[]) * power(('x' || substr(m, 16, 6))::bit(24)::integer / 16777216.0, 2.2))::integer AS k,
			('x' || substr(m, 22, 6))::bit(24)::integer % 1000 AS chance, ('x' || substr(m, 26, 6))::bit(24)::integer AS dice
		FROM r
	), e AS (
		SELECT *, CASE WHEN chance < 970 THEN 'accepted' WHEN chance < 990 THEN 'duplicate' ELSE 'refused' END AS outcome,
			(ARRAY['order.created', 'order.paid', 'parcel.scanned', 'invoice.sent', 'user.changed', 'push'])[1 + dice % 6] AS event,
			CASE WHEN chance BETWEEN 970 AND 989 THEN md5((n - 60)::text) ELSE m END AS ref
		FROM d
	), b AS (
		SELECT *, convert_to('{"id":"evt_' || ref || '","type":"' || event || '","amount":' || dice % 90000 || ',"currency":"EUR","customer":{"id":"cus_' || left(m, 12)
			|| '","country":"DE"},"lines":[{"sku":"' || substr(m, 3, 9) || '","n":1},{"sku":"' || substr(m, 9, 9) || '","n":2}],"token":"' || m || ref || '"}', 'UTF8') AS body
		FROM e
	)
	INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status, scheme, endpoint, address,
		user_agent, content_type, headers, event_type, source, source_ref, signal_id, body, body_size, body_sha256, received_at, took_us)
	SELECT id, $4, ($5::uuid[])[k], 1 + (k + dice / 7) % 40 / 38, (ARRAY['api_key', 'signature', 'bearer', 'url'])[1 + k % 7 / 2], outcome,
		CASE WHEN outcome = 'refused' THEN (ARRAY['signature_wrong', 'signature_wrong', 'address_forbidden', 'invalid_json', 'rate_limited', 'timestamp_stale', 'key_expired'])[1 + dice % 7] ELSE '' END,
		CASE WHEN outcome = 'refused' THEN 401 ELSE 200 END, (ARRAY['generic', 'github', 'stripe', 'standard'])[1 + k % 4], '/hooks/{key id}',
		'198.51.' || k || '.' || power(dice % 4000, 0.4)::integer, (ARRAY['curl/8.5', 'Stripe/1.0', 'GitHub-Hookshot/1f2', 'python-requests/2.31', 'okhttp/4.12', 'axios/1.6'])[1 + (k + dice % 2) % 6],
		'application/json', CASE WHEN k % 4 = 1 THEN jsonb_build_object('x-github-event', event) ELSE '{}' END, event, 'source-' || k, 'evt_' || ref,
		CASE WHEN outcome <> 'refused' THEN id END, CASE WHEN outcome <> 'refused' THEN body END, length(body), sha256(body), at, 800 + dice % 9000
	FROM b ORDER BY n`

// Make stores the deliveries and the counts that follow from them. Indexes come
// after the rows: that takes a third of the time.
func (h History) Make(ctx context.Context, db *postgres.DB, progress io.Writer) error {
	indexes, err := dropIndexes(ctx, db)
	if err != nil {
		return fmt.Errorf("drop the indexes: %w", err)
	}
	for from := int64(1); from <= h.Deliveries; from += fillAtOnce {
		to := min(h.Deliveries, from+fillAtOnce-1)
		if err := execute(ctx, db, historyRows, from, to, h.Deliveries, h.Workspace, pq.Array(h.Keys)); err != nil {
			return fmt.Errorf("store deliveries: %w", err)
		}
		if to%(10*fillAtOnce) == 0 {
			fmt.Fprintf(progress, "%d deliveries stored\n", to)
		}
	}
	for _, index := range indexes {
		fmt.Fprintln(progress, index)
		if err := execute(ctx, db, index); err != nil {
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
	for _, query := range []string{counts, addresses} {
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
