package migrations_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
	"keyhook/migrations"
)

func connect(t *testing.T, db *pgtest.Database) *sql.DB {
	t.Helper()
	pool, err := postgres.Connect(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

// schema lists the columns, constraints, triggers, functions, rights and policies of a database.
func schema(t *testing.T, db *sql.DB) []string {
	t.Helper()
	const query = `
		SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
		FROM information_schema.columns WHERE table_schema = 'public'
		UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
		UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		UNION ALL SELECT 'right ' || grantee || ' ' || table_name || ' ' || privilege_type FROM information_schema.role_table_grants
			WHERE table_schema = 'public' AND grantee LIKE 'keyhook_%'
		UNION ALL SELECT 'policy ' || tablename || ' ' || policyname || ' ' || roles::text || ' ' || coalesce(qual, '') FROM pg_policies WHERE schemaname = 'public'
		UNION ALL SELECT 'walled ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
		ORDER BY 1`
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.NewEmpty(t))
	n, err := migrations.Up(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	first := schema(t, db)
	if pending, err := migrations.Pending(db); err != nil || pending != 0 {
		t.Errorf("after Up %d migrations are pending, %v; want none", pending, err)
	}
	if down, err := migrations.Down(t.Context(), db, 0); err != nil || down != n {
		t.Fatalf("Down undid %d migrations, %v; want %d", down, err, n)
	}
	for _, line := range schema(t, db) {
		t.Logf("left: %s", line)
	}
	if left := len(schema(t, db)); left > 4 { // the columns and the key of the list of migrations itself
		t.Errorf("Down left %d things behind", left)
	}
	if _, err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, schema(t, db)); diff != "" {
		t.Errorf("the schema after down and up again (-first +again):\n%s", diff)
	}
}

func TestStartersAtOnce(t *testing.T) {
	t.Parallel()
	for range 5 {
		empty := pgtest.NewEmpty(t)
		applied, starters := make([]int, 4), sync.WaitGroup{}
		for i := range applied {
			db := connect(t, empty)
			starters.Go(func() {
				err := migrations.Locked(t.Context(), db, func(ctx context.Context, _ *sql.Conn) (err error) {
					applied[i], err = migrations.Up(ctx, db)
					return err
				})
				if err != nil {
					t.Errorf("starter %d: %v", i, err)
				}
			})
		}
		starters.Wait()
		busy := 0
		for _, n := range applied {
			if n > 0 {
				busy++
			}
		}
		if busy != 1 {
			t.Errorf("%d of 4 starters applied migrations (%v), want 1", busy, applied)
		}
	}
}

func TestNewerSchema(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.New(t))
	if _, err := db.ExecContext(t.Context(), `INSERT INTO schema_migrations (id, applied_at) VALUES ('9999_later.sql', now())`); err != nil {
		t.Fatal(err)
	}
	if n, err := migrations.Up(t.Context(), db); err != nil || n != 0 {
		t.Errorf("Up on a newer schema = %d, %v; the previous release must start there", n, err)
	}
	if _, err := migrations.Down(t.Context(), db, 1); err == nil {
		t.Error("Down undid part of a schema that it does not know")
	}
	states, err := migrations.Status(db)
	if err != nil {
		t.Fatal(err)
	}
	if last := states[len(states)-1]; last.Name != "9999_later.sql" || last.Known {
		t.Errorf("Status ends in %+v, want the unknown migration", last)
	}
}

func TestDeliveryWeeks(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.New(t))
	var made, again, gaps int
	const ensure = `SELECT ensure_delivery_weeks('2025-12-20Z', '2027-02-01Z')`
	if err := db.QueryRowContext(t.Context(), ensure).Scan(&made); err != nil || made < 50 {
		t.Fatalf("made %d weeks, %v; want over 50", made, err)
	}
	if err := db.QueryRowContext(t.Context(), ensure).Scan(&again); err != nil || again != 0 {
		t.Errorf("the second call made %d weeks, %v; want none", again, err)
	}
	// Every moment of 2026 has a week to go to.
	const check = `
		SELECT count(*) FROM generate_series('2026-01-01Z'::timestamptz, '2026-12-31Z', '7 hours') AS moment
		WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'deliveries_' || to_char(date_trunc('week', moment AT TIME ZONE 'UTC'), 'YYYYMMDD'))`
	if err := db.QueryRowContext(t.Context(), check).Scan(&gaps); err != nil || gaps != 0 {
		t.Errorf("%d moments without a week, %v", gaps, err)
	}
	const insert = `
		INSERT INTO deliveries (id, auth_method, outcome, status, endpoint, address, received_at)
		SELECT uuid_floor(m), 'none', 'refused', 401, '/hooks/{key}', '::1', m
		FROM generate_series('2026-01-01Z'::timestamptz, '2026-12-31Z', '7 hours') AS m`
	if _, err := db.ExecContext(t.Context(), insert); err != nil {
		t.Errorf("rows over the whole year: %v", err)
	}
}
