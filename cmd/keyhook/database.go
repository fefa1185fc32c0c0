package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/config"
	"keyhook/internal/instance"
	"keyhook/internal/keyring"
	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
	"keyhook/migrations"
)

// oldestServer is the first PostgreSQL that the schema runs on, as the server
// numbers its versions.
const oldestServer = 150000

// A database is the one that a command works on: by its URL, or the private one,
// which is joined where serve runs and started for the command where it does not.
type database struct {
	url, direct string
	owned       *pgembed.Server // started by us; nil otherwise
}

// openDatabase finds or starts the database. own says that nobody else may own
// the private one.
func openDatabase(ctx context.Context, c config.Database, own bool, log *slog.Logger) (*database, error) {
	if err := c.Validate(); err != nil {
		return nil, &usageError{err}
	}
	if c.URL != "" {
		return &database{url: c.URL, direct: c.Direct()}, nil
	}
	if err := os.MkdirAll(c.DataDir, 0o711); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	dir := filepath.Join(c.DataDir, "postgres")
	if !own {
		if url, ok := pgembed.Running(ctx, dir); ok {
			return &database{url: url, direct: url}, nil
		}
	}
	server, err := pgembed.Start(ctx, pgembed.Config{Dir: dir, Bin: c.PGBin, Log: log})
	if err != nil {
		return nil, err
	}
	return &database{url: server.URL(), direct: server.URL(), owned: server}, nil
}

// close stops what openDatabase started.
func (d *database) close(log *slog.Logger) {
	if d.owned == nil {
		return
	}
	if err := d.owned.Stop(context.Background()); err != nil && !errors.Is(err, os.ErrProcessDone) {
		log.Warn("the private PostgreSQL did not end well", "err", err)
	}
}

// prepare brings the schema up and unlocks the secrets, both under the migration
// lock. With apply false it refuses where migrations are missing.
func (d *database) prepare(ctx context.Context, masterKeyFile string, apply bool) (box *seal.Box, err error) {
	direct, err := postgres.Connect(ctx, d.direct)
	if err != nil {
		return nil, err
	}
	defer direct.Close()
	if err := checkServer(ctx, direct); err != nil {
		return nil, err
	}
	err = migrations.Locked(ctx, direct, func(ctx context.Context) error {
		if err := migrate(ctx, direct, apply); err != nil {
			return err
		}
		db, err := postgres.Open(ctx, d.url, postgres.Maintenance)
		if err != nil {
			return err
		}
		defer db.Close()
		if box, err = instance.Unlock(ctx, db, masterKeyFile); err != nil {
			return err
		}
		return keyring.NewStore(db, box).CheckMasterKeys(ctx)
	})
	return box, rights(err)
}

func migrate(ctx context.Context, direct *sql.DB, apply bool) error {
	if apply {
		_, err := migrations.Up(ctx, direct)
		return err
	}
	pending, err := migrations.Pending(direct)
	if err == nil && pending > 0 {
		err = fmt.Errorf("the database lacks %d migrations of this version: run keyhook migrate up, or start without --migrate=false", pending)
	}
	return err
}

// checkServer refuses a server that is too old or may lose what it confirmed.
func checkServer(ctx context.Context, db *sql.DB) error {
	const query = `
		SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
			current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()`
	var number int
	var version, fsync, pages string
	var standby bool
	if err := db.QueryRowContext(ctx, query).Scan(&number, &version, &fsync, &pages, &standby); err != nil {
		return fmt.Errorf("ask the database about itself: %w", err)
	}
	switch {
	case number < oldestServer:
		return fmt.Errorf("the database is PostgreSQL %s, and version 15 or later is needed", version)
	case standby:
		return errors.New("the database is a read-only standby: set DATABASE_URL to the primary")
	case fsync != "on" || pages != "on":
		return fmt.Errorf("the database runs with fsync=%s and full_page_writes=%s and could lose what was confirmed: turn both on", fsync, pages)
	}
	return nil
}

// rights says in words what a server that refuses us means.
func rights(err error) error {
	if err != nil && postgres.Code(err) == "42501" {
		return fmt.Errorf("the database user may not do what Keyhook needs: make it the owner of the database, or grant CREATE on it and on its schema (%w)", err)
	}
	return err
}

// A session is what the short commands work with.
type session struct {
	db       *database
	console  *postgres.DB
	box      *seal.Box
	accounts *account.Store
	keys     *keyring.Store
	by       audit.Actor
	log      *slog.Logger
}

// begin opens the stores for a short command. Call close at its end.
func begin(ctx context.Context, a app, c config.Database, m config.MasterKey) (*session, error) {
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openDatabase(ctx, c, false, log)
	if err != nil {
		return nil, err
	}
	s := &session{db: db, log: log, by: audit.Actor{Kind: audit.CLI, ID: operator(), Label: operator()}}
	if s.box, err = db.prepare(ctx, m.Path(c.DataDir), true); err != nil {
		s.close()
		return nil, err
	}
	if s.console, err = postgres.Open(ctx, db.url, postgres.Console); err != nil {
		s.close()
		return nil, err
	}
	s.accounts, s.keys = account.NewStore(s.console, s.box, log), keyring.NewStore(s.console, s.box)
	return s, nil
}

func (s *session) close() {
	if s.console != nil {
		s.console.Close()
	}
	s.db.close(s.log)
}

// in returns the actor in the workspace with a slug.
func (s *session) in(ctx context.Context, slug string) (audit.Actor, error) {
	workspace, err := s.accounts.Workspace(ctx, slug)
	return s.by.In(workspace.ID), err
}

// checkReady says why the database can't be worked with: it is a standby or
// read-only, or lacks a migration of this program.
func checkReady(ctx context.Context, db *postgres.DB, names []string) error {
	const mode = `SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean`
	const applied = `SELECT count(*) FROM schema_migrations WHERE id = ANY ($1)`
	var readOnly bool
	var n int
	err := db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &readOnly, mode); err != nil {
			return err
		}
		return tx.GetContext(ctx, &n, applied, pq.Array(names))
	})
	switch {
	case err != nil:
		return err
	case readOnly:
		return errors.New("the database is read-only")
	case n < len(names):
		return fmt.Errorf("the database lacks %d migrations", len(names)-n)
	}
	return nil
}
