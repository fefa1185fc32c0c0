package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhook/web/api/client"
)

// A follower reads what arrives, as a team's own program would.
type follower struct {
	t       *testing.T
	stop    context.CancelFunc
	stopped chan error

	lock   sync.Mutex
	refs   []string
	cursor string
}

// newToken makes a token for programs.
func (p *program) newToken(workspace, name string) string {
	p.t.Helper()
	var token struct{ Token string }
	text := p.run("", "token", "create", "--workspace", workspace, "--name", name, "--can", "read-signals", "--json")
	if err := json.Unmarshal([]byte(text), &token); err != nil || !strings.HasPrefix(token.Token, "kht_") {
		p.t.Fatalf("token create prints %s, %v", text, err)
	}
	return token.Token
}

// follow reads a workspace behind a cursor until it is stopped.
func (p *program) follow(workspace, cursor string) *follower {
	p.t.Helper()
	return followWith(p.t, p.url, p.newToken(workspace, "Follower "+cursor), cursor)
}

func followWith(t *testing.T, url, token, cursor string) *follower {
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	f := &follower{t: t, stop: stop, stopped: make(chan error, 1), cursor: cursor}
	c := client.New(url, token)
	c.Wait = 5 * time.Second
	go func() {
		f.stopped <- c.Follow(ctx, cursor, func(_ context.Context, page client.Page) error {
			f.lock.Lock()
			defer f.lock.Unlock()
			for _, signal := range page.Signals {
				f.refs = append(f.refs, signal.SourceRef)
			}
			f.cursor = page.Cursor
			return nil
		})
	}()
	return f
}

// wait waits until the follower has n signals, or gave up.
func (f *follower) wait(n int) {
	f.t.Helper()
	for began := time.Now(); time.Since(began) < 60*time.Second; time.Sleep(50 * time.Millisecond) {
		f.lock.Lock()
		has := len(f.refs)
		f.lock.Unlock()
		if has >= n {
			return
		}
		select {
		case err := <-f.stopped:
			f.t.Fatalf("the reader gave up: %v", err)
		default:
		}
	}
}

// compare stops the follower and holds what it got against the rows.
func (f *follower) compare(rows []storedEvent) {
	f.t.Helper()
	f.wait(len(rows))
	time.Sleep(300 * time.Millisecond) // time for what comes twice
	f.stop()
	<-f.stopped
	got := map[string]int{}
	for _, ref := range f.refs {
		got[ref]++
	}
	for _, row := range rows {
		if got[row.Ref] != 1 {
			f.t.Errorf("%s is there once and was read %d times", row.Ref, got[row.Ref])
		}
		delete(got, row.Ref)
	}
	for ref := range got {
		f.t.Errorf("%s was read and is not there", ref)
	}
}

// TestReadersAfterRestore: the database is dumped and restored into another
// cluster, where transactions are counted from the beginning. A reader goes on with
// the cursor that it had: nothing is missed, nothing comes twice.
func TestReadersAfterRestore(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	old, fresh := startPostgres(t, map[string]string{"max_connections": "100"}), startPostgres(t, map[string]string{"max_connections": "100"})
	first := newDatabase(t, old, "first")
	burn(t, old.URL()) // so that its transactions are far ahead
	server := serve(t, dir, "DATABASE_URL="+first)
	on := func(url string) func(args ...string) map[string]any {
		return func(args ...string) (object map[string]any) {
			t.Helper()
			got := command(t, dir, "", []string{"DATABASE_URL=" + url}, append(args, "--json")...)
			if got.code != 0 || json.Unmarshal([]byte(got.out), &object) != nil {
				t.Fatalf("keyhook %v: %+v", args, got)
			}
			return object
		}
	}
	run := on(first)
	run("user", "create", "--email", ownerEmail, "--name", "Ada")
	run("workspace", "create", "--name", "Restored", "--owner", ownerEmail)
	key := run("key", "create", "--workspace", "restored", "--name", "Sender")
	token := run("token", "create", "--workspace", "restored", "--name", "Reader", "--can", "read-signals")["token"].(string)
	send := func(server *program, from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			ref := fmt.Sprint("ref-", n)
			status, answer := server.post("/hooks/"+key["id"].(string), bodyOf(ref), map[string]string{"X-API-Key": key["api_key"].(string), "Idempotency-Key": ref})
			if status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
		}
	}
	send(server, 0, 30)
	f := followWith(t, server.url, token, "")
	f.wait(30)
	f.stop()
	<-f.stopped
	send(server, 30, 60) // before the dump, and not read yet
	server.stop()

	second := newDatabase(t, fresh, "second", "CREATE ROLE keyhook_console NOLOGIN", "CREATE ROLE keyhook_ingest NOLOGIN", "CREATE ROLE keyhook_scoped NOLOGIN") // roles are the cluster's, not in the dump
	dump, restore := exec.Command("pg_dump", "--no-owner", "-d", first), exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", second)
	file := filepath.Join(t.TempDir(), "dump.sql")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	dump.Stdout = out
	if err := dump.Run(); err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	if restore.Stdin, err = os.Open(file); err != nil {
		t.Fatal(err)
	}
	if text, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v: %s", err, text)
	}
	for round, wantEpoch := range []string{"2", "2"} { // the second start raises nothing
		server = serve(t, dir, "DATABASE_URL="+second)
		if got := eventsOf(t, second, `SELECT epoch::text AS ref, '' AS id, NULL::bytea AS body FROM instance`)[0].Ref; got != wantEpoch {
			t.Errorf("start %d after the restore: epoch %s, want %s", round, got, wantEpoch)
		}
		send(server, 60+30*round, 90+30*round)
		if round == 0 {
			server.stop()
		}
	}
	again := followWith(t, server.url, token, f.cursor)
	again.compare(eventsOf(t, second, `SELECT source_ref AS ref, id::text, NULL::bytea AS body FROM signals WHERE substr(source_ref, 5)::integer >= 30`))
	if !strings.Contains(server.log(), "ready") {
		t.Error("the server did not start")
	}
	// Without the epoch the same would have gone wrong: what came after the restore
	// has smaller numbers than what the reader had.
	if rows := eventsOf(t, second, `SELECT 'x' AS ref, '' AS id, NULL::bytea AS body FROM signals AS a, signals AS b
		WHERE a.epoch = 1 AND b.epoch = 2 AND b.commit_xid < a.commit_xid LIMIT 1`); len(rows) == 0 {
		t.Error("the new cluster is not behind the old one, so this shows nothing")
	}
}

// burn uses up transaction numbers of a cluster.
func burn(t *testing.T, url string) {
	t.Helper()
	eventsOf(t, url, `SELECT '' AS ref, '' AS id, NULL::bytea AS body`)
	cmd := exec.Command("psql", "-q", "-d", url, "-c", `DO $$ BEGIN FOR i IN 1..3000 LOOP BEGIN PERFORM pg_current_xact_id(); COMMIT; END; END LOOP; END $$`)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v: %s", err, text)
	}
}
