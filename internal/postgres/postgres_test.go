package postgres_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

func TestInTx(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	console := db.Console()
	insert := func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO sign_in_failures VALUES ('a', 1, now(), now(), now())`)
		return err
	}
	undo := errors.New("undo")
	err := console.InTx(t.Context(), func(tx *sqlx.Tx) error { return errors.Join(insert(tx), undo) })
	if !errors.Is(err, undo) {
		t.Errorf("InTx = %v, want the error of its function", err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows after an error, want 0", n)
	}
	if err := console.InTx(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows after a commit, want 1", n)
	}
	if err := console.InTx(t.Context(), insert); !postgres.Violates(err, "sign_in_failures_pkey") {
		t.Errorf("second insert = %v, want a violation of the primary key", err)
	}
}

func count(t *testing.T, db *pgtest.Database) (n int) {
	t.Helper()
	if err := db.Raw().Get(&n, `SELECT count(*) FROM sign_in_failures`); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReadRefusesToWrite(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	err := db.Console().Read(t.Context(), func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(t.Context(), `DELETE FROM users`)
		return err
	})
	if got := postgres.Code(err); got != "25006" {
		t.Errorf("a write in Read = %v, want SQLSTATE 25006 (read only)", err)
	}
}

func TestPurposesRunUnderTheirRoles(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for _, tt := range []struct {
		db        *postgres.DB
		role      string
		forbidden string
	}{
		{db.Console(), "keyhook_console", `INSERT INTO signals (id) SELECT NULL`},
		{db.Console(), "keyhook_console", `UPDATE audit_log SET seq = 1`},
		{db.Serving(), "keyhook_scoped", `INSERT INTO signals (id) SELECT NULL`},
		{db.Ingestion(), "keyhook_ingest", `SELECT email FROM users`},
		{db.Ingestion(), "keyhook_ingest", `DELETE FROM deliveries`},
	} {
		if !tt.db.Confined() {
			t.Fatalf("the %s pool has no role of its own", tt.db.Name())
		}
		var role string
		err := tt.db.InTx(t.Context(), func(tx *sqlx.Tx) error {
			if err := tx.GetContext(t.Context(), &role, `SELECT current_user::text`); err != nil {
				return err
			}
			_, err := tx.ExecContext(t.Context(), tt.forbidden)
			return err
		})
		if role != tt.role || postgres.Code(err) != "42501" {
			t.Errorf("as %s, %s = %v; want it refused to %s", role, tt.forbidden, err, tt.role)
		}
	}
}

// A relay stands between a pool and its server and can swallow or cut what
// passes.
type relay struct {
	net.Listener
	server string
	mute   atomic.Bool            // swallow what either side says
	cut    atomic.Pointer[string] // close both sides once the client has sent this
}

func newRelay(t *testing.T, url string) (*relay, string) {
	t.Helper()
	host := ""
	for _, field := range strings.Fields(url) {
		if h, ok := strings.CutPrefix(field, "host="); ok {
			host = h
		}
	}
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: listener, server: filepath.Join(host, ".s.PGSQL.5432")}
	t.Cleanup(func() { listener.Close() })
	go r.serve()
	return r, strings.Replace(url, "host="+host, "host="+dir, 1)
}

func (r *relay) serve() {
	for {
		client, err := r.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", r.server)
		if err != nil {
			client.Close()
			continue
		}
		deaf := new(atomic.Bool)
		go r.copy(server, client, true, deaf)
		go r.copy(client, server, false, deaf)
	}
}

// copy passes on what from says. At the word it lets the server act, but the
// client hears nothing more.
func (r *relay) copy(to, from net.Conn, fromClient bool, deaf *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if r.mute.Load() || (!fromClient && deaf.Load()) {
			continue
		}
		word := r.cut.Load()
		last := fromClient && word != nil && strings.Contains(string(buffer[:n]), *word)
		deaf.Store(deaf.Load() || last)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
		if last {
			time.Sleep(100 * time.Millisecond)
			return
		}
	}
}

func TestDeadlineHoldsWhenTheNetworkSwallows(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	r, url := newRelay(t, db.URL)
	pool, err := postgres.Open(t.Context(), url, postgres.Ingestion)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	r.mute.Store(true)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = pool.Read(ctx, func(*sqlx.Tx) error { return nil })
	if err == nil {
		t.Error("a read through a dead network succeeded")
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("the pool was held for %s", took)
	}
	r.mute.Store(false)
	if err := pool.Read(t.Context(), func(*sqlx.Tx) error { return nil }); err != nil {
		t.Errorf("the pool did not heal: %v", err)
	}
}

// TestCutConnection shows why writes stand in explicit transactions: a cut before
// the answer leaves nothing behind, and a cut at the commit is told as such.
func TestCutConnection(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	r, url := newRelay(t, db.URL)
	pool, err := postgres.Open(t.Context(), url, postgres.Console)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	insert := func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO sign_in_failures VALUES (gen_random_uuid()::text, 1, now(), now(), now())`)
		return err
	}
	atInsert, atCommit := "INSERT INTO", "COMMIT"
	r.cut.Store(&atInsert)
	if err := pool.InTx(t.Context(), insert); err == nil || errors.Is(err, postgres.ErrOutcomeUnknown) {
		t.Errorf("cut at the INSERT: %v, want an error with a known outcome", err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("cut at the INSERT left %d rows, want 0", n)
	}
	r.cut.Store(&atCommit)
	if err := pool.InTx(t.Context(), insert); !errors.Is(err, postgres.ErrOutcomeUnknown) {
		t.Errorf("cut at the COMMIT: %v, want ErrOutcomeUnknown", err)
	}
	if n := count(t, db); n != 1 {
		t.Errorf("cut at the COMMIT left %d rows, want the 1 that was committed", n)
	}
}
