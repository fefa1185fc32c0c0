package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"keyhook/internal/audit"
	"keyhook/internal/pgtest"
)

// TestCheckpointLeavesWithoutFile: where the file can't be written a checkpoint is
// posted all the same, and the error told.
func TestCheckpointLeavesWithoutFile(t *testing.T) {
	t.Parallel()
	dir, posted := t.TempDir(), 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posted++ }))
	defer server.Close()
	signer, err := audit.OpenSigner(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	s := &signing{
		store: audit.NewStore(pgtest.New(t).Console()), signer: signer, log: slog.New(slog.DiscardHandler),
		ledger: audit.Ledger{Path: filepath.Join(dir, "nowhere", "checkpoints.ndjson")}, poster: audit.NewPoster(server.URL),
	}
	if _, err := s.sign(t.Context(), 0); !errors.Is(err, fs.ErrNotExist) || posted != 1 {
		t.Errorf("sign, with a file that can't be written: %v, %d posted; want its error and 1", err, posted)
	}
}
