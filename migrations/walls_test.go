package migrations_test

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
)

// TestWalls: every table that belongs to a workspace, and every view, is behind the
// second wall, and no partition can be asked around it.
func TestWalls(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Raw()
	for _, tt := range []struct{ query, advice string }{
		{
			`SELECT c.relname FROM pg_class AS c
		  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname IN ('workspace_id', 'webhook_key_id', 'chain') AND NOT a.attisdropped
		  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
			AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND 'keyhook_scoped'::regrole = ANY (p.polroles)))`,
			"has rows of workspaces and no wall: its migration needs SELECT wall('its name'), see 0037_walls.sql",
		},
		{
			`SELECT c.relname FROM pg_class AS c JOIN pg_policy AS p ON p.polrelid = c.oid
		  WHERE c.relnamespace = 'public'::regnamespace AND 'keyhook_scoped'::regrole = ANY (p.polroles) AND pg_get_expr(p.polqual, p.polrelid) = 'true'`,
			"has a wall that holds nothing back",
		},
		{
			`SELECT c.relname FROM pg_class AS c
		  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)`,
			"is a view with its owner's rights, which sees over the wall: ALTER VIEW … SET (security_invoker = true)",
		},
		{
			`SELECT c.relname FROM pg_class AS c
		  WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition AND has_table_privilege('keyhook_scoped', c.oid, 'SELECT, INSERT, UPDATE, DELETE')`,
			"is a partition that can be asked for itself, around its table's wall",
		},
		{
			`SELECT rolname FROM pg_roles WHERE rolname = 'keyhook_scoped'
		  AND (rolsuper OR rolbypassrls OR pg_has_role(rolname, 'keyhook_console', 'MEMBER') OR pg_has_role(rolname, 'keyhook_ingest', 'MEMBER'))`,
			"is a role that the wall does not hold",
		},
	} {
		var names []string
		if err := db.Select(&names, tt.query); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			t.Errorf("%s %s", name, tt.advice)
		}
	}
}

// TestWallFunction: a table of a later migration is walled by one call.
func TestWallFunction(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Raw()
	db.MustExec(`CREATE TABLE later (workspace_id uuid)`)
	db.MustExec(`INSERT INTO later VALUES ('00000000-0000-7000-8000-000000000001'), ('00000000-0000-7000-8000-000000000002')`)
	db.MustExec(`SELECT wall('later'), allow('keyhook_console', 'SELECT, INSERT', 'later')`)
	for _, tt := range []struct {
		role, workspace string
		want            int
	}{
		{"keyhook_console", "", 2}, // the previous release's, and upkeep's
		{"keyhook_scoped", "", 0},
		{"keyhook_scoped", "00000000-0000-7000-8000-000000000001", 1},
	} {
		tx := db.MustBegin()
		tx.MustExec(`SET LOCAL ROLE ` + tt.role)
		tx.MustExec(`SELECT set_config('keyhook.workspace', $1, true)`, tt.workspace)
		if got := count(t, tx); got != tt.want {
			t.Errorf("%s in %q sees %d rows, want %d", tt.role, tt.workspace, got, tt.want)
		}
		_, err := tx.Exec(`INSERT INTO later VALUES ('00000000-0000-7000-8000-000000000002')`)
		if (err != nil) != (tt.role == "keyhook_scoped") {
			t.Errorf("%s in %q adds a row of the second workspace: %v", tt.role, tt.workspace, err)
		}
		tx.Rollback()
	}
}

func count(t *testing.T, tx *sqlx.Tx) (n int) {
	t.Helper()
	if err := tx.Get(&n, `SELECT count(*) FROM later`); err != nil {
		t.Fatal(err)
	}
	return n
}
