package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMakesTheDataFolder: the first start on a server of one's own makes the
// folder that the master key goes into.
func TestMakesTheDataFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(newDataDir(t), "not", "there")
	server := serve(t, dir, "DATABASE_URL="+newDatabase(t, commonPostgres(t), "first"))
	server.stop()
	if info, err := os.Stat(filepath.Join(dir, "master.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the master key: %v, %v; want a file of mode 0600", info, err)
	}
}
