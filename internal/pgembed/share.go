package pgembed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	leaveWait = 5 * time.Second // for the others, once the starter is told to end
	noticed   = 2 * time.Second // a wait that long is told of
)

// ErrNone says that there is no database yet.
var ErrNone = errors.New("there is no database yet")

// A Share is the use of a server for a short time, beside others. Whoever joins
// holds a shared lock on the folder meanwhile; whoever started the server stops it
// once it has the folder for itself.
type Share struct {
	url    string
	dir    string
	folder *os.File // of who joined; nil for who started the server
	server *Server  // of who started it; nil for who joined
	log    *slog.Logger
}

// Join joins the server of a folder, or starts it where none runs. One that is just
// starting or stopping is waited for. Its errors wrap ErrNone, ErrBusy or ErrVersion
// where those are the reason. The caller leaves it.
func Join(ctx context.Context, c Config) (*Share, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	wait, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	for {
		s, err := joinOrStart(ctx, c)
		if !errors.Is(err, ErrBusy) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait.Done():
			return nil, fmt.Errorf("the private PostgreSQL can't be joined: %w", err)
		case <-time.After(again):
		}
	}
}

func joinOrStart(ctx context.Context, c Config) (*Share, error) {
	if locked(c.Dir) {
		return join(ctx, c)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "data")); c.Existing && errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	server, err := begin(ctx, c, func(dir string) (*os.File, error) { return takeLock(dir, shared) })
	if err != nil {
		return nil, err
	}
	return &Share{url: server.URL(), dir: c.Dir, server: server, log: c.Log}, nil
}

// join holds the folder before it looks for the server, which can't be stopped
// then any more by who shares it.
func join(ctx context.Context, c Config) (*Share, error) {
	folder, err := hold(c.Dir, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	url, ok := find(ctx, c.Dir)
	if !ok {
		folder.Close()
		owner, _ := os.ReadFile(filepath.Join(c.Dir, "lock"))
		return nil, &busyError{c.Dir, string(owner)}
	}
	return &Share{url: url, dir: c.Dir, folder: folder, log: c.Log}, nil
}

func hold(dir string, how int) (*os.File, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock(folder, how); err != nil {
		folder.Close()
		return nil, &busyError{dir: dir}
	}
	return folder, nil
}

// URL opens the server's database.
func (s *Share) URL() string { return s.url }

// Leave ends the use. Whoever started the server waits for the others, for a short
// time only once ctx is done, and stops it.
func (s *Share) Leave(ctx context.Context) error {
	if s.server == nil {
		return s.folder.Close()
	}
	if folder := s.alone(ctx); folder != nil {
		defer folder.Close()
	}
	return s.server.Stop(context.WithoutCancel(ctx))
}

// alone returns the folder once nobody else uses the server, or nil where that is
// not to be waited for.
func (s *Share) alone(ctx context.Context) *os.File {
	limit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leaveWait, cancel) })()
	notice := time.After(noticed)
	for {
		folder, err := hold(s.dir, syscall.LOCK_EX)
		if !errors.Is(err, ErrBusy) {
			return folder
		}
		select {
		case <-limit.Done():
			return nil
		case <-s.server.Done():
			return nil
		case <-notice:
			s.log.Warn("other commands use the private PostgreSQL that this one started: waiting for them")
		case <-time.After(again):
		}
	}
}
