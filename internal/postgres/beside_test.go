package postgres_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// TestBeside: a pool beside another one takes its roles and scope, and connects no
// sooner than it is asked for something.
func TestBeside(t *testing.T) {
	t.Parallel()
	test := pgtest.New(t)
	test.Raw().MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'W', 'w')`, uuid.Must(uuid.NewV7()))
	db, err := test.Serving().Beside(t.Context(), test.URL, postgres.Reading)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("it has %d connections before it is used", n)
	}
	if !db.Confined() || db.Name() != "reading" {
		t.Errorf("it is confined: %v, and for %s", db.Confined(), db.Name())
	}
	var role, timeout string
	var seen int
	err = db.Read(t.Context(), func(tx *sqlx.Tx) error {
		return tx.QueryRow(`SELECT current_user, current_setting('statement_timeout'), (SELECT count(*) FROM workspaces)`).Scan(&role, &timeout, &seen)
	})
	if err != nil || role != "keyhook_scoped" || timeout != "5s" || seen != 0 {
		t.Errorf("a transaction of no workspace is %s's, has %s and sees %d workspaces, %v", role, timeout, seen, err)
	}
	if err := db.Read(postgres.Everywhere(t.Context()), func(tx *sqlx.Tx) error { return tx.Get(&seen, `SELECT count(*) FROM workspaces`) }); err != nil || seen != 1 {
		t.Errorf("everywhere it sees %d workspaces, %v", seen, err)
	}
	if other, err := test.Serving().Beside(t.Context(), test.URL, postgres.Ingestion); err == nil {
		other.Close()
		t.Error("a pool with other roles is opened unlooked")
	}
}
