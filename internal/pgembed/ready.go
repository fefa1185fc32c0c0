package pgembed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// waitReady returns once the server answers and has our database.
func (s *Server) waitReady(ctx context.Context, sockets, log string) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	db, err := sql.Open("postgres", strings.Replace(urlFor(sockets), "dbname="+name, "dbname=postgres", 1)+" connect_timeout=5")
	if err != nil {
		return err
	}
	defer db.Close()
	err = errors.New("it is starting")
	for {
		// A connection before that would cost the server a process that says no.
		if saysReady(s.cmd.Dir, s.PID()) {
			if err = ensureDatabase(ctx, db); err == nil {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("the private PostgreSQL ended while starting; its log %s ends in: %s", log, lastLines(log))
		case <-ctx.Done():
			return fmt.Errorf("the private PostgreSQL does not answer (%w); its log %s ends in: %s", err, log, lastLines(log))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// saysReady tells whether a server says of itself, in the eighth line of its pid file,
// that it takes connections, a standby if only to read. A killed one's file names another
// process.
func saysReady(data string, pid int) bool {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	lines := strings.Split(string(content), "\n")
	return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(pid) && slices.Contains([]string{"ready", "standby"}, strings.TrimSpace(lines[7]))
}

func ensureDatabase(ctx context.Context, db *sql.DB) error {
	const look = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	var there bool
	if err := db.QueryRowContext(ctx, look, name).Scan(&there); err != nil || there {
		return err
	}
	// It can't run in a transaction. Run twice, it says that the database exists.
	_, err := db.ExecContext(ctx, "CREATE DATABASE "+name)
	if failure, ok := errors.AsType[*pq.Error](err); ok && failure.Code == "42P04" {
		return nil
	}
	return err
}

func lastLines(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// Running finds the server of a folder that another process owns. It waits a
// little for one that is just starting.
func Running(ctx context.Context, dir string) (url string, ok bool) {
	for range 200 {
		if !locked(dir) {
			return "", false
		}
		if url, ok := find(ctx, dir); ok {
			return url, true
		}
		select {
		case <-ctx.Done():
			return "", false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return "", false
}

// find finds the server of a folder if it has an owner and answers.
func find(ctx context.Context, dir string) (url string, ok bool) {
	sockets, err := socketPath(dir)
	if err != nil || !locked(dir) {
		return "", false
	}
	if _, err := os.Stat(filepath.Join(sockets, ".s.PGSQL.5432")); err != nil {
		return "", false
	}
	return urlFor(sockets), answers(ctx, urlFor(sockets))
}

func answers(ctx context.Context, url string) bool {
	db, err := sql.Open("postgres", url+" connect_timeout=2")
	if err != nil {
		return false
	}
	defer db.Close()
	return db.PingContext(ctx) == nil
}

// dataVersion returns the major version that made the data, or "" if there is none.
func dataVersion(data string) (string, error) {
	version, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
			return "", fmt.Errorf("%s is not empty and not a PostgreSQL data folder; nothing was changed", data)
		}
		return "", nil
	}
	return strings.TrimSpace(string(version)), err
}
