// Package migrations holds the database schema and brings a database to it.
//
// Several instances may start at once on one database: everything here happens
// under one lock, which is polled, because a blocking advisory lock never ends
// when a migration builds an index concurrently.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"time"

	migrate "github.com/rubenv/sql-migrate"
)

//go:embed *.sql
var files embed.FS

const (
	lockID   = 0x6b657968 // "keyh"
	lockPoll = 50 * time.Millisecond
	lockWait = 60 * time.Second
)

func source() migrate.MigrationSource {
	return &migrate.EmbedFileSystemMigrationSource{FileSystem: files, Root: "."}
}

// A set ignores migrations that it does not know, so that the previous release
// can start on a newer schema.
func set(ignoreUnknown bool) migrate.MigrationSet {
	return migrate.MigrationSet{TableName: "schema_migrations", IgnoreUnknown: ignoreUnknown}
}

// Locked runs f while no other instance does anything under the same lock. The
// lock is a session's, so db must not lead through a transaction pooler. f gets the
// session that has it.
func Locked(ctx context.Context, db *sql.DB, f func(context.Context, *sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect for the migration lock: %w", err)
	}
	defer conn.Close()
	if err := lock(ctx, conn); err != nil {
		return err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lockID) // closing the session unlocks too
	return f(ctx, conn)
}

func lock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockID).Scan(&got); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if got {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another instance has held the migration lock for %s: %w", lockWait, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

// Up applies what is missing and returns how many migrations that were. Call it
// inside Locked.
func Up(ctx context.Context, db *sql.DB) (int, error) {
	n, err := set(true).ExecContext(ctx, db, "postgres", source(), migrate.Up)
	if err != nil {
		return n, fmt.Errorf("migrate up: %w", err)
	}
	return n, nil
}

// Down undoes at most limit migrations, the newest first; 0 undoes all of them.
// It refuses when the database holds a migration that this program does not know.
func Down(ctx context.Context, db *sql.DB, limit int) (int, error) {
	n, err := set(false).ExecMaxContext(ctx, db, "postgres", source(), migrate.Down, limit)
	if err != nil {
		return n, fmt.Errorf("migrate down: %w", err)
	}
	return n, nil
}

// A State says whether one migration is in the database.
type State struct {
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"applied_at"` // nil: pending
	Known     bool       `json:"known"`      // false: made by a newer release
}

// Status lists the migrations of this program and those of the database, in order. It
// makes nothing.
func Status(db *sql.DB) ([]State, error) {
	known, err := source().FindMigrations()
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	records, err := applications(db)
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	applied := map[string]*time.Time{}
	for _, record := range records {
		applied[record.Id] = &record.AppliedAt
	}
	var states []State
	for _, m := range known {
		states = append(states, State{Name: m.Id, AppliedAt: applied[m.Id], Known: true})
		delete(applied, m.Id)
	}
	for _, record := range records {
		if at, unknown := applied[record.Id]; unknown {
			states = append(states, State{Name: record.Id, AppliedAt: at})
		}
	}
	return states, nil
}

// applications reads what was applied. An empty database has no table of that.
func applications(db *sql.DB) (records []*migrate.MigrationRecord, err error) {
	var there bool
	if err := db.QueryRow(`SELECT to_regclass('schema_migrations') IS NOT NULL`).Scan(&there); err != nil || !there {
		return nil, err
	}
	look := set(false)
	look.DisableCreateTable = true
	return look.GetMigrationRecords(db, "postgres")
}

// Names lists the migrations of this program, in order.
func Names() ([]string, error) {
	known, err := source().FindMigrations()
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var names []string
	for _, m := range known {
		names = append(names, m.Id)
	}
	return names, nil
}

// Pending says how many migrations of this program the database lacks.
func Pending(db *sql.DB) (int, error) {
	states, err := Status(db)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, state := range states {
		if state.AppliedAt == nil {
			n++
		}
	}
	return n, nil
}
