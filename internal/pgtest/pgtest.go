// Package pgtest gives each test an empty database with Keyhook's schema, on a
// real PostgreSQL that it starts. Only tests import it.
package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
	"keyhook/migrations"
)

// A Database is one test's own. Nothing in it outlives the test.
type Database struct {
	URL string // opens it as a superuser

	t    testing.TB
	slot *slot // nil: nobody has it afterwards
	lock sync.Mutex
	raw  *sqlx.DB
	used map[string]int // of the slot's pools
}

// New returns an empty database with Keyhook's schema.
func New(t testing.TB) *Database {
	t.Helper()
	s, err := takeSlot()
	if err != nil {
		t.Fatalf("pgtest: %v", err) // never Skip: a test that did not run is not a pass
	}
	t.Cleanup(func() {
		if err := s.giveBack(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return &Database{URL: urlOf(s.name), t: t, slot: s, raw: s.raw, used: map[string]int{}}
}

// NewEmpty returns a database without a schema.
func NewEmpty(t testing.TB) *Database {
	t.Helper()
	name := newName()
	if err := copyOf(name, "template0"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return &Database{URL: urlOf(name), t: t}
}

// Console returns a pool with the console's rights, for all workspaces unless a
// context says otherwise; Ingestion and Maintenance likewise. Each call returns
// another one. They are more patient than the program's, for tests share their machine.
func (d *Database) Console() *postgres.DB { return d.open(everywhere, postgres.Console.Patient()) }

func (d *Database) Ingestion() *postgres.DB   { return d.open(everywhere, postgres.Ingestion.Patient()) }
func (d *Database) Maintenance() *postgres.DB { return d.open(everywhere, postgres.Maintenance) }

// Serving returns the console's pool as serve has it: a transaction that no
// workspace was named for sees none. Reading is that of programs that read.
func (d *Database) Serving() *postgres.DB {
	return d.open(context.Background(), postgres.Console.Patient())
}

func (d *Database) Reading() *postgres.DB {
	return d.open(context.Background(), postgres.Reading.Patient())
}

var everywhere = postgres.Everywhere(context.Background())

func (d *Database) open(ctx context.Context, purpose postgres.Purpose) *postgres.DB {
	d.t.Helper()
	d.lock.Lock()
	defer d.lock.Unlock()
	open := func() (*postgres.DB, error) { return postgres.Open(ctx, d.URL, purpose) }
	var db *postgres.DB
	var err error
	if d.slot == nil {
		db, err = open()
	} else {
		key := fmt.Sprint(purpose, ctx == everywhere)
		db, err = d.slot.pool(key, d.used[key], open)
		d.used[key]++
	}
	if err != nil {
		d.t.Fatalf("pgtest: %v", err)
	}
	if d.slot == nil {
		d.t.Cleanup(func() { db.Close() })
	}
	return db
}

// Raw returns a superuser's plain pool, to look at rows and to tamper with them. It is
// the same one each time.
func (d *Database) Raw() *sqlx.DB {
	d.t.Helper()
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.raw == nil {
		db, err := connect(d.URL)
		if err != nil {
			d.t.Fatalf("pgtest: %v", err)
		}
		d.t.Cleanup(func() { db.Close() })
		d.raw = db
	}
	return d.raw
}

func connect(url string) (*sqlx.DB, error) {
	db, err := postgres.Connect(context.Background(), url)
	if err != nil {
		return nil, err
	}
	raw := sqlx.NewDb(db, "postgres")
	allow(raw)
	return raw, nil
}

// allow sets how many connections a raw pool may have.
func allow(raw *sqlx.DB) {
	raw.SetMaxOpenConns(16)
	raw.SetMaxIdleConns(16)
}

// Box returns master keys of the test's own.
func Box(t testing.TB) *seal.Box {
	t.Helper()
	box, err := seal.Create(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return box
}

// Log returns a logger that writes to the test's output.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, nil))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// server starts this test binary's PostgreSQL. Its data folder is kept between
// runs, because making one costs a second; two binaries at once have two.
var server = sync.OnceValues(func() (*pgembed.Server, error) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	root := filepath.Join(os.TempDir(), fmt.Sprintf("keyhook-pgtest-%d", os.Geteuid()))
	// PostgreSQL runs as another user when we are root, and must get through.
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, err
	}
	var last error
	for slot := range 16 {
		s, err := pgembed.Start(context.Background(), pgembed.Config{
			Dir: filepath.Join(root, fmt.Sprint(slot)),
			Bin: os.Getenv("KEYHOOK_PG_BIN"),
			Log: quiet,
			// The tests that need durability start a server of their own.
			Settings: map[string]string{"fsync": "off", "max_connections": "300"},
		})
		if err == nil {
			return s, dropOld(s.URL())
		}
		last = err
	}
	return nil, last
})

// dropOld removes what killed runs left.
func dropOld(url string) error {
	db, err := postgres.Connect(context.Background(), url)
	if err != nil {
		return err
	}
	defer db.Close()
	var names []string
	const query = `SELECT datname FROM pg_database WHERE datname LIKE 'keyhooktest%'`
	if err := sqlx.NewDb(db, "postgres").Select(&names, query); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := db.Exec("DROP DATABASE " + pq.QuoteIdentifier(name) + " WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// template migrates one database for this run of the test binary, so that each
// test can copy it instead of migrating its own.
var template = sync.OnceValues(func() (string, error) {
	name := newName()
	if err := admin("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := postgres.Connect(ctx, urlOf(name))
	if err != nil {
		return "", err
	}
	defer db.Close()
	_, err = migrations.Up(ctx, db)
	return name, err
})

var counter atomic.Int64

func newName() string {
	return fmt.Sprintf("keyhooktest%d_%d", os.Getpid(), counter.Add(1))
}

func urlOf(name string) string {
	s, err := server()
	if err != nil {
		return ""
	}
	return strings.Replace(s.URL(), "dbname=keyhook", "dbname="+name, 1)
}

// administration is one connection: CREATE DATABASE refuses a template that is being
// copied, and making a connection costs as much as copying the template's files.
var administration = sync.OnceValues(func() (*sql.DB, error) {
	s, err := server()
	if err != nil {
		return nil, err
	}
	db, err := postgres.Connect(context.Background(), s.URL())
	if err == nil {
		db.SetMaxOpenConns(1)
		db.SetMaxIdleConns(1)
	}
	return db, err
})

func copyOf(name, original string) error {
	return admin(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY FILE_COPY", name, original))
}

func drop(name string) error { return admin("DROP DATABASE " + name + " WITH (FORCE)") }

func admin(statement string) error {
	db, err := administration()
	if err != nil {
		return err
	}
	_, err = db.Exec(statement)
	return err
}
