package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/bench"
	"keyhook/internal/config"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

type benchCmd struct {
	Ingest   benchIngestCmd   `cmd:"" help:"Ingestion beside its limit and a naive design."`
	Read     benchReadCmd     `cmd:"" help:"Reading by cursor, latency to readers that wait, and what open streams cost."`
	Lone     benchLoneCmd     `cmd:"" help:"What one client alone waits for, beside a bare commit."`
	Idle     benchIdleCmd     `cmd:"" help:"What connections cost that are open and silent."`
	Stored   benchStoredCmd   `cmd:"" help:"Ingestion into a database that holds millions of rows, beside an empty one. Takes a quarter of an hour and 10 GB."`
	Usage    benchUsageCmd    `cmd:"" help:"The console on millions of deliveries, beside the raw SQL. Takes half an hour and 12 GB."`
	Tail     benchTailCmd     `cmd:"" help:"What open live tails cost ingestion."`
	Deletion benchDeletionCmd `cmd:"" help:"Ingestion beside the deletion of another workspace."`
	Timing   benchTimingCmd   `cmd:"" help:"Whether the time of a refusal tells what exists."`
	Server   benchServerCmd   `cmd:"" hidden:"" help:"One of the servers that are measured."`
}

// A laboratory is a throw-away database with one key, and servers on it that are
// processes of their own, so that their processor time can be told apart.
type laboratory struct {
	dir  string
	kept bool // the folder stays
	db   *database
	pool *postgres.DB
	key  keyring.Issued
	log  *slog.Logger
	ends []func()

	profiles string // a folder for profiles of the servers; "": none
}

func newLaboratory(ctx context.Context, a app, pgBin string) (*laboratory, error) {
	return newLaboratoryIn(ctx, a, pgBin, "")
}

// newLaboratoryIn makes one that stays in a folder, or takes the one that is there.
func newLaboratoryIn(ctx context.Context, a app, pgBin, folder string) (lab *laboratory, err error) {
	lab = &laboratory{log: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	defer func() {
		if err != nil {
			lab.close()
		}
	}()
	if lab.dir, lab.kept = folder, folder != ""; lab.kept {
		err = os.MkdirAll(folder, 0o711)
	} else {
		lab.dir, err = os.MkdirTemp("", "keyhook-bench-")
	}
	if err != nil {
		return lab, err
	}
	if err := os.Chmod(lab.dir, 0o711); err != nil { // PostgreSQL may run as another user
		return lab, err
	}
	c := config.Database{DataDir: lab.dir, PGBin: pgBin}
	if lab.db, err = openDatabase(ctx, c, own, lab.log); err != nil {
		return lab, err
	}
	if lab.pool, err = postgres.Open(ctx, lab.db.url, postgres.Maintenance); err != nil {
		return lab, err
	}
	return lab, lab.makeKey(ctx, a)
}

// makeKey makes a workspace with a key, or finds the one that is there.
func (lab *laboratory) makeKey(ctx context.Context, a app) error {
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return err
	}
	defer s.close()
	if found, err := s.in(ctx, "bench"); err == nil {
		lab.key.Key.WorkspaceID = found.WorkspaceID
		return nil
	}
	owner, _, err := s.accounts.CreateUser(ctx, s.by, "bench@example.com", "Bench", "")
	if err != nil {
		return err
	}
	workspace, err := s.accounts.CreateWorkspace(ctx, s.by, "Bench", owner.ID)
	if err != nil {
		return err
	}
	lab.key, err = s.keys.Issue(ctx, s.by.In(workspace.ID), keyring.Draft{Name: "Bench"}, "")
	return err
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
	if !lab.kept {
		os.RemoveAll(lab.dir)
	}
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

// design starts a server and says how to measure it.
func (lab *laboratory) design(ctx context.Context, a app, name string) (bench.Design, error) {
	pid, base, err := lab.start(ctx, a, name)
	if err != nil {
		return bench.Design{}, err
	}
	return bench.Design{
		Name: name, PID: pid,
		Target: bench.Target{URL: base + "/hooks/" + lab.key.Key.ID.String(), Headers: map[string]string{"X-API-Key": lab.key.APIKey.Reveal()}},
		Storage: bench.Storage{
			Database: lab.db.owned.PID(),
			Rows:     lab.scalar(`SELECT count(*) FROM deliveries WHERE outcome = 'accepted' AND id >= uuid_floor((SELECT created_at FROM webhook_keys LIMIT 1))`),
			Bytes:    lab.scalar(`SELECT pg_database_size(current_database())`),
		},
	}, nil
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
	var designs, signed []bench.Design
	for _, name := range []string{"limit", "ingest", "naive"} {
		design, err := lab.design(ctx, a, name)
		if err != nil {
			return err
		}
		designs = append(designs, design)
		if name != "naive" {
			design.Target = bench.Target{URL: design.Target.URL, Secret: lab.key.Secret.Reveal()}
			signed = append(signed, design)
		}
	}
	report, err := bench.Run(ctx, designs, signed, bench.Options{Connections: c.Connections, Seconds: c.Seconds, Rounds: c.Rounds, Progress: a.err})
	if err != nil {
		return err
	}
	return c.print(a.out, report, report.Table)
}
