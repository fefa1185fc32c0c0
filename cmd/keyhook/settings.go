package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"keyhook/internal/audit"
	"keyhook/internal/config"
	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// checkDatabase refuses settings that name no database.
func checkDatabase(ctx context.Context, c *config.Database) error {
	if err := c.Validate(); err != nil {
		return &usageError{err}
	}
	if c.URL == "" {
		return checkPrograms(ctx, c.PGBin)
	}
	if err := postgres.CheckURL(c.URL); err != nil {
		return misuse("DATABASE_URL: %w", err)
	}
	if err := postgres.CheckURL(c.Direct()); err != nil {
		return misuse("KEYHOOK_DIRECT_URL: %w", err)
	}
	return nil
}

func checkPrograms(ctx context.Context, dir string) error {
	if dir == "" {
		return nil
	}
	if err := pgembed.CheckPrograms(ctx, dir); err != nil {
		return misuse("KEYHOOK_PG_BIN: %w", err)
	}
	return nil
}

// checkMasterKey refuses a file that is there and holds no master keys.
func checkMasterKey(m config.MasterKey) error {
	if err := m.Validate(); err != nil {
		return &usageError{err}
	}
	return checkContent("KEYHOOK_MASTER_KEY_FILE", m.File, func(path string) error { _, err := seal.Load(path); return err })
}

// checkEvidence refuses a file that is there and holds no signing key.
func checkEvidence(e config.Evidence) error {
	if err := e.Validate(); err != nil {
		return &usageError{err}
	}
	return checkContent("KEYHOOK_SIGNING_KEY_FILE", e.KeyFile, func(path string) error { _, err := audit.LoadSigner(path); return err })
}

// checkContent has a file read that is there. A pipe can be read only once, so it is
// left to who uses it.
func checkContent(variable, path string, read func(path string) error) error {
	if info, err := os.Stat(path); path == "" || err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if err := read(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return misuse("%s: %w", variable, err)
	}
	return nil
}
