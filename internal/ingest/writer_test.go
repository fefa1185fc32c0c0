package ingest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
	"keyhook/migrations"
)

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	s, r := newRelayedStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	send := func() (reply, time.Duration) {
		began := time.Now()
		got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", "1")
		return got, time.Since(began)
	}
	if got, _ := send(); got.status != 200 {
		t.Fatalf("at first = %d %s", got.status, got.text)
	}
	r.mute.Store(true)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			got, took := send()
			if got.status != 503 || got.body.Code != "UNAVAILABLE" || got.header.Get("Retry-After") == "" || took > 2500*time.Millisecond {
				t.Errorf("without an answer of the database = %d %s after %s, want 503 within 2.5 s", got.status, got.text, took)
			}
		})
	}
	running.Go(func() {
		began := time.Now()
		got := s.post(signals, "x")
		if took := time.Since(began); got.status != 401 || took > 2500*time.Millisecond {
			t.Errorf("no credentials = %d after %s, want 401: it does not need the database", got.status, took)
		}
	})
	running.Wait()
	r.mute.Store(false)
	deadline := time.Now().Add(10 * time.Second)
	for got, _ := send(); got.status != 200; got, _ = send() {
		if time.Now().After(deadline) {
			t.Fatalf("it did not heal: %d %s", got.status, got.text)
		}
	}
	if got, _ := send(); !got.body.Duplicate {
		t.Errorf("sent again = %s, want a duplicate", got.text)
	}
}

// A commit whose answer is lost is a 503; sent again, the event is there.
func TestCutAtTheCommit(t *testing.T) {
	t.Parallel()
	s, r := newRelayedStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	send := func(ref string) reply {
		return s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", ref)
	}
	const insert = "append_requests("
	r.cut.Store(&[2]string{insert, insert})
	if got := send("1"); got.status != 503 {
		t.Errorf("cut at the INSERT = %d %s, want 503", got.status, got.text)
	}
	r.cut.Store(nil)
	if got := send("1"); got.status != 200 || got.body.Duplicate {
		t.Errorf("sent again = %d %s, want it new", got.status, got.text)
	}
	r.cut.Store(&[2]string{insert, "COMMIT"})
	got := send("2")
	r.cut.Store(nil)
	if n := s.count(`SELECT count(*) FROM signals WHERE source_ref = '2'`); got.status != 503 || n != 1 {
		t.Errorf("cut at the COMMIT = %d %s with %d signals, want 503 with the one that was committed", got.status, got.text, n)
	}
	if got := send("2"); got.status != 200 || !got.body.Duplicate {
		t.Errorf("sent again = %d %s, want a duplicate", got.status, got.text)
	}
}

// One sender's event that the database refuses is not the others' trouble.
func TestTroubleOfOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	s.exec(`ALTER TABLE signals ADD CONSTRAINT poison CHECK (source_ref IS DISTINCT FROM 'poison')`)
	var running sync.WaitGroup
	for n := range 40 {
		running.Go(func() {
			ref, want := uuid.NewString(), 200
			if n%8 == 3 {
				ref, want = "poison", 503
			}
			got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal(), "Idempotency-Key", ref)
			if got.status != want {
				t.Errorf("ref %s = %d %s, want %d", ref, got.status, got.text, want)
			}
		})
	}
	running.Wait()
	if n := s.count(`SELECT count(*) FROM signals`); n != 35 {
		t.Errorf("%d signals, want 35", n)
	}
}

// A key that is deactivated while it is in use: what starts afterwards is refused.
func TestDeactivation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	var confirmed atomic.Bool
	var refused atomic.Int32
	var running sync.WaitGroup
	for range 6 {
		running.Go(func() {
			for refused.Load() < 30 {
				late := confirmed.Load()
				got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal())
				switch {
				case got.status == 401:
					refused.Add(1)
				case got.status != 200:
					t.Errorf("%d %s", got.status, got.text)
					return
				case late:
					t.Error("a request that started after the deactivation was accepted")
				}
			}
		})
	}
	if _, err := s.keys.Deactivate(t.Context(), s.by, key.Key.ID, ""); err != nil {
		t.Fatal(err)
	}
	confirmed.Store(true)
	running.Wait()
}

// A workspace that is deleted under its senders leaves nothing behind.
func TestDeleteWorkspaceUnderSenders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	var gone atomic.Bool
	var running sync.WaitGroup
	begun := make(chan bool, 6)
	for range 6 {
		running.Go(func() {
			for n := 0; !gone.Load(); n++ {
				if n == 3 {
					begun <- true
				}
				s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal())
				s.post(hook(key), "x", "X-API-Key", keyring.NewAPIKey().Reveal())
			}
		})
	}
	for range 6 {
		<-begun
	}
	s.exec(`DELETE FROM workspaces WHERE id = $1`, s.workspace)
	gone.Store(true)
	running.Wait()
	for _, table := range []string{"webhook_keys", "signals", "deliveries", "refused_requests", "delivery_counts"} {
		if n := s.count(`SELECT count(*) FROM `+table+` WHERE workspace_id = $1`, s.workspace); n != 0 {
			t.Errorf("%d rows of %s outlived their workspace", n, table)
		}
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE webhook_key_id IS NOT NULL`); n != 0 {
		t.Errorf("%d deliveries name a key that is gone", n)
	}
}

func TestRunLeavesNothingRunning(t *testing.T) { // not parallel: it counts goroutines
	db := pgtest.New(t)
	pool := db.Ingestion()
	box, log := pgtest.Box(t), pgtest.Log(t)
	err := pool.Read(t.Context(), func(*sqlx.Tx) error { return nil }) // the pool's own goroutines are there already
	if err != nil {
		t.Fatal(err)
	}
	already := goleak.IgnoreCurrent()
	rollup := ingest.NewRollup(pool, log)
	writer := ingest.NewWriter(pool, box, ingest.NewMetrics(prometheus.NewRegistry()), log)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { writer.Run(ctx) })
	running.Go(func() { rollup.Run(ctx) })
	stop()
	running.Wait()
	goleak.VerifyNone(t, already, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/lib/pq.(*conn).watchCancel.func1"))
}

// TestRowTypesChange: the types that rows are sent as have other oids in a database
// that was restored; no sender notices.
func TestRowTypesChange(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	send := func(key keyring.Issued) {
		t.Helper()
		if got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()); got.status != 200 {
			t.Errorf("a sender got %d %s", got.status, got.text)
		}
	}
	send(s.issue(keyring.Draft{Name: "before"}))
	raw, err := postgres.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for {
		last, err := migrations.Down(t.Context(), raw, 1)
		if err != nil || last == 0 {
			t.Fatal("the types are still there", err)
		}
		if s.count(`SELECT count(*) FROM pg_type WHERE typname = 'arriving_request'`) == 0 {
			break
		}
	}
	if _, err := migrations.Up(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	send(s.issue(keyring.Draft{Name: "after"}))
}

// A table that somebody holds locked does not hold up answers.
func TestLockedTable(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool, err := postgres.Open(postgres.Everywhere(t.Context()), db.URL, postgres.Ingestion)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := newStageOn(t, db, pool)
	key := s.issue(keyring.Draft{Name: "one"})
	lock, err := db.Raw().Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback()
	if _, err := lock.Exec(`LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal())
	if took := time.Since(began); got.status != http.StatusServiceUnavailable || took > 2500*time.Millisecond {
		t.Errorf("behind a lock = %d after %s, want 503 within 2.5 s", got.status, took)
	}
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Ingestion()
	box, log := pgtest.Box(t), pgtest.Log(t)
	metrics := ingest.NewMetrics(prometheus.NewRegistry())
	writer := ingest.NewWriter(pool, box, metrics, log) // nobody runs it
	writer.Fill()
	handler := ingest.NewHandler(ingest.Config{MaxBody: maxBody}, keyring.NewCache(keyring.NewStore(pool, box)), writer, metrics, log)
	recorder := httptest.NewRecorder()
	began := time.Now()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, signals, strings.NewReader("x")))
	if took := time.Since(began); recorder.Code != 401 || took > time.Second {
		t.Errorf("refused with a full queue = %d after %s, want its 401 at once", recorder.Code, took)
	}
	if err := writer.Try(); err == nil {
		t.Error("a full queue took one more")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	writer.Run(ctx) // answers those who still wait
	if n := writer.Waiting(); n != 0 {
		t.Errorf("%d requests were left waiting", n)
	}
}
