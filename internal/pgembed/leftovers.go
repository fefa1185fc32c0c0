package pgembed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clearLeftovers deals with what a killed owner can leave. We hold the lock, so
// no Keyhook uses the data: a process inside it is an orphan, and a pid file is
// stale.
func clearLeftovers(ctx context.Context, data, sockets string, log *slog.Logger) error {
	removeUnfinished(data)
	if err := stopOrphans(ctx, data, log); err != nil {
		return err
	}
	for _, leftover := range []string{".s.PGSQL.5432.lock", ".s.PGSQL.5432"} {
		if err := os.Remove(filepath.Join(sockets, leftover)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return claimPidFile(filepath.Join(data, "postmaster.pid"), log)
}

// stopOrphans ends the processes that sit in the data folder and waits for them.
func stopOrphans(ctx context.Context, data string, log *slog.Logger) error {
	began := time.Now()
	var sent syscall.Signal
	for {
		orphans := inside(data)
		if len(orphans) == 0 {
			return nil
		}
		signal := syscall.SIGINT
		if time.Since(began) > 5*time.Second {
			signal = syscall.SIGQUIT
		}
		if time.Since(began) > 20*time.Second {
			return fmt.Errorf("processes %v of an earlier start do not leave %s", orphans, data)
		}
		if signal != sent {
			log.Info("stopping a PostgreSQL that a killed Keyhook left", "processes", orphans)
			for _, pid := range orphans {
				_ = syscall.Kill(pid, signal)
			}
			sent = signal
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// inside lists the live processes whose working folder is data: the postmaster
// and its children.
func inside(data string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if folder, err := os.Readlink("/proc/" + entry.Name() + "/cwd"); err == nil && folder == data {
			pids = append(pids, pid)
		}
	}
	return pids
}

// claimPidFile puts our own number into a stale pid file. PostgreSQL takes its
// parent's for a dead owner's, but still checks that nobody uses the shared
// memory that the later lines name; deleting the file would switch that off.
func claimPidFile(path string, log *slog.Logger) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stale, rest, _ := strings.Cut(string(content), "\n")
	log.Info("found the pid file of a PostgreSQL that was killed", "pid", stale)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(strconv.Itoa(os.Getpid()) + "\n" + rest)
	return errors.Join(err, file.Close())
}

// removeUnfinished removes what a killed initdb left. Its children may outlive it
// for a moment and still write there, so the next one has a folder of its own, and
// what can't be removed yet goes the next time.
func removeUnfinished(data string) {
	entries, _ := os.ReadDir(filepath.Dir(data))
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), filepath.Base(data)+".new") {
			continue
		}
		folder := filepath.Join(filepath.Dir(data), entry.Name())
		for _, pid := range inside(folder) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = os.RemoveAll(folder)
	}
}
