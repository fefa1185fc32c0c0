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
	dataDir     string
	owned       *pgembed.Server // started by serve; nil otherwise
	leave       func() error    // ends our use of the private one; nil otherwise
	maintenance *postgres.DB    // opened by prepare
}

// An access is what a command needs of the private database.
type access int

const (
	own  access = iota // to be its only owner
	join               // to work beside others, or to start or make it
	find               // the same, but to make none
)

// openDatabase finds or starts the database.
func openDatabase(ctx context.Context, c config.Database, need access, log *slog.Logger) (*database, error) {
	if err := checkDatabase(ctx, &c); err != nil {
		return nil, err
	}
	if c.URL != "" {
		return &database{url: c.URL, direct: c.Direct(), dataDir: c.DataDir}, nil
	}
	return openPrivate(ctx, c, need, log)
}

func openPrivate(ctx context.Context, c config.Database, need access, log *slog.Logger) (*database, error) {
	private := pgembed.Config{Dir: filepath.Join(c.DataDir, "postgres"), Bin: c.PGBin, Log: log, Existing: need == find}
	if need != find {
		if err := makeDataDir(c.DataDir); err != nil {
			return nil, err
		}
	}
	if need != own {
		return sharePrivate(ctx, c.DataDir, private)
	}
	server, err := pgembed.Start(ctx, private)
	if err != nil {
		return nil, err
	}
	stop := func() error { return server.Stop(context.WithoutCancel(ctx)) }
	return &database{url: server.URL(), direct: server.URL(), dataDir: c.DataDir, owned: server, leave: stop}, nil
}

// sharePrivate uses the private database beside others, be it serve's or one that a
// command started.
func sharePrivate(ctx context.Context, dataDir string, private pgembed.Config) (*database, error) {
	share, err := pgembed.Join(ctx, private)
	if errors.Is(err, pgembed.ErrNone) {
		return nil, fmt.Errorf("there is no database in %s yet: run keyhook serve first, or name another folder with KEYHOOK_DATA_DIR", dataDir)
	}
	if err != nil {
		return nil, err
	}
	leave := func() error { return share.Leave(ctx) }
	return &database{url: share.URL(), direct: share.URL(), dataDir: dataDir, leave: leave}, nil
}

// makeDataDir makes the data folder, which PostgreSQL's user must get through.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	return nil
}

// close leaves or stops what openDatabase found or started, and closes what prepare
// opened.
func (d *database) close(log *slog.Logger) {
	if d.maintenance != nil {
		d.maintenance.Close()
	}
	if d.leave == nil {
		return
	}
	if err := d.leave(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		log.Warn("the private PostgreSQL did not end well", "err", err)
	}
}

// prepare brings the schema up, unlocks the secrets and looks whether the database
// was restored, all under the migration lock. With apply false it refuses where migrations are missing.
func (d *database) prepare(ctx context.Context, m config.MasterKey, dataDir string, apply bool, log *slog.Logger) (box *seal.Box, err error) {
	if m.File == "" {
		if err := makeDataDir(dataDir); err != nil { // the first start puts the master key there
			return nil, err
		}
	}
	direct, err := postgres.Connect(ctx, d.direct)
	if err != nil {
		return nil, err
	}
	defer direct.Close()
	if err := checkServer(ctx, direct); err != nil {
		return nil, err
	}
	err = migrations.Locked(ctx, direct, func(ctx context.Context, lock *sql.Conn) error {
		// Nearly always nothing is missing, and a connection beside the lock's not needed.
		whole, err := isMigrated(ctx, lock)
		if err == nil && !whole {
			err = migrate(ctx, direct, apply)
		}
		if err != nil {
			return err
		}
		if d.maintenance, err = postgres.Open(ctx, d.url, postgres.Maintenance); err != nil {
			return err
		}
		db := d.maintenance
		if box, err = instance.Unlock(ctx, db, m.Path(dataDir)); err != nil {
			return err
		}
		if err := keyring.NewStore(db, box).CheckMasterKeys(ctx); err != nil {
			return err
		}
		restored, err := instance.KeepOrder(ctx, db)
		if restored {
			log.Warn("the database was restored, or went back to an earlier state: readers go on behind what they have had")
		}
		return err
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

// checkMigrated refuses a database that lacks migrations, and changes nothing in it.
func (d *database) checkMigrated(ctx context.Context) error {
	names, err := migrations.Names()
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, d.url, postgres.Health)
	if err != nil {
		return err
	}
	defer db.Close()
	var n int
	err = db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, countApplied, pq.Array(names)) })
	if err != nil && postgres.Code(err) != "42P01" { // there is no such table
		return err
	}
	if n < len(names) {
		return fmt.Errorf("the database lacks %d migrations of this version: run keyhook serve or keyhook migrate up first", len(names)-n)
	}
	return nil
}

// isMigrated reports whether a database has every migration of this program.
func isMigrated(ctx context.Context, db *sql.Conn) (bool, error) {
	names, err := migrations.Names()
	if err != nil {
		return false, err
	}
	var n int
	err = db.QueryRowContext(ctx, countApplied, pq.Array(names)).Scan(&n)
	if postgres.Code(err) == "42P01" { // there is no such table
		return false, nil
	}
	return n == len(names), err
}

const countApplied = `SELECT count(*) FROM schema_migrations WHERE id = ANY ($1)`

// checkServer refuses a server that is too old or may lose what it confirmed.
func checkServer(ctx context.Context, db *sql.DB) error {
	const query = `
		SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
			current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()`
	var s postgresServer
	if err := db.QueryRowContext(ctx, query).Scan(&s.number, &s.version, &s.fsync, &s.pages, &s.standby); err != nil {
		return fmt.Errorf("ask the database about itself: %w", err)
	}
	return s.usable()
}

// A postgresServer is what PostgreSQL says of itself.
type postgresServer struct {
	number                int
	version, fsync, pages string
	standby               bool
}

func (s postgresServer) usable() error {
	switch {
	case s.number < oldestServer:
		return fmt.Errorf("the database is PostgreSQL %s, and version 15 or later is needed", s.version)
	case s.standby:
		return errors.New("the database is a read-only standby: set DATABASE_URL to the primary")
	case s.fsync != "on" || s.pages != "on":
		return fmt.Errorf("the database runs with fsync=%s and full_page_writes=%s and could lose what was confirmed: turn both on", s.fsync, s.pages)
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

// checkReady says why the database can't be worked with: it is a standby or
// read-only, or lacks a migration of this program.
func checkReady(ctx context.Context, db *postgres.DB, names []string) error {
	const mode = `SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean`
	var readOnly bool
	var n int
	err := db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &readOnly, mode); err != nil {
			return err
		}
		return tx.GetContext(ctx, &n, countApplied, pq.Array(names))
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
