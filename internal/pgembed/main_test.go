package pgembed_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhook/internal/pgembed"
)

// asOwner makes this binary an owner of a data folder, for the tests to kill.
const asOwner = "KEYHOOK_TEST_OWNER_OF"

// sharing makes it one that shares the server.
const sharing = "KEYHOOK_TEST_SHARING=1"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asOwner); dir != "" {
		if os.Getenv("KEYHOOK_TEST_SHARING") != "" {
			os.Exit(share(dir))
		}
		os.Exit(own(dir))
	}
	os.Exit(m.Run())
}

// own starts the server, says so, and stops it when told to.
func own(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := pgembed.Start(ctx, pgembed.Config{Dir: dir, Log: quiet})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("ready:", s.PID(), s.URL())
	select {
	case <-ctx.Done():
		if err := s.Stop(context.Background()); err != nil {
			fmt.Println("error:", err)
			return 1
		}
		return 0
	case <-s.Done():
		return 3
	}
}

// share uses the server until it is killed.
func share(dir string) int {
	s, err := pgembed.Join(context.Background(), pgembed.Config{Dir: dir, Log: quiet})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("ready:", 0, s.URL())
	time.Sleep(time.Minute)
	return 3
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// An owner is such a process.
type owner struct {
	cmd  *exec.Cmd
	pid  int // of its postgres
	url  string
	line string // what it said
}

// newOwner starts one and waits for its first word.
func newOwner(t *testing.T, dir string, settings ...string) *owner {
	t.Helper()
	o := beginOwner(t, dir, settings...)
	o.wait(t)
	return o
}

func beginOwner(t *testing.T, dir string, settings ...string) *owner {
	t.Helper()
	o := &owner{cmd: exec.Command(os.Args[0])}
	o.cmd.Env = append(append(os.Environ(), asOwner+"="+dir), settings...)
	o.cmd.Stderr = os.Stderr
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.cmd.Process.Kill(); o.cmd.Wait() })
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		said <- strings.TrimSpace(line)
	}()
	o.line = ""
	lines[o] = said
	return o
}

var lines = map[*owner]chan string{} // the tests that use owners run one after another

func (o *owner) wait(t *testing.T) {
	t.Helper()
	select {
	case o.line = <-lines[o]:
	case <-time.After(60 * time.Second):
		t.Fatal("an owner said nothing for 60 s")
	}
	if fields := strings.SplitN(o.line, " ", 3); fields[0] == "ready:" {
		o.pid, _ = strconv.Atoi(fields[1])
		o.url = fields[2]
	}
}

func (o *owner) kill() {
	o.cmd.Process.Kill()
	o.cmd.Wait()
}

func (o *owner) stop(t *testing.T) {
	t.Helper()
	o.cmd.Process.Signal(syscall.SIGTERM)
	if err := o.cmd.Wait(); err != nil {
		t.Errorf("the owner ended with %v", err)
	}
}

// newDir makes a folder that PostgreSQL's user can pass through to.
func newDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "pgembed-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	return filepath.Join(parent, "postgres")
}

func start(t *testing.T, dir string) *pgembed.Server {
	t.Helper()
	s, err := pgembed.Start(t.Context(), pgembed.Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mark commits a row, which must still be there after whatever happens next.
func mark(t *testing.T, url, text string) {
	t.Helper()
	db := open(t, url)
	defer db.Close()
	for _, statement := range []string{`CREATE TABLE IF NOT EXISTS marks (text text)`, `INSERT INTO marks VALUES ('` + text + `')`} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

func marks(t *testing.T, url string) (texts []string) {
	t.Helper()
	db := open(t, url)
	defer db.Close()
	rows, err := db.Query(`SELECT text FROM marks ORDER BY text`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
