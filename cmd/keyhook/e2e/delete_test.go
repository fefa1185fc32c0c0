package e2e_test

import (
	"testing"

	"keyhook/internal/postgres"
)

// TestDeletingAWorkspaceTakesAsLongAsItTakes: with millions of rows it takes
// longer than a page may, so no limit of the console holds for it.
func TestDeletingAWorkspaceTakesAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	url := newDatabase(t, commonPostgres(t), "deleted")
	run := func(args ...string) {
		t.Helper()
		if got := command(t, dir, "", []string{"DATABASE_URL=" + url}, args...); got.code != 0 {
			t.Fatalf("keyhook %v: %+v", args, got)
		}
	}
	run("user", "create", "--email", ownerEmail, "--name", "Ada")
	run("workspace", "create", "--name", "Huge", "--owner", ownerEmail)
	db, err := postgres.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const limited = `
		CREATE FUNCTION refuse_limits() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF current_setting('statement_timeout') <> '0' OR current_setting('lock_timeout') <> '0' THEN
				RAISE EXCEPTION 'a workspace is deleted in limited time';
			END IF;
			RETURN OLD;
		END $$;
		CREATE TRIGGER refuse_limits BEFORE DELETE ON workspaces FOR EACH ROW EXECUTE FUNCTION refuse_limits()`
	if _, err := db.Exec(limited); err != nil {
		t.Fatal(err)
	}
	run("workspace", "delete", "--workspace", "huge", "--yes")
	var workspaces, entries int
	const left = `SELECT (SELECT count(*) FROM workspaces), (SELECT count(*) FROM audit_log WHERE action = 'workspace.deleted')`
	if err := db.QueryRow(left).Scan(&workspaces, &entries); err != nil || workspaces != 0 || entries != 2 {
		t.Errorf("%d workspaces and %d audit entries are there, %v; want 0 and 2", workspaces, entries, err)
	}
}
