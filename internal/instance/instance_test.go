package instance_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"keyhook/internal/instance"
	"keyhook/internal/pgtest"
	"keyhook/migrations"
)

func TestUnlock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Console()
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")

	first, err := instance.Unlock(t.Context(), db, path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := first.Seal([]byte("text"), "p")
	again, err := instance.Unlock(t.Context(), db, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Open(sealed, "p"); err != nil {
		t.Errorf("the second start has other keys: %v", err)
	}

	if _, err := instance.Unlock(t.Context(), db, filepath.Join(dir, "missing.key")); err == nil || !strings.Contains(err.Error(), "copy it") {
		t.Errorf("Unlock without the file = %v, want a refusal that says to copy it", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.key")); err == nil {
		t.Error("Unlock made a master key although the database has one")
	}
	other := filepath.Join(dir, "other.key")
	if _, err := instance.Unlock(t.Context(), pgtest.New(t).Console(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Unlock(t.Context(), db, other); err == nil || !strings.Contains(err.Error(), "does not open") {
		t.Errorf("Unlock with another's file = %v, want a refusal", err)
	}
}

// TestUnlockAtOnce starts instances that share a file on a database without a canary.
func TestUnlockAtOnce(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	path := filepath.Join(t.TempDir(), "master.key")
	var starters sync.WaitGroup
	for range 8 {
		db, direct := database.Console(), database.Raw().DB
		starters.Go(func() {
			err := migrations.Locked(t.Context(), direct, func(ctx context.Context, _ *sql.Conn) error {
				_, err := instance.Unlock(ctx, db, path)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	starters.Wait()
	if _, err := instance.Unlock(t.Context(), database.Console(), path); err != nil {
		t.Error(err)
	}
}
