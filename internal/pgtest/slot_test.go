package pgtest_test

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
)

const addWorkspace = `INSERT INTO workspaces (id, name, slug) VALUES (gen_random_uuid(), 'Acme', gen_random_uuid())`

// TestNextTest: what a test did to its database is gone for the next one, which has the
// same database after rows alone, and another one after anything else.
func TestNextTest(t *testing.T) {
	name := func(db *pgtest.Database) (name string) {
		t.Helper()
		if err := db.Raw().Get(&name, `SELECT current_database()`); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for what, tt := range map[string]struct {
		do   func(t *testing.T, db *pgtest.Database)
		same bool
	}{
		"nothing": {func(*testing.T, *pgtest.Database) {}, true},
		"rows": {func(t *testing.T, db *pgtest.Database) {
			db.Raw().MustExec(addWorkspace)
			db.Raw().MustExec(`DELETE FROM instance`)
			if err := db.Console().InTx(t.Context(), func(tx *sqlx.Tx) error { return nil }); err != nil {
				t.Error(err)
			}
		}, true},
		"a setting": {func(_ *testing.T, db *pgtest.Database) {
			db.Raw().SetMaxOpenConns(1)
			db.Raw().MustExec(`SET statement_timeout = '1h'`)
		}, true},
		"a closed pool": {func(_ *testing.T, db *pgtest.Database) { db.Console().Close() }, true},
		"a trigger": {func(_ *testing.T, db *pgtest.Database) {
			db.Raw().MustExec(`ALTER TABLE audit_log DISABLE TRIGGER ALL`)
		}, false},
		"a wall":  {func(_ *testing.T, db *pgtest.Database) { pgtest.DropWalls(db.Raw()) }, false},
		"a table": {func(_ *testing.T, db *pgtest.Database) { db.Raw().MustExec(`CREATE TABLE x (y integer)`) }, false},
		"a constraint": {func(_ *testing.T, db *pgtest.Database) {
			db.Raw().MustExec(`ALTER TABLE users ADD CHECK (name <> 'x')`)
		}, false},
		"an analysis": {func(_ *testing.T, db *pgtest.Database) {
			db.Raw().MustExec(addWorkspace)
			db.Raw().MustExec(`ANALYZE workspaces`)
		}, false},
		"a large table": {func(_ *testing.T, db *pgtest.Database) {
			db.Raw().MustExec(`INSERT INTO workspaces (id, name, slug) SELECT gen_random_uuid(), repeat('x', 80), gen_random_uuid() FROM generate_series(1, 8000)`)
		}, false},
		"a transaction": {func(_ *testing.T, db *pgtest.Database) { db.Raw().MustBegin().MustExec(addWorkspace) }, false},
		"a client that stays": {func(_ *testing.T, db *pgtest.Database) {
			other := sqlx.MustConnect("postgres", db.URL)
			t.Cleanup(func() { other.Close() }) // with the outer test
		}, false},
	} {
		var before string
		t.Run(what, func(t *testing.T) {
			db := pgtest.New(t)
			before = name(db)
			tt.do(t, db)
		})
		t.Run("after "+what, func(t *testing.T) {
			db := pgtest.New(t)
			if after := name(db); (after == before) != tt.same {
				t.Errorf("the database was %s and is %s, want the same one: %v", before, after, tt.same)
			}
			var workspaces, instances int
			err := db.Console().Read(t.Context(), func(tx *sqlx.Tx) error {
				return tx.QueryRow(`SELECT (SELECT count(*) FROM workspaces), (SELECT count(*) FROM instance)`).Scan(&workspaces, &instances)
			})
			if err != nil || workspaces != 0 || instances != 1 {
				t.Errorf("%d workspaces and %d instances are there, %v; want 0 and 1", workspaces, instances, err)
			}
			var limit string
			if err := db.Raw().Get(&limit, `SHOW statement_timeout`); err != nil || limit != "0" || db.Raw().Stats().MaxOpenConnections < 2 {
				t.Errorf("the raw pool has the limit %s, %v, and %d connections", limit, err, db.Raw().Stats().MaxOpenConnections)
			}
		})
	}
}
