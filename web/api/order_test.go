package api_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/web/api/client"
)

// hold is how long a write transaction is left open: long enough that many batches
// begin and end meanwhile. KEYHOOK_HOLD=60s makes it the long form.
func hold(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("KEYHOOK_HOLD"))
	if err != nil {
		d = 2 * time.Second
	}
	return d
}

// A follower is somebody who reads, and what they were given, in order.
type follower struct {
	name string
	mu   sync.Mutex
	refs []string
	last time.Time
}

func (f *follower) take(ref string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs, f.last = append(f.refs, ref), time.Now()
}

func (f *follower) got() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sorted(f.refs)
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.refs)
}

// quiet is how long nothing has come.
func (f *follower) quiet() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.last)
}

// TestOrder: readers follow cursors on two instances while writers commit out of
// order, connections are cut, and a write transaction is left open. In the end each
// has every row once, and all have them in the same order.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, second := s.serve()
	servers := []*httptest.Server{s.server, second}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var reading sync.WaitGroup
	var all []*follower
	add := func(name string, follow func(context.Context, *follower)) {
		f := &follower{name: name}
		all = append(all, f)
		reading.Go(func() { follow(ctx, f) })
	}
	add("pages on one instance", func(ctx context.Context, f *follower) { s.followPages(ctx, f, servers[:1], 1000) })
	add("small pages on both in turn", func(ctx context.Context, f *follower) { s.followPages(ctx, f, servers, 7) })
	add("a stream", func(ctx context.Context, f *follower) { s.followStream(ctx, f, servers[:1], 1<<30) })
	add("streams of both in turn, left again and again", func(ctx context.Context, f *follower) { s.followStream(ctx, f, servers, 40) })
	add("the client", func(ctx context.Context, f *follower) { s.followClient(ctx, f, servers[1].URL) })

	var writing sync.WaitGroup
	writers, working := 4, time.Now().Add(hold(t)+2*time.Second)
	for w := range writers {
		writing.Go(func() { s.writeOutOfOrder(w, working) })
	}
	writing.Go(func() { s.cutConnections(working) })
	writing.Go(func() { s.leaveOpen(all[0]) })
	writing.Wait()

	var rows []string
	if err := s.Raw().Select(&rows, `SELECT source_ref FROM signals WHERE workspace_id = $1`, s.home.id); err != nil {
		t.Fatal(err)
	}
	s.waitFor(all, len(rows))
	stop()
	reading.Wait()
	for _, f := range all {
		for _, fault := range faults(rows, f.refs) {
			t.Errorf("%s: %s", f.name, fault)
		}
		if !slices.Equal(f.refs, all[0].refs) {
			t.Errorf("%s has another order than %s", f.name, all[0].name)
		}
	}
	t.Logf("%d signals, %d readers", len(rows), len(all))
	if len(rows) < 200 {
		t.Errorf("%d signals are too few to say anything", len(rows))
	}
}

// faults are the differences between what is there and what a reader got.
func faults(rows, refs []string) (list []string) {
	there, got := sorted(rows), sorted(refs)
	for ref := range there {
		if got[ref] == 0 {
			list = append(list, ref+" was missed")
		}
	}
	for ref, n := range got {
		if n > 1 {
			list = append(list, fmt.Sprintf("%s came %d times", ref, n))
		}
		if there[ref] == 0 {
			list = append(list, ref+" is not there")
		}
	}
	return list
}

// waitFor waits until everybody has what there is, or nothing has come for a while.
func (s *stage) waitFor(all []*follower, rows int) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		lacks := func(f *follower) bool { return f.count() < rows }
		if !slices.ContainsFunc(all, lacks) {
			time.Sleep(200 * time.Millisecond) // time for what comes twice
			return
		}
		stuck := func(f *follower) bool {
			return lacks(f) && time.Since(began) > 15*time.Second && f.quiet() > 15*time.Second
		}
		if slices.ContainsFunc(all, stuck) {
			return
		}
	}
}

// writeOutOfOrder commits batches that take their place in the order long before,
// or late.
func (s *stage) writeOutOfOrder(writer int, until time.Time) {
	db := s.Ingestion() // an instance's own pool
	for n := 0; time.Now().Before(until); n++ {
		var batch []inbox.Arrival
		for i := range 1 + rand.IntN(8) {
			ref := fmt.Sprintf("w%d-%d-%d", writer, n, i)
			batch = append(batch, s.arrival(s.home, ref, "application/json", `"`+ref+`"`))
		}
		_ = db.InTx(context.Background(), func(tx *sqlx.Tx) error { // a cut connection is no success: the rows decide
			if rand.IntN(2) == 0 { // its number is taken now, its signals come later
				if _, err := tx.Exec(`SELECT pg_current_xact_id()`); err != nil {
					return err
				}
				time.Sleep(rand.N(15 * time.Millisecond))
			}
			if _, err := s.appender.Append(context.Background(), tx, batch); err != nil {
				return err
			}
			time.Sleep(rand.N(15 * time.Millisecond))
			if rand.IntN(20) == 0 {
				return context.Canceled // undone after all
			}
			return nil
		})
	}
}

// cutConnections ends connections of writers and readers, whatever they are at.
func (s *stage) cutConnections(until time.Time) {
	db := s.Raw()
	for time.Now().Before(until) {
		time.Sleep(rand.N(300 * time.Millisecond))
		db.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE '%held open%' ORDER BY random() LIMIT 1`)
	}
}

// despiteCuts asks again where the connection was cut.
func despiteCuts(ask func() error) (err error) {
	for range 20 {
		if err = ask(); err == nil {
			return nil
		}
	}
	return err
}

// leaveOpen holds a write transaction: readers wait, and go on when it ends.
func (s *stage) leaveOpen(f *follower) {
	time.Sleep(300 * time.Millisecond)
	tx := s.Raw().MustBegin()
	var number string
	if err := tx.Get(&number, `SELECT pg_current_xact_id()::text /* held open */`); err != nil {
		s.t.Error(err)
		return
	}
	time.Sleep(hold(s.t))
	var behind []string // what was written in transactions that began later
	err := despiteCuts(func() error {
		return s.Raw().Select(&behind, `SELECT source_ref FROM signals WHERE workspace_id = $1 AND commit_xid > $2::xid8`, s.home.id, number)
	})
	if err != nil {
		s.t.Error(err)
	}
	got := f.got()
	for _, ref := range behind {
		if got[ref] > 0 {
			s.t.Errorf("%s came although something in front of it could", ref)
			break
		}
	}
	if len(behind) == 0 {
		s.t.Error("nothing was written while the transaction was open")
	}
	var held inbox.Held
	err = despiteCuts(func() (err error) {
		held, err = inbox.NewStore(s.Console(), s.box).HeldBack(s.t.Context(), s.home.id)
		return err
	})
	if err != nil || held.Signals == 0 || time.Since(held.Since) < hold(s.t)/2 {
		s.t.Errorf("HeldBack = %+v, %v; want what waits", held, err)
	}
	if err := tx.Rollback(); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) followPages(ctx context.Context, f *follower, servers []*httptest.Server, limit int) {
	cursor := ""
	for n := 0; ctx.Err() == nil; n++ {
		c := client.New(servers[n%len(servers)].URL, s.home.token.Text.Reveal())
		c.Limit, c.Wait = limit, time.Second
		page, err := c.List(ctx, cursor)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		cursor = page.Cursor
		for _, signal := range page.Signals {
			f.take(signal.SourceRef)
		}
	}
}

func (s *stage) followClient(ctx context.Context, f *follower, url string) {
	c := client.New(url, s.home.token.Text.Reveal())
	err := c.Follow(ctx, "", func(_ context.Context, page client.Page) error {
		for _, signal := range page.Signals {
			f.take(signal.SourceRef)
		}
		return nil
	})
	if ctx.Err() == nil {
		s.t.Errorf("the client gave up: %v", err)
	}
}

// followStream reads streams, of at most so many signals each.
func (s *stage) followStream(ctx context.Context, f *follower, servers []*httptest.Server, most int) {
	last := ""
	for n := 0; ctx.Err() == nil; n++ {
		l := s.listen(servers[n%len(servers)].URL, s.home.token, "", last)
		leave := context.AfterFunc(ctx, func() { l.response.Body.Close() })
		for read := 0; read < most; {
			e, err := l.next()
			if err != nil || e.name == "end" || l.response.StatusCode != 200 {
				break
			}
			if e.name == "signal" {
				ref, err := strconv.Unquote(bodyIn(e.data))
				if err != nil {
					s.t.Errorf("%s: %v", e.data, err)
				}
				f.take(ref)
				last = e.id
				read++
			}
		}
		leave()
		l.response.Body.Close()
	}
}

// TestOrderCatches: a reader that does not wait for what still runs, as most would
// be written, misses signals, and the checker says so.
func TestOrderCatches(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	until := time.Now().Add(2 * time.Second)
	var writing sync.WaitGroup
	for w := range 4 {
		writing.Go(func() { s.writeOutOfOrder(w, until) })
	}
	f := &follower{}
	writing.Go(func() {
		const query = `SELECT commit_xid, id AS signal_id, epoch, source_ref FROM signals WHERE workspace_id = $1 AND (commit_xid, id) > ($2::xid8, $3::uuid) ORDER BY commit_xid, id`
		at, db := inbox.Position{}, s.Raw()
		for time.Now().Before(until.Add(500 * time.Millisecond)) {
			var rows []struct {
				inbox.Position
				Ref string `db:"source_ref"`
			}
			if err := db.Select(&rows, query, s.home.id, strconv.FormatUint(at.XID, 10), at.ID); err != nil {
				t.Error(err)
			}
			for _, row := range rows {
				f.take(row.Ref)
				at = row.Position
			}
		}
	})
	writing.Wait()
	var rows []string
	if err := s.Raw().Select(&rows, `SELECT source_ref FROM signals WHERE workspace_id = $1`, s.home.id); err != nil {
		t.Fatal(err)
	}
	if found := faults(rows, f.refs); len(found) == 0 {
		t.Error("nothing was found wrong with it")
	}
}
