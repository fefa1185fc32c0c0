// Package instance knows what is true of the whole installation: which master
// key its secrets are sealed under, and its epoch. It owns the table instance,
// one row.
//
// The first master key is made, and its canary stored, only while the database
// holds none; from then on a program without that key does not start.
package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

const canaryText = "keyhook"

// Unlock returns the master keys of the file at path, after checking that they
// open this database's secrets. The first instance of all makes the file; call
// it under the migration lock, so that there is only one first.
func Unlock(ctx context.Context, db *postgres.DB, path string) (*seal.Box, error) {
	const read = `SELECT canary FROM instance`
	const store = `UPDATE instance SET canary = $1`

	var box *seal.Box
	err := db.InTx(ctx, func(tx *sqlx.Tx) error {
		var canary []byte
		if err := tx.GetContext(ctx, &canary, read); err != nil {
			return fmt.Errorf("read the canary: %w", err)
		}
		var err error
		if canary != nil {
			box, err = loadFor(canary, path)
			return err
		}
		if box, err = loadOrCreate(path); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, store, box.Seal([]byte(canaryText), "canary"))
		return err
	})
	if err != nil {
		return nil, err
	}
	return box, nil
}

func loadFor(canary []byte, path string) (*seal.Box, error) {
	box, err := seal.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the master key file %s is missing, and this database's secrets are sealed with it: copy it here from another instance or a backup", path)
	}
	if err != nil {
		return nil, err
	}
	if _, err := box.Open(canary, "canary"); err != nil {
		return nil, fmt.Errorf("the master key file %s does not open this database's secrets: copy the right one here from another instance or a backup", path)
	}
	return box, nil
}

func loadOrCreate(path string) (*seal.Box, error) {
	box, err := seal.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seal.Create(path)
	}
	return box, err
}
