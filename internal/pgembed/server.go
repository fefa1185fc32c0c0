// Package pgembed runs a private PostgreSQL as a child of this process: it makes
// the data on first use, starts the server on a unix socket, and stops it again.
// It owns no table.
//
// Data that is there is never deleted and never made anew: where it can't be
// used as it is, Start refuses and leaves it untouched.
package pgembed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	name      = "keyhook" // of the database and its owner
	startWait = 60 * time.Second
	stopWait  = 20 * time.Second
	logLimit  = 16 << 20 // bytes of postgres.log before a start begins a new one
)

// A Config says where and with what to run.
type Config struct {
	Dir      string            // holds the data, the socket, the lock and the server's log; made if missing
	Bin      string            // folder of the PostgreSQL programs; "" searches
	Log      *slog.Logger      // nil: the default
	Settings map[string]string // further settings of the server
	Existing bool              // Join makes no data
}

// A Server is one running private PostgreSQL.
type Server struct {
	url  string
	lock *os.File
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process; read it after done
}

// Start brings the server up, with an empty database on first use. Its errors
// wrap ErrBusy or ErrVersion where those are the reason. The caller stops it.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return begin(ctx, c, func(dir string) (*os.File, error) { return takeAlone(ctx, dir, c.Log) })
}

// begin prepares the folder, takes its lock and starts the server.
func begin(ctx context.Context, c Config, take func(dir string) (*os.File, error)) (*Server, error) {
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	as, err := chooseUser(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := prepareDir(c.Dir, as); err != nil {
		return nil, err
	}
	// Orphans are found by their working folder, which has no symbolic links in it.
	if c.Dir, err = filepath.EvalSymlinks(c.Dir); err != nil {
		return nil, err
	}
	lock, err := take(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock, done: make(chan struct{})}
	if err := s.start(ctx, c, as); err != nil {
		release(lock)
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, c Config, as *syscall.Credential) error {
	data := filepath.Join(c.Dir, "data")
	have, err := dataVersion(data)
	if err != nil {
		return err
	}
	bin, err := findPrograms(ctx, c.Bin, have)
	if err != nil {
		return err
	}
	if have == "" {
		c.Log.Info("making the private database", "folder", data)
		if err := initialise(ctx, bin, c.Dir, data, as); err != nil {
			return err
		}
	}
	sockets, err := socketDir(c.Dir, as)
	if err != nil {
		return err
	}
	if err := clearLeftovers(ctx, data, sockets, c.Log); err != nil {
		return err
	}
	s.url = urlFor(sockets)
	if err := s.launch(bin, data, sockets, c, as); err != nil {
		return err
	}
	if err := s.waitReady(ctx, sockets, logPath(c.Dir)); err != nil {
		s.stopProcess(context.WithoutCancel(ctx))
		return err
	}
	return nil
}

// initialise makes the data in a folder beside its place and then renames it, so
// that a kill in between leaves nothing that looks like data.
func initialise(ctx context.Context, bin, dir, data string, as *syscall.Credential) error {
	removeUnfinished(data)
	fresh := data + ".new." + strconv.FormatInt(time.Now().UnixNano(), 36)
	err := run(ctx, as, dir, filepath.Join(bin, "initdb"), "-D", fresh, "-U", name, "-A", "trust", "-E", "UTF8",
		"--locale=C", "--lc-ctype=C.UTF-8", "--data-checksums", "--no-instructions")
	if err != nil {
		return err
	}
	return os.Rename(fresh, data)
}

// launch starts postgres itself, not pg_ctl, as a child, so that its end is seen.
func (s *Server) launch(bin, data, sockets string, c Config, as *syscall.Credential) error {
	args := []string{"-D", data, "-k", sockets}
	settings := map[string]string{
		"listen_addresses": "", "unix_socket_permissions": "0700", "shared_buffers": "64MB", "max_connections": "60",
		"max_logical_replication_workers": "0", "jit": "off", "logging_collector": "off", "log_line_prefix": "%m ", "timezone": "UTC",
		"fsync": "on", "full_page_writes": "on", "log_statement": "none", "log_parameter_max_length_on_error": "0",
	}
	for key, value := range c.Settings {
		settings[key] = value
	}
	for key, value := range settings {
		args = append(args, "-c", key+"="+value)
	}
	output, err := openLog(logPath(c.Dir))
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Env = data, environment(c.Dir)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true, Pdeathsig: syscall.SIGINT}
	s.cmd = cmd
	started := make(chan error, 1)
	go func() {
		// The death signal follows the thread that forked, so it must live as long.
		runtime.LockOSThread()
		defer output.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.err = cmd.Wait()
		}
		close(s.done)
	}()
	return <-started
}

func logPath(dir string) string { return filepath.Join(dir, "postgres.log") }

// openLog opens the server's log, beginning a new one when it has grown large.
func openLog(path string) (*os.File, error) {
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, flags, 0o600)
}

// URL opens the server's database.
func (s *Server) URL() string { return s.url }

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended, wanted or not.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says how the server ended; call it after Done is closed.
func (s *Server) Err() error {
	<-s.done
	return s.err
}

// Stop ends the server: connections are cut, what is committed stays.
func (s *Server) Stop(ctx context.Context) error {
	defer release(s.lock)
	return s.stopProcess(ctx)
}

func (s *Server) stopProcess(ctx context.Context) error {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.done
	}
	if s.cmd.ProcessState != nil && s.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("the private PostgreSQL ended with: %w", errors.Join(s.err, errors.New("see postgres.log in its folder")))
}

func urlFor(sockets string) string {
	return fmt.Sprintf("host=%s port=5432 user=%s dbname=%s sslmode=disable", sockets, name, name)
}

func run(ctx context.Context, as *syscall.Credential, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, environment(dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func environment(dir string) []string {
	env := []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=" + dir}
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	return env
}
