package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
)

// startPostgres starts a server of the test's own.
func startPostgres(t *testing.T, settings map[string]string) *pgembed.Server {
	t.Helper()
	server, err := runPostgres(newDataDir(t), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.Background()) })
	return server
}

func runPostgres(dir string, settings map[string]string) (*pgembed.Server, error) {
	return pgembed.Start(context.Background(), pgembed.Config{
		Dir: filepath.Join(dir, "postgres"), Bin: os.Getenv("KEYHOOK_PG_BIN"), Settings: settings,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// common is the server on which tests that do not stop or change one have their
// databases.
var common struct {
	sync.Once
	dir    string
	server *pgembed.Server
	err    error
}

func commonPostgres(t *testing.T) *pgembed.Server {
	t.Helper()
	common.Do(func() {
		if common.dir, common.err = makeDataDir(); common.err == nil {
			common.server, common.err = runPostgres(common.dir, map[string]string{"max_connections": "300"})
		}
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	return common.server
}

func endCommon() {
	if common.server != nil {
		common.server.Stop(context.Background())
	}
	os.RemoveAll(common.dir)
}

// newDatabase makes an empty database on a server and returns its URL.
func newDatabase(t *testing.T, server *pgembed.Server, name string, more ...string) string {
	t.Helper()
	db, err := postgres.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range append([]string{"CREATE DATABASE " + name}, more...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		db, err := postgres.Connect(context.Background(), server.URL())
		if err == nil {
			defer db.Close()
			_, err = db.Exec("DROP DATABASE " + name + " WITH (FORCE)")
		}
		if err != nil {
			t.Errorf("drop the database %s: %v", name, err)
		}
	})
	return strings.Replace(server.URL(), "dbname=keyhook", "dbname="+name, 1)
}

// TestRefusesToStart: where serve can't work, it says why in one line.
func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	durable, lax := commonPostgres(t), startPostgres(t, map[string]string{"fsync": "off"})
	prepared := newDatabase(t, durable, "prepared")
	dir := newDataDir(t)
	if got := command(t, dir, "", []string{"DATABASE_URL=" + prepared}, "setup-link"); got.code != 0 {
		t.Fatalf("prepare a database: %+v", got)
	}
	if got := command(t, newDataDir(t), "", []string{"DATABASE_URL=" + newDatabase(t, durable, "others")}, "setup-link"); got.code != 0 {
		t.Fatalf("prepare another database: %+v", got)
	}
	limited := newDatabase(t, durable, "limited", "DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN", "REVOKE CREATE ON DATABASE limited FROM PUBLIC")
	otherKey := filepath.Join(newDataDir(t), "other.key")
	if err := os.WriteFile(otherKey, []byte("01020304:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()

	for name, tt := range map[string]struct {
		settings []string
		args     []string
		says     string
	}{
		"server away":        {[]string{"DATABASE_URL=postgres://kh:hunter2@127.0.0.1:1/keyhook"}, nil, "connect to the database"},
		"no such database":   {[]string{"DATABASE_URL=" + strings.Replace(prepared, "dbname=prepared", "dbname=missing", 1)}, nil, "missing"},
		"without rights":     {[]string{"DATABASE_URL=" + strings.Replace(limited, "user=keyhook", "user=poor", 1)}, nil, "may not do what Keyhook needs"},
		"fsync off":          {[]string{"DATABASE_URL=" + newDatabase(t, lax, "lax")}, nil, "fsync=off"},
		"another master key": {[]string{"DATABASE_URL=" + prepared, "KEYHOOK_MASTER_KEY_FILE=" + otherKey}, nil, "does not open"},
		"no master key":      {[]string{"DATABASE_URL=" + prepared, "KEYHOOK_MASTER_KEY_FILE=" + otherKey + ".missing"}, nil, "copy it here"},
		"schema missing":     {[]string{"DATABASE_URL=" + newDatabase(t, durable, "empty")}, []string{"--no-migrate"}, "migrate up"},
		"busy address":       {[]string{"DATABASE_URL=" + prepared, "KEYHOOK_ADDR=" + busy.Addr().String()}, nil, "--addr"},
	} {
		settings := append([]string{"KEYHOOK_ADDR=127.0.0.1:0", "KEYHOOK_OPS_ADDR=", "KEYHOOK_LOG_FORMAT=json"}, tt.settings...)
		got := command(t, dir, "", settings, append([]string{"serve"}, tt.args...)...)
		lines := strings.Split(strings.TrimSpace(got.err), "\n")
		if last := lines[len(lines)-1]; got.code != 1 || len(lines) != 1 || !strings.HasPrefix(last, "keyhook: ") || !strings.Contains(last, tt.says) {
			t.Errorf("%s: code %d, %q; want code 1 and one line with %q", name, got.code, got.err, tt.says)
		}
		if strings.Contains(got.err+got.out, "hunter2") || strings.Contains(got.err, "goroutine") {
			t.Errorf("%s: the line tells too much: %s", name, got.err)
		}
	}
}

// TestFourInstancesAtOnce starts instances that share a master key file on an
// empty database, ten times.
func TestFourInstancesAtOnce(t *testing.T) {
	t.Parallel()
	postgres := commonPostgres(t)
	for round := range 10 {
		dir := newDataDir(t)
		url := newDatabase(t, postgres, "round"+strconv.Itoa(round))
		var starters sync.WaitGroup
		programs := make([]*program, 4)
		for i := range programs {
			programs[i] = prepare(t, "serve", dir, "DATABASE_URL="+url)
			starters.Go(func() {
				if err := programs[i].begin(); err != nil {
					t.Errorf("round %d, instance %d: %v", round, i, err)
				}
			})
		}
		starters.Wait()
		for _, p := range programs {
			p.stop()
		}
	}
}

// TestFromNothingToTheFirstWebhook prints how long a cold and a warm start take
// until a webhook is accepted.
func TestFromNothingToTheFirstWebhook(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	began := time.Now()
	server := serve(t, dir)
	t.Logf("cold start until ready: %s", time.Since(began).Round(time.Millisecond))
	server.run("", "user", "create", "--email", ownerEmail, "--name", "Ada")
	server.run("", "workspace", "create", "--name", "Cold", "--owner", ownerEmail)
	var key struct {
		ID     string `json:"id"`
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(server.run("", "key", "create", "--workspace", "cold", "--name", "First", "--json")), &key); err != nil {
		t.Fatal(err)
	}
	accept := func(p *program) {
		t.Helper()
		if status, answer := p.post("/hooks/"+key.ID, `{}`, map[string]string{"X-API-Key": key.APIKey}); status != 200 {
			t.Fatalf("the first webhook: %d %s", status, answer)
		}
	}
	accept(server)
	t.Logf("cold start until the first accepted webhook, three commands in between: %s", time.Since(began).Round(time.Millisecond))
	server.stop()
	began = time.Now()
	server = serve(t, dir)
	accept(server)
	t.Logf("warm start until the first accepted webhook: %s", time.Since(began).Round(time.Millisecond))

	// A second serve on the same data is told of the first.
	got := command(t, dir, "", []string{"KEYHOOK_ADDR=127.0.0.1:0", "KEYHOOK_OPS_ADDR=", "KEYHOOK_LOG_FORMAT=json"}, "serve")
	if got.code != 1 || !strings.Contains(got.err, "another Keyhook owns") || !strings.Contains(got.err, strconv.Itoa(server.cmd.Process.Pid)) {
		t.Errorf("a second serve: %+v", got)
	}

	// What was answered 200 is there after a kill.
	server.cmd.Process.Kill()
	<-server.ended
	server = serve(t, dir)
	accept(server)
	if n := server.count(`SELECT count(*) FROM deliveries WHERE outcome = 'accepted'`); n != 3 {
		t.Errorf("after a kill %d accepted deliveries are there, want 3", n)
	}
}

func (p *program) count(query string) (n int) {
	p.t.Helper()
	url, ok := pgembed.Running(p.t.Context(), filepath.Join(p.dataDir, "postgres"))
	if !ok {
		p.t.Fatal("the private database does not run")
	}
	db, err := postgres.Connect(p.t.Context(), url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	if err := sqlx.NewDb(db, "postgres").Get(&n, query); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// TestDatabaseDies: serve ends with a code of its own when its PostgreSQL does.
func TestDatabaseDies(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	pids, err := os.ReadFile(filepath.Join(server.dataDir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(pids), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("serve goes on without its database")
	}
	if code := server.cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(server.log(), "the private PostgreSQL ended") || strings.Contains(server.log(), "goroutine ") {
		t.Errorf("serve ended with code %d:\n%s", code, server.log())
	}
}

// TestDatabaseAway: while the database does not answer, everybody gets a clear
// answer in time, and afterwards all goes on.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	data, err := filepath.EvalSymlinks(filepath.Join(server.dataDir, "postgres", "data"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string) (int, string, time.Duration) {
		t.Helper()
		request, _ := http.NewRequest(method, server.url+path, strings.NewReader("{}"))
		request.Header.Set("Cookie", "kh_s=somebody")
		request.Header.Set("X-API-Key", "khk_00000000000000000000000000000000000000")
		began := time.Now()
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body), time.Since(began)
	}
	// Keyhook has just begun to work, so a process may start while they are listed:
	// look again until there is none that still runs.
	stopped := map[int]bool{}
	for found := true; found; {
		found = false
		for _, pid := range processesIn(t, data) {
			if !stopped[pid] {
				syscall.Kill(pid, syscall.SIGSTOP)
				defer syscall.Kill(pid, syscall.SIGCONT)
				stopped[pid], found = true, true
			}
		}
	}
	for _, tt := range []struct {
		method, path, says string
		within             time.Duration
	}{
		{"POST", "/api/webhooks/signals", "", 2500 * time.Millisecond},
		{"GET", "/workspaces", "did not answer in time", 15 * time.Second},
		{"GET", "/readyz", "not ready", 10 * time.Second},
	} {
		want := 503
		if tt.method == "POST" {
			want = 401 // what is wrong with these credentials is told without the database
		}
		status, body, took := ask(tt.method, tt.path)
		if status != want || !strings.Contains(body, tt.says) || took > tt.within+time.Second {
			t.Errorf("%s %s = %d after %s, want %d within %s\n%.300s", tt.method, tt.path, status, took, want, tt.within, body)
		}
	}
	if status, _, _ := ask("GET", "/healthz"); status != 200 {
		t.Errorf("/healthz = %d, want 200", status)
	}
	for _, pid := range processesIn(t, data) {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	deadline := time.Now().Add(20 * time.Second)
	for status := 0; status != 200; status, _, _ = ask("GET", "/readyz") {
		if time.Now().After(deadline) {
			t.Fatal("Keyhook does not come back")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if status, _, _ := ask("GET", "/workspaces"); status != 303 {
		t.Errorf("afterwards /workspaces = %d, want the way to sign in", status)
	}
}

// processesIn lists the processes whose working folder is dir.
func processesIn(t *testing.T, dir string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if folder, linkErr := os.Readlink("/proc/" + entry.Name() + "/cwd"); err == nil && linkErr == nil && folder == dir {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		t.Fatal("no process of the database was found")
	}
	return pids
}

// TestListeners: with an address of its own, ingestion is there and nowhere else.
func TestListeners(t *testing.T) {
	t.Parallel()
	hooks, ops := freeAddress(t), freeAddress(t)
	server := serve(t, migratedDataDir(t), "KEYHOOK_HOOKS_ADDR="+hooks, "KEYHOOK_OPS_ADDR="+ops, "KEYHOOK_PPROF=true")
	for _, tt := range []struct {
		method, url string
		want        int
	}{
		{"GET", server.url + "/healthz", 200},
		{"GET", server.url + "/readyz", 200},
		{"GET", server.url + "/sign-in", 200},
		{"GET", server.url + "/hooks/x", 404},
		{"GET", server.url + "/metrics", 404},
		{"POST", server.url + "/api/webhooks/signals", 404},
		{"GET", "http://" + hooks + "/healthz", 200},
		{"GET", "http://" + hooks + "/readyz", 200},
		{"GET", "http://" + hooks + "/docs/errors", 200},
		{"POST", "http://" + hooks + "/api/webhooks/signals", 401},
		{"GET", "http://" + hooks + "/sign-in", 404},
		{"GET", "http://" + ops + "/metrics", 200},
		{"GET", "http://" + ops + "/debug/pprof/", 200},
	} {
		request, err := http.NewRequest(tt.method, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != tt.want {
			t.Errorf("%s %s = %d, want %d", tt.method, tt.url, response.StatusCode, tt.want)
		}
		if strings.HasSuffix(tt.url, "/metrics") && tt.want == 200 && !strings.Contains(string(body), "keyhook_") {
			t.Error("the metrics hold nothing of ours")
		}
	}
	again := serve(t, migratedDataDir(t), "KEYHOOK_OPS_ADDR="+ops)
	if !strings.Contains(again.log(), "ops address is busy") {
		t.Errorf("a busy ops address is not told of:\n%s", again.log())
	}
}
