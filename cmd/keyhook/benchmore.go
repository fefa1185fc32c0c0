package main

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/bench"
)

type benchLoneCmd struct {
	jsonFlag
	PGBin    string `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Requests int    `default:"1000" help:"Requests, and commits."`
}

// Run compares one client's requests with bare commits.
func (c *benchLoneCmd) Run(ctx context.Context, a app) error {
	if c.Requests < 20 || c.Requests > 100_000 {
		return misuse("--requests is from 20 to 100000")
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	design, err := lab.design(ctx, a, "ingest")
	if err != nil {
		return err
	}
	if err := bench.BareTable(ctx, lab.pool); err != nil {
		return err
	}
	lone, err := bench.MeasureLone(ctx, design.Target, lab.pool, c.Requests)
	if err != nil {
		return err
	}
	return c.print(a.out, lone, lone.Print)
}

type benchIdleCmd struct {
	jsonFlag
	PGBin       string `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Connections int    `default:"10000" help:"How many."`
}

// Run opens connections and looks at the server's memory.
func (c *benchIdleCmd) Run(ctx context.Context, a app) error {
	if c.Connections < 1 || c.Connections > 20_000 {
		return misuse("--connections is from 1 to 20000")
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	design, err := lab.design(ctx, a, "ingest")
	if err != nil {
		return err
	}
	idle, err := bench.MeasureIdle(ctx, design.Target, design.PID, c.Connections)
	if err != nil {
		return err
	}
	return c.print(a.out, idle, idle.Print)
}

type benchStoredCmd struct {
	jsonFlag
	PGBin      string  `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Signals    int64   `default:"5000000" help:"Signals that are there before."`
	Deliveries int64   `default:"10000000" help:"Deliveries that are there before."`
	Clients    int     `default:"64" help:"Connections."`
	Seconds    float64 `default:"3" help:"Length of a round."`
	Rounds     int     `default:"5" help:"Rounds of each database."`
}

// Run compares an empty database with a full one.
func (c *benchStoredCmd) Run(ctx context.Context, a app) error {
	if c.Signals < 1 || c.Deliveries < c.Signals || c.Deliveries > 1e9 || c.Clients < 1 || c.Clients > 4096 || c.Seconds <= 0 || c.Rounds < 1 {
		return misuse("--deliveries are at least as many as --signals, and at most 1000000000")
	}
	var designs [2]bench.Design
	for i := range designs {
		lab, err := newLaboratory(ctx, a, c.PGBin)
		if err != nil {
			return err
		}
		defer lab.close()
		if i == 1 {
			if err := bench.Fill(ctx, lab.pool, lab.key.Key.WorkspaceID, lab.key.Key.ID, c.Signals, c.Deliveries, a.err); err != nil {
				return err
			}
			if err := lab.settle(ctx); err != nil {
				return err
			}
		}
		if designs[i], err = lab.design(ctx, a, "ingest"); err != nil {
			return err
		}
	}
	stored, err := bench.CompareStored(ctx, designs[0], designs[1],
		bench.Options{Connections: []int{c.Clients}, Seconds: c.Seconds, Rounds: c.Rounds, Progress: a.err})
	if err != nil {
		return err
	}
	stored.Signals, stored.Deliveries = c.Signals, c.Deliveries
	return c.print(a.out, stored, stored.Print)
}

// settle does what a server does in quiet hours, before it is measured.
func (lab *laboratory) settle(ctx context.Context) error {
	if err := lab.pool.Vacuum(ctx); err != nil {
		return err
	}
	return lab.pool.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, "CHECKPOINT")
		return err
	})
}

type benchTimingCmd struct {
	jsonFlag
	PGBin    string `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Requests int    `default:"2000" help:"Requests of each sort."`
	SignIns  int    `default:"200" help:"Sign-ins of each sort."`
}

// Run compares refusals for an unknown workspace and for a wrong signature, and of an
// unknown e-mail address and a wrong password.
func (c *benchTimingCmd) Run(ctx context.Context, a app) error {
	if c.Requests < 20 || c.Requests > 100_000 || c.SignIns < 20 || c.SignIns > 10_000 {
		return misuse("--requests is from 20 to 100000, --sign-ins from 20 to 10000")
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
	var timings bench.Timings
	timings.Timing, err = bench.CompareRefusals(ctx, target(uuid.Must(uuid.NewV7()).String()), target(lab.key.Key.WorkspaceID.String()), c.Requests)
	if err != nil {
		return err
	}
	if timings.SignIn, err = c.signIns(ctx, a, lab); err != nil {
		return err
	}
	return c.print(a.out, timings, timings.Print)
}

func (c *benchTimingCmd) signIns(ctx context.Context, a app, lab *laboratory) (bench.Timing, error) {
	const email = "somebody@example.com"
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return bench.Timing{}, err
	}
	defer s.close()
	if _, _, err := s.accounts.CreateUser(ctx, s.by, email, "Somebody", rand.Text()); err != nil {
		return bench.Timing{}, err
	}
	_, base, err := lab.start(ctx, a, "console")
	if err != nil {
		return bench.Timing{}, err
	}
	return bench.CompareSignIns(ctx, base, email, c.SignIns)
}
