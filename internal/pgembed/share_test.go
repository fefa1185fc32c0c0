package pgembed_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyhook/internal/pgembed"
)

func joinServer(t *testing.T, dir string) *pgembed.Share {
	t.Helper()
	s, err := pgembed.Join(t.Context(), pgembed.Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leaving leaves in the background and tells when that is done.
func leaving(ctx context.Context, s *pgembed.Share) <-chan error {
	left := make(chan error, 1)
	go func() { left <- s.Leave(ctx) }()
	return left
}

func stays(t *testing.T, left <-chan error, who string) {
	t.Helper()
	select {
	case err := <-left:
		t.Fatalf("%s did not wait: %v", who, err)
	case <-time.After(300 * time.Millisecond):
	}
}

func goes(t *testing.T, left <-chan error, who string) {
	t.Helper()
	select {
	case err := <-left:
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s still waits", who)
	}
}

func TestStarterWaitsForTheOthers(t *testing.T) {
	dir := newDir(t)
	starter, early := joinServer(t, dir), joinServer(t, dir)
	left := leaving(t.Context(), starter)
	stays(t, left, "the starter")
	late := joinServer(t, dir) // while the starter waits
	mark(t, early.URL(), "early")
	goes(t, leaving(t.Context(), early), "who joined")
	stays(t, left, "the starter")
	mark(t, late.URL(), "late")
	goes(t, leaving(t.Context(), late), "who joined late")
	goes(t, left, "the starter")
	if _, ok := pgembed.Running(t.Context(), dir); ok {
		t.Error("a server runs that nobody uses")
	}

	// An interrupted one waits, but not for ever.
	ctx, cancel := context.WithCancel(t.Context())
	starter, other := joinServer(t, dir), joinServer(t, dir)
	left = leaving(ctx, starter)
	cancel()
	stays(t, left, "the interrupted starter")
	goes(t, left, "the interrupted starter")
	goes(t, leaving(t.Context(), other), "who lost the server")
}

func TestManyJoinAtOnce(t *testing.T) {
	dir := newDir(t)
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			for turn := range 5 {
				time.Sleep(rand.N(200 * time.Millisecond))
				s, err := pgembed.Join(t.Context(), pgembed.Config{Dir: dir, Log: quiet})
				if err != nil {
					t.Errorf("user %d, turn %d: %v", i, turn, err)
					return
				}
				db := open(t, s.URL())
				if _, err := db.Exec(`SELECT pg_sleep(0.02)`); err != nil {
					t.Errorf("user %d, turn %d: %v", i, turn, err)
				}
				db.Close()
				if err := s.Leave(t.Context()); err != nil {
					t.Errorf("user %d, turn %d leaves: %v", i, turn, err)
				}
			}
		})
	}
	users.Wait()
}

func TestStartWaitsForShares(t *testing.T) {
	dir := newDir(t)
	brief := joinServer(t, dir)
	started := make(chan error, 1)
	var server *pgembed.Server
	go func() {
		var err error
		server, err = pgembed.Start(t.Context(), pgembed.Config{Dir: dir, Log: quiet})
		started <- err
	}()
	stays(t, started, "Start")
	goes(t, leaving(t.Context(), brief), "the short use")
	goes(t, started, "Start")
	defer server.Stop(context.Background())

	began := time.Now()
	_, err := pgembed.Start(t.Context(), pgembed.Config{Dir: dir, Log: quiet})
	if !errors.Is(err, pgembed.ErrBusy) || !strings.Contains(err.Error(), "(process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("a second Start = %v, want ErrBusy that names the process", err)
	}
	if waited := time.Since(began); waited > time.Second {
		t.Errorf("the second Start was refused after %s", waited)
	}
	guest := joinServer(t, dir)
	if guest.URL() != server.URL() {
		t.Errorf("Join = %q, want the server that runs, %q", guest.URL(), server.URL())
	}
	goes(t, leaving(t.Context(), guest), "a guest")
	mark(t, server.URL(), "still there")
}

func TestKillsOfShares(t *testing.T) {
	dir := newDir(t)
	starter := joinServer(t, dir)
	mark(t, starter.URL(), "a")
	guest := newOwner(t, dir, sharing)
	if guest.url != starter.URL() {
		t.Fatalf("a second process says: %s", guest.line)
	}
	left := leaving(t.Context(), starter)
	stays(t, left, "the starter")
	guest.kill()
	goes(t, left, "the starter of a killed guest")

	killed := newOwner(t, dir, sharing)
	if killed.url == "" {
		t.Fatalf("a process alone says: %s", killed.line)
	}
	held := joinServer(t, dir)
	killed.kill()
	next := joinServer(t, dir)
	if got := marks(t, next.URL()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after the starter's kill the data is %v", got)
	}
	goes(t, leaving(t.Context(), held), "who lost the server")

	pids, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(pids), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	held = joinServer(t, dir)
	syscall.Kill(pid, syscall.SIGKILL)
	left = leaving(t.Context(), next)
	select {
	case err := <-left:
		if err == nil {
			t.Error("the starter of a killed server left as if nothing was")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the starter of a killed server waits for those who lost it")
	}
	last := joinServer(t, dir)
	if got := marks(t, last.URL()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after the server's kill the data is %v", got)
	}
	goes(t, leaving(t.Context(), held), "who lost the server")
	goes(t, leaving(t.Context(), last), "the last one")
}

func TestJoinMakesNothing(t *testing.T) {
	dir := newDir(t)
	if _, err := pgembed.Join(t.Context(), pgembed.Config{Dir: dir, Log: quiet, Existing: true}); !errors.Is(err, pgembed.ErrNone) {
		t.Errorf("Join of existing data alone = %v, want ErrNone", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v, want none", err)
	}
}
