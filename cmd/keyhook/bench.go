package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/bench"
	"keyhook/internal/config"
	"keyhook/internal/inbox"
	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
	"keyhook/web/api"
)

type benchCmd struct {
	Ingest benchIngestCmd `cmd:"" help:"Ingestion beside its limit and a naive design."`
	Read   benchReadCmd   `cmd:"" help:"Reading by cursor, latency to readers that wait, and what open streams cost."`
	Timing benchTimingCmd `cmd:"" help:"Whether the time of a refusal tells what exists."`
	Server benchServerCmd `cmd:"" hidden:"" help:"One of the servers that are measured."`
}

// A laboratory is a throw-away database with one key, and servers on it that are
// processes of their own, so that their processor time can be told apart.
type laboratory struct {
	dir  string
	db   *database
	pool *postgres.DB
	key  keyring.Issued
	log  *slog.Logger
	ends []func()

	profiles string // a folder for profiles of the servers; "": none
}

func newLaboratory(ctx context.Context, a app, pgBin string) (lab *laboratory, err error) {
	lab = &laboratory{log: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	defer func() {
		if err != nil {
			lab.close()
		}
	}()
	if lab.dir, err = os.MkdirTemp("", "keyhook-bench-"); err != nil {
		return lab, err
	}
	if err := os.Chmod(lab.dir, 0o711); err != nil { // PostgreSQL may run as another user
		return lab, err
	}
	c := config.Database{DataDir: lab.dir, PGBin: pgBin}
	if lab.db, err = openDatabase(ctx, c, own, lab.log); err != nil {
		return lab, err
	}
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return lab, err
	}
	defer s.close()
	owner, _, err := s.accounts.CreateUser(ctx, s.by, "bench@example.com", "Bench", "")
	if err != nil {
		return lab, err
	}
	workspace, err := s.accounts.CreateWorkspace(ctx, s.by, "Bench", owner.ID)
	if err != nil {
		return lab, err
	}
	if lab.key, err = s.keys.Issue(ctx, s.by.In(workspace.ID), keyring.Draft{Name: "Bench"}, ""); err != nil {
		return lab, err
	}
	lab.pool, err = postgres.Open(ctx, lab.db.url, postgres.Maintenance)
	return lab, err
}

func configOf(lab *laboratory) config.Database {
	return config.Database{URL: lab.db.url, DataDir: lab.dir}
}

func masterKeyOf(*laboratory) config.MasterKey { return config.MasterKey{} } // in the data folder

func (lab *laboratory) close() {
	for _, end := range lab.ends {
		end()
	}
	if lab.pool != nil {
		lab.pool.Close()
	}
	if lab.db != nil {
		lab.db.close(lab.log)
	}
	os.RemoveAll(lab.dir)
}

// start starts a server and waits for the line that says where it is.
func (lab *laboratory) start(ctx context.Context, a app, design string) (pid int, base string, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, "", err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "server", "--design", design, "--database-url", lab.db.url,
		"--master-key-file", filepath.Join(lab.dir, "master.key"))
	if lab.profiles != "" {
		cmd.Args = append(cmd.Args, "--profile", filepath.Join(lab.profiles, design+".pprof"))
	}
	cmd.Env = append(os.Environ(), "KEYHOOK_DATA_DIR="+lab.dir)
	cmd.Stderr = a.err
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	lab.ends = append(lab.ends, func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("the %s server did not start", design)
	}
	return cmd.Process.Pid, strings.TrimSpace(line), nil
}

func (lab *laboratory) scalar(query string) func(context.Context) (int64, error) {
	return func(ctx context.Context) (n int64, err error) {
		err = lab.pool.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, query) })
		return n, err
	}
}

type benchIngestCmd struct {
	jsonFlag
	PGBin       string  `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Connections []int   `default:"16,64,256" help:"Numbers of connections."`
	Seconds     float64 `default:"3" help:"Length of a round."`
	Rounds      int     `default:"3" help:"Rounds of each design."`
	Profiles    string  `help:"Folder for a profile of each server's processor time." type:"existingdir"`
}

// Run compares the three designs.
func (c *benchIngestCmd) Run(ctx context.Context, a app) error {
	if c.Seconds <= 0 || c.Seconds > 60 || c.Rounds < 1 || c.Rounds > 100 || len(c.Connections) == 0 {
		return misuse("--seconds is at most 60, --rounds at most 100, and --connections at least one number")
	}
	for _, n := range c.Connections {
		if n < 1 || n > 4096 {
			return misuse("--connections are from 1 to 4096")
		}
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	lab.profiles = c.Profiles
	var designs []bench.Design
	for _, name := range []string{"limit", "ingest", "naive"} {
		pid, base, err := lab.start(ctx, a, name)
		if err != nil {
			return err
		}
		target := bench.Target{URL: base + "/hooks/" + lab.key.Key.ID.String(), Headers: map[string]string{"X-API-Key": lab.key.APIKey.Reveal()}}
		designs = append(designs, bench.Design{Name: name, PID: pid, Target: target})
	}
	report, err := bench.Run(ctx, designs, bench.Options{
		Connections: c.Connections, Seconds: c.Seconds, Rounds: c.Rounds, Database: lab.db.owned.PID(), Progress: a.err,
		Rows:  lab.scalar(`SELECT count(*) FROM deliveries WHERE outcome = 'accepted'`),
		Bytes: lab.scalar(`SELECT pg_database_size(current_database())`),
	})
	if err != nil {
		return err
	}
	return c.print(a.out, report, report.Table)
}

type benchTimingCmd struct {
	jsonFlag
	PGBin    string `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Requests int    `default:"2000" help:"Requests of each sort."`
}

// Run compares refusals for an unknown workspace and for a wrong signature.
func (c *benchTimingCmd) Run(ctx context.Context, a app) error {
	if c.Requests < 20 || c.Requests > 100_000 {
		return misuse("--requests is from 20 to 100000")
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	_, base, err := lab.start(ctx, a, "ingest")
	if err != nil {
		return err
	}
	target := func(workspace string) bench.Target {
		return bench.Target{URL: base + "/api/webhooks/signals", Headers: map[string]string{
			"X-Workspace-ID": workspace, "X-Webhook-Signature": "sha256=" + strings.Repeat("ab", 32),
		}}
	}
	timing, err := bench.CompareRefusals(ctx, target(uuid.Must(uuid.NewV7()).String()), target(lab.key.Key.WorkspaceID.String()), c.Requests)
	if err != nil {
		return err
	}
	return c.print(a.out, timing, timing.Print)
}

type benchServerCmd struct {
	config.Database
	config.MasterKey
	Design  string `enum:"limit,ingest,naive,read" required:"" help:"Which server."`
	Profile string `help:"File for a profile of its processor time."`
}

// Run serves one design until it is interrupted.
func (c *benchServerCmd) Run(ctx context.Context, a app) error {
	d := &database{url: c.URL, direct: c.Direct()}
	box, err := d.prepare(ctx, c.MasterKey, c.DataDir, false, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, d.url, postgres.Ingestion)
	if err != nil {
		return err
	}
	defer db.Close()
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	registry := prometheus.NewRegistry()
	metrics := ingest.NewMetrics(registry)
	activity := ingest.NewActivity(db, inbox.NewStore(db, box), log)
	writer := ingest.NewWriter(db, box, activity, metrics, log)
	if c.Design == "limit" {
		writer = ingest.NewDiscarder(metrics)
	} else {
		go writer.Run(context.WithoutCancel(ctx))
		go activity.Run(context.WithoutCancel(ctx))
	}
	var handler http.Handler = ingest.NewHandler(ingest.Config{MaxBody: 1 << 20}, keyring.NewCache(keyring.NewStore(db, box)), writer, metrics, log)
	if c.Design == "read" {
		reading, err := postgres.Open(ctx, d.url, postgres.Reading)
		if err != nil {
			return err
		}
		defer reading.Close()
		readers := api.NewServer(api.Config{}, reading, keyring.NewStore(reading, box), inbox.NewStore(reading, box), log)
		go readers.Run(context.WithoutCancel(ctx))
		handler = ingest.Prefixed(handler, readers)
	}
	if c.Design == "naive" {
		wide, err := postgres.Open(ctx, d.url, postgres.Naive)
		if err != nil {
			return err
		}
		defer wide.Close()
		handler = bench.Naive(keyring.NewStore(wide, box), wide)
	}
	if c.Profile != "" {
		file, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		defer func() { _ = prometheus.WriteToTextfile(c.Profile+".metrics", registry) }()
	}
	return serveUntil(ctx, a.out, handler)
}

func serveUntil(ctx context.Context, out io.Writer, handler http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
