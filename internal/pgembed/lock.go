package pgembed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrBusy says that another process owns the folder.
var ErrBusy = errors.New("another Keyhook owns this data folder")

const (
	busyWait = 60 * time.Second // for a server that starts, stops or is shared
	again    = 20 * time.Millisecond
)

// shared, behind the number of the process in the lock file, says that the owner
// leaves soon.
const shared = "shared"

// A busyError is an ErrBusy that names the owner.
type busyError struct {
	dir, owner string // the owner is "" while one comes or goes
}

func (e *busyError) Unwrap() error { return ErrBusy }

func (e *busyError) Error() string {
	process := ""
	if pid := e.pid(); pid != "" {
		process = " (process " + pid + ")"
	}
	return fmt.Sprintf("%v: %s%s; to share one database between instances, set DATABASE_URL", ErrBusy, e.dir, process)
}

func (e *busyError) pid() string {
	pid, _, _ := strings.Cut(e.owner, " ")
	return pid
}

// leaves reports whether the owner is soon gone.
func (e *busyError) leaves() bool { return e.owner == "" || strings.HasSuffix(e.owner, shared) }

// takeLock makes this process the folder's owner. The lock goes with the process,
// so a kill leaves nothing to clean up.
func takeLock(dir, kind string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(lock, syscall.LOCK_EX); err != nil {
		owner, _ := io.ReadAll(lock)
		lock.Close()
		return nil, &busyError{dir, strings.TrimSpace(string(owner))}
	}
	text := strings.TrimSpace(strconv.Itoa(os.Getpid()) + " " + kind)
	_, err = lock.WriteAt([]byte(text), 0)
	if err := errors.Join(err, lock.Truncate(int64(len(text)))); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// takeAlone takes the lock for an owner that stays. It waits for one that leaves
// soon, and is refused by another that stays.
func takeAlone(ctx context.Context, dir string, log *slog.Logger) (*os.File, error) {
	wait, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	seen := ""
	for {
		lock, err := takeLock(dir, "")
		busy, ok := errors.AsType[*busyError](err)
		if !ok {
			return lock, err
		}
		// The next owner may not have written over the name of a killed one yet.
		if !busy.leaves() && busy.owner == seen {
			return nil, err
		}
		if seen == "" && busy.owner != "" && busy.leaves() {
			log.Info("waiting for a command that uses the private PostgreSQL", "process", busy.pid())
		}
		seen = busy.owner
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait.Done():
			return nil, err
		case <-time.After(again):
		}
	}
}

// release gives the lock up.
func release(lock *os.File) {
	_ = lock.Truncate(0) // nobody is to be told of us any more
	lock.Close()
}

// locked reports whether some process owns the folder.
func locked(dir string) bool {
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer lock.Close()
	return flock(lock, syscall.LOCK_SH) != nil
}

// flock locks a file or folder without waiting.
func flock(file *os.File, how int) error { return syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB) }
