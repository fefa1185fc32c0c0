// Package postgres opens the database and runs transactions on it. It knows no
// table.
//
// A [DB] gives no access to its pool: the only ways in are [DB.InTx] and the
// read-only [DB.Read]. A write outside an explicit transaction, which lib/pq may
// silently run twice when a connection is cut, can't be written down.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A Purpose is what a pool of connections is for. The purposes have pools of
// their own, so that one can't starve another.
type Purpose struct {
	name     string
	role     string        // taken by each transaction, if the cluster has it
	wide     string        // taken instead by one that is about many workspaces
	deadline time.Duration // of each read and write on the network; 0: none
	timeout  time.Duration // of each statement, enforced by the server; 0: none
	conns    int
	buffer   int // bytes that a connection reads ahead
}

// The pools. Ingestion must be able to answer within 2.5 s, the console within
// 6 s; programs that read must not keep people waiting; maintenance (migrations, retention, exports) takes as long as it takes.
// Health asks whether the database is there, whatever load the others are under.
var (
	Ingestion   = Purpose{"ingestion", "keyhook_ingest", "keyhook_ingest", 2 * time.Second, 1800 * time.Millisecond, 16, 0}
	Console     = Purpose{"console", "keyhook_scoped", "keyhook_console", 6 * time.Second, 5 * time.Second, 10, 0}
	Reading     = Purpose{"reading", "keyhook_scoped", "keyhook_console", 6 * time.Second, 5 * time.Second, 8, 64 << 10}
	Maintenance = Purpose{"maintenance", "", "", 0, 0, 4, 0}
	Health      = Purpose{"health", "", "", 2 * time.Second, 1800 * time.Millisecond, 2, 0}
	Naive       = Purpose{"naive", "", "", 0, 0, 16, 0} // the benchmark's, as wide as ingestion's
)

// Patient returns a purpose with ten times its limits of time, for what is not about
// them on a machine that has much else to do.
func (p Purpose) Patient() Purpose {
	p.deadline, p.timeout = 10*p.deadline, 10*p.timeout
	return p
}

// ErrOutcomeUnknown is the error of a COMMIT that was not answered: the changes
// may be on disk, or not.
var ErrOutcomeUnknown = errors.New("the outcome of the commit is unknown")

// A DB is a pool of connections for one purpose.
type DB struct {
	pool     *sqlx.DB
	confined bool
	purpose  Purpose
}

// Open connects to the server at url, a postgres:// URL or a keyword string. The
// scope of ctx, if it has one, is that of transactions whose own context has none.
func Open(ctx context.Context, url string, purpose Purpose) (*DB, error) {
	pool, made, err := connect(ctx, url, purpose)
	if err != nil {
		return nil, err
	}
	db := &DB{pool: sqlx.NewDb(pool, "postgres"), purpose: purpose}
	text, err := db.confine(ctx)
	if err != nil {
		pool.Close()
		return nil, err
	}
	made.prologue.Store(&text)
	return db, nil
}

// Beside opens a pool on the same database for another purpose, which takes the same
// roles. Unlike Open it connects when it is first used, and looks for no roles again.
func (db *DB) Beside(ctx context.Context, url string, purpose Purpose) (*DB, error) {
	if db.purpose.role != purpose.role || db.purpose.wide != purpose.wide {
		return nil, fmt.Errorf("the pools for %s and %s take other roles", db.purpose.name, purpose.name)
	}
	pool, made, err := prepare(url, purpose)
	if err != nil {
		return nil, err
	}
	other := &DB{pool: sqlx.NewDb(pool, "postgres"), purpose: purpose, confined: db.confined}
	text := other.prologue(ctx)
	made.prologue.Store(&text)
	return other, nil
}

// Connect returns a plain pool with no deadlines, for migrations and for tests
// that tamper. Everything else uses Open.
func Connect(ctx context.Context, url string) (*sql.DB, error) {
	pool, _, err := connect(ctx, url, Maintenance)
	return pool, err
}

func connect(ctx context.Context, url string, purpose Purpose) (*sql.DB, *connector, error) {
	pool, made, err := prepare(url, purpose)
	if err != nil {
		return nil, nil, err
	}
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, nil, fmt.Errorf("connect to the database: %s", redact(err, url, made.config))
	}
	return pool, made, nil
}

// prepare makes a pool that has no connection yet.
func prepare(url string, purpose Purpose) (*sql.DB, *connector, error) {
	config, err := settings(url)
	if err != nil {
		return nil, nil, err
	}
	inner, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, nil, errURL
	}
	inner.Dialer(dialer{deadline: purpose.deadline, buffer: purpose.buffer})
	made := &connector{Connector: inner, config: config}
	pool := sql.OpenDB(made)
	pool.SetMaxOpenConns(purpose.conns)
	pool.SetMaxIdleConns(purpose.conns)
	pool.SetConnMaxLifetime(30 * time.Minute)
	return pool, made, nil
}

// confine finds out whether transactions can take the roles of the purpose, and
// returns what each begins with.
func (db *DB) confine(ctx context.Context) (prologue, error) {
	if db.purpose.role != "" {
		const member = `
			SELECT count(*) = cardinality($1::text[]) FROM pg_roles
			WHERE rolname = ANY ($1::text[]) AND pg_has_role(current_user, oid, 'MEMBER')`
		roles := slices.Compact([]string{db.purpose.role, db.purpose.wide})
		if err := db.pool.GetContext(ctx, &db.confined, member, pq.Array(roles)); err != nil {
			return prologue{}, fmt.Errorf("look for the roles %s: %w", strings.Join(roles, " and "), err)
		}
	}
	return db.prologue(ctx), nil
}

// prologue returns what each transaction begins with: limits on time, and the roles of
// the purpose.
func (db *DB) prologue(ctx context.Context) (text prologue) {
	settings := []string{"SET LOCAL synchronous_commit = on"}
	if ms := db.purpose.timeout.Milliseconds(); ms > 0 {
		settings = append(settings,
			fmt.Sprintf("SET LOCAL statement_timeout = %d", ms),
			fmt.Sprintf("SET LOCAL lock_timeout = %d", ms*3/4),
			fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", 2*ms))
	}
	text.limits = strings.Join(settings, "; ")
	if text.scope, _ = scopeOf(ctx); db.confined {
		text.role, text.wide = db.purpose.role, db.purpose.wide
	}
	return text
}

// Confined reports whether transactions run under a role with the rights of the
// purpose alone. If not, the login role may not make or take that role.
func (db *DB) Confined() bool { return db.confined || db.purpose.role == "" }

// InTx runs f in a transaction. It commits if f returns nil and undoes
// everything otherwise. An error that wraps ErrOutcomeUnknown says that the
// commit may have happened.
func (db *DB) InTx(ctx context.Context, f func(tx *sqlx.Tx) error) error {
	return db.run(ctx, nil, f)
}

// Read runs f in a transaction that the server refuses to write in.
func (db *DB) Read(ctx context.Context, f func(tx *sqlx.Tx) error) error {
	return db.run(ctx, &sql.TxOptions{ReadOnly: true}, f)
}

func (db *DB) run(ctx context.Context, options *sql.TxOptions, f func(tx *sqlx.Tx) error) error {
	tx, err := db.pool.BeginTxx(ctx, options)
	if err != nil {
		return explain(fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := f(tx); err != nil {
		return explain(err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w: %w: %w", ErrOutcomeUnknown, errMaybe, err)
	}
	return nil
}

// Close closes the pool's connections.
func (db *DB) Close() error { return db.pool.Close() }

// Stats tells how the pool is used.
func (db *DB) Stats() sql.DBStats { return db.pool.Stats() }

// Deadline returns how long a read or write on the network may take; 0 is for ever.
func (db *DB) Deadline() time.Duration { return db.purpose.deadline }

// Name returns what the pool is for.
func (db *DB) Name() string { return db.purpose.name }

// Violates reports whether err says that a row would break the named constraint
// or unique index.
func Violates(err error, constraint string) bool {
	failure, ok := errors.AsType[*pq.Error](err)
	return ok && failure.Constraint == constraint
}

// Code returns the SQLSTATE that err carries, or "".
func Code(err error) string {
	if failure, ok := errors.AsType[*pq.Error](err); ok {
		return string(failure.Code)
	}
	return ""
}

// DetachPartition takes a partition out of its table without holding up readers or
// writers, and drops it. It waits for the transactions that use the table already.
// last is done in the transaction that drops it.
// It can't be part of a transaction; one that was interrupted is brought to its end.
func (db *DB) DetachPartition(ctx context.Context, table, partition string, last func(*sqlx.Tx) error) error {
	const pending = `
		SELECT inhdetachpending FROM pg_inherits WHERE inhparent = $1::regclass AND inhrelid = to_regclass($2)`
	var interrupted []bool
	err := db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &interrupted, pending, table, partition) })
	if err != nil {
		return fmt.Errorf("look at partition %s: %w", partition, err)
	}
	if len(interrupted) > 0 {
		how := "CONCURRENTLY"
		if interrupted[0] {
			how = "FINALIZE"
		}
		statement := "ALTER TABLE " + pq.QuoteIdentifier(table) + " DETACH PARTITION " + pq.QuoteIdentifier(partition) + " " + how
		if _, err := db.pool.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("detach partition %s: %w", partition, err)
		}
	}
	return db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := last(tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+pq.QuoteIdentifier(partition))
		return err
	})
}

// Vacuum tidies the whole database, for measurements. It can't be part of a
// transaction, and it may be done twice.
func (db *DB) Vacuum(ctx context.Context) error {
	if _, err := db.pool.ExecContext(ctx, "VACUUM (ANALYZE)"); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}
