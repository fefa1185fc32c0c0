package e2e_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"keyhook/internal/postgres"
)

var listings = [][]string{{"user", "list"}, {"workspace", "list"}, {"key", "list", "--workspace", "w"}}

// TestListingMakesNothing: a command that lists leaves a folder and a database
// as they are.
func TestListingMakesNothing(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	url := newDatabase(t, commonPostgres(t), "listed")
	for _, args := range listings {
		if got := command(t, dir, "", nil, args...); got.code != 1 || !strings.Contains(got.err, "no database in "+dir) {
			t.Errorf("without a database: keyhook %v: %+v", args, got)
		}
		if got := command(t, dir, "", []string{"DATABASE_URL=" + url}, args...); got.code != 1 || !strings.Contains(got.err, "migrate up") {
			t.Errorf("on an empty database: keyhook %v: %+v", args, got)
		}
	}
	if got := command(t, dir, "", nil, "migrate", "status"); got.code != 1 || !strings.Contains(got.err, "no database in "+dir) {
		t.Errorf("without a database: migrate status: %+v", got)
	}
	if got := command(t, dir, "", []string{"DATABASE_URL=" + url}, "migrate", "status"); got.code != 0 || !strings.Contains(got.out, "pending") {
		t.Errorf("on an empty database: migrate status: %+v", got)
	}
	if n := tables(t, url); n != 0 {
		t.Errorf("listing made %d tables", n)
	}
	if got := command(t, dir, "", []string{"DATABASE_URL=" + url}, "migrate", "up"); got.code != 0 {
		t.Fatalf("migrate up: %+v", got)
	}
	for _, args := range listings {
		got := command(t, dir, "", []string{"DATABASE_URL=" + url}, args...)
		if missing := slices.Contains(args, "w"); missing != (got.code == 1) || missing && !strings.Contains(got.err, "no such workspace") {
			t.Errorf("on a database without rows: keyhook %v: %+v", args, got)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the data folder holds %v, %v; want nothing", entries, err)
	}
}

func tables(t *testing.T, url string) (n int) {
	t.Helper()
	db, err := postgres.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const query = `SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
