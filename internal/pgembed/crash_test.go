package pgembed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhook/internal/pgembed"
)

// The tests of this package start and kill processes and measure, so they run
// one after another.

func TestColdAndWarmStart(t *testing.T) {
	dir := newDir(t)
	began := time.Now()
	s := start(t, dir)
	t.Logf("cold start: %s", time.Since(began).Round(time.Millisecond))
	mark(t, s.URL(), "kept")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	s = start(t, dir)
	t.Logf("warm start: %s", time.Since(began).Round(time.Millisecond))
	if got := marks(t, s.URL()); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("after a restart the data is %v", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsThatKeepData(t *testing.T) {
	s := start(t, newDir(t))
	defer s.Stop(context.Background())
	db := open(t, s.URL())
	defer db.Close()
	for name, want := range map[string]string{
		"fsync": "on", "full_page_writes": "on", "data_checksums": "on", "listen_addresses": "", "log_statement": "none",
		"log_parameter_max_length_on_error": "0", "server_encoding": "UTF8", "synchronous_commit": "on",
	} {
		var got string
		if err := db.QueryRow(`SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

// The owners live as long as the test, not as long as a part of it.
func TestKills(t *testing.T) {
	dir := newDir(t)
	o := newOwner(t, dir)
	mark(t, o.url, "a")

	t.Run("owner", func(sub *testing.T) {
		for range 3 {
			o.kill()
			if o = newOwner(t, dir); o.url == "" {
				sub.Fatalf("the next start says: %s", o.line)
			}
		}
	})
	t.Run("owner, with a client in a transaction", func(sub *testing.T) {
		client := open(sub, o.url)
		defer client.Close()
		tx, err := client.Begin()
		if err != nil {
			sub.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.Exec(`INSERT INTO marks VALUES ('never')`); err != nil {
			sub.Fatal(err)
		}
		o.kill()
		if o = newOwner(t, dir); o.url == "" {
			sub.Fatalf("the next start says: %s", o.line)
		}
	})
	t.Run("postgres", func(sub *testing.T) {
		syscall.Kill(o.pid, syscall.SIGKILL)
		err := o.cmd.Wait()
		if failure, ok := errors.AsType[*exec.ExitError](err); !ok || failure.ExitCode() != 3 {
			sub.Errorf("the owner of a killed server ended with %v, want it to notice", err)
		}
		o = newOwner(t, dir)
	})
	t.Run("both", func(sub *testing.T) {
		syscall.Kill(o.pid, syscall.SIGKILL)
		o.kill()
		o = newOwner(t, dir)
	})
	if o.url == "" {
		t.Fatalf("the last start says: %s", o.line)
	}
	if got := marks(t, o.url); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after all kills the data is %v, want what was committed", got)
	}
	o.stop(t)
}

func TestKillDuringInitdb(t *testing.T) {
	dir := newDir(t)
	for _, after := range []time.Duration{20, 150, 400, 700} {
		o := beginOwner(t, dir)
		time.Sleep(after * time.Millisecond) // somewhere inside initdb, wherever that is
		o.kill()
	}
	o := newOwner(t, dir)
	if o.url == "" {
		t.Fatalf("the start after the kills says: %s", o.line)
	}
	mark(t, o.url, "a")
	o.stop(t)
}

func TestTwoStartsAtOnce(t *testing.T) {
	dir := newDir(t)
	a, b := beginOwner(t, dir), beginOwner(t, dir)
	a.wait(t)
	b.wait(t)
	if (a.url == "") == (b.url == "") {
		t.Fatalf("two starts at once say:\n%s\n%s", a.line, b.line)
	}
	winner, loser := a, b
	if a.url == "" {
		winner, loser = b, a
	}
	if !strings.Contains(loser.line, "another Keyhook owns") || !strings.Contains(loser.line, "DATABASE_URL") {
		t.Errorf("the second start says: %s", loser.line)
	}
	if url, ok := pgembed.Running(t.Context(), dir); !ok || url != winner.url {
		t.Errorf("Running = %q, %v; want the winner's %q", url, ok, winner.url)
	}
	winner.stop(t)
	if _, ok := pgembed.Running(t.Context(), dir); ok {
		t.Error("Running finds a server after it was stopped")
	}
}

func TestStalePidFile(t *testing.T) {
	dir := newDir(t)
	s := start(t, dir)
	mark(t, s.URL(), "a")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A live process of somebody else has the number now.
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	data := filepath.Join(dir, "data")
	stale := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  1 1\nready   \n", stranger.Process.Pid, data, filepath.Join(dir, "run"))
	if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(filepath.Join(data, "postmaster.pid"), int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	defer s.Stop(context.Background())
	if got := marks(t, s.URL()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the data is %v", got)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the start did something to a stranger's process: %v", err)
	}
}

func TestDataOfAnotherMajorVersion(t *testing.T) {
	dir := newDir(t)
	s := start(t, dir)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(dir, "data", "PG_VERSION")
	ours, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	_, err = pgembed.Start(t.Context(), pgembed.Config{Dir: dir, Log: quiet})
	if !errors.Is(err, pgembed.ErrVersion) {
		t.Fatalf("Start on data of version 9 = %v, want ErrVersion", err)
	}
	for _, want := range []string{"PostgreSQL 9", strings.TrimSpace(string(ours)) + " in ", "nothing was changed"} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the refusal is %q, want one line with %q", err, want)
		}
	}
	if after := listing(t, dir); before != after {
		t.Errorf("the data was touched:\n%s\n%s", before, after)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", filepath.Join(dir, "data"), "-type", "f", "-printf", "%p %s %T@\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	dir := newDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(dir, "data", "photo.jpg")
	if err := os.WriteFile(precious, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pgembed.Start(t.Context(), pgembed.Config{Dir: dir, Log: quiet}); err == nil || !strings.Contains(err.Error(), "not a PostgreSQL data folder") {
		t.Errorf("Start = %v, want a refusal", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("the folder's content is gone: %v", err)
	}
}

func TestUnreadableParent(t *testing.T) {
	if os.Geteuid() != 0 {
		// As a normal user PostgreSQL runs as ourselves: what we can't pass, we can't make.
		closed := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(closed, 0o000); err != nil {
			t.Fatal(err)
		}
		if _, err := pgembed.Start(t.Context(), pgembed.Config{Dir: filepath.Join(closed, "a", "b"), Log: quiet}); err == nil {
			t.Error("Start inside a closed folder succeeded")
		}
		return
	}
	closed := filepath.Join(filepath.Dir(newDir(t)), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := pgembed.Start(t.Context(), pgembed.Config{Dir: filepath.Join(closed, "postgres"), Log: quiet})
	if err == nil || !strings.Contains(err.Error(), closed) || !strings.Contains(err.Error(), "KEYHOOK_DATA_DIR") {
		t.Errorf("Start = %v, want a refusal that names %s and what to do", err, closed)
	}
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(newDir(t), strings.Repeat("long-", 25), "postgres")
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o711); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	mark(t, s.URL(), "a")
	url, ok := pgembed.Running(t.Context(), dir)
	if !ok || url != s.URL() {
		t.Errorf("Running = %q, %v; want %q", url, ok, s.URL())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMissingPrograms(t *testing.T) {
	empty := t.TempDir()
	_, err := pgembed.Start(t.Context(), pgembed.Config{Dir: newDir(t), Bin: empty, Log: quiet})
	if !errors.Is(err, pgembed.ErrVersion) || !strings.Contains(err.Error(), empty) {
		t.Errorf("Start without programs = %v, want ErrVersion that names the folder", err)
	}
}
