package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"keyhook/internal/config"
	"keyhook/internal/postgres"
	"keyhook/migrations"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply what is missing."`
	Down   migrateDownCmd   `cmd:"" help:"Undo the newest migrations. Data that they hold is lost."`
	Status migrateStatusCmd `cmd:"" help:"List the migrations."`
}

type migrateUpCmd struct {
	config.Database
	jsonFlag
}

type migrateDownCmd struct {
	config.Database
	jsonFlag
	Steps int  `default:"1" help:"How many to undo."`
	All   bool `help:"Undo all of them."`
}

type migrateStatusCmd struct {
	config.Database
	jsonFlag
}

// Run applies what is missing.
func (c *migrateUpCmd) Run(ctx context.Context, a app) error {
	return onDirect(ctx, a, c.Database, join, func(d *database) error {
		direct, err := postgres.Connect(ctx, d.direct)
		if err != nil {
			return err
		}
		defer direct.Close()
		if err := checkServer(ctx, direct); err != nil {
			return err
		}
		n := 0
		err = migrations.Locked(ctx, direct, func(ctx context.Context, _ *sql.Conn) (err error) {
			n, err = migrations.Up(ctx, direct)
			return err
		})
		if err != nil {
			return rights(err)
		}
		return c.print(a.out, map[string]int{"applied": n}, func(w io.Writer) { fmt.Fprintf(w, "applied %d migrations\n", n) })
	})
}

// Run undoes migrations.
func (c *migrateDownCmd) Run(ctx context.Context, a app) error {
	if c.Steps < 1 {
		return misuse("--steps must be at least 1")
	}
	steps := c.Steps
	if c.All {
		steps = 0
	}
	return onDirect(ctx, a, c.Database, join, func(d *database) error {
		direct, err := postgres.Connect(ctx, d.direct)
		if err != nil {
			return err
		}
		defer direct.Close()
		n := 0
		err = migrations.Locked(ctx, direct, func(ctx context.Context, _ *sql.Conn) (err error) {
			n, err = migrations.Down(ctx, direct, steps)
			return err
		})
		if err != nil {
			return rights(err)
		}
		return c.print(a.out, map[string]int{"undone": n}, func(w io.Writer) { fmt.Fprintf(w, "undid %d migrations\n", n) })
	})
}

// Run lists the migrations.
func (c *migrateStatusCmd) Run(ctx context.Context, a app) error {
	return onDirect(ctx, a, c.Database, find, func(d *database) error {
		direct, err := postgres.Connect(ctx, d.direct)
		if err != nil {
			return err
		}
		defer direct.Close()
		states, err := migrations.Status(direct)
		if err != nil {
			return err
		}
		return c.print(a.out, states, func(w io.Writer) {
			rows := [][]string{{"MIGRATION", "APPLIED", "KNOWN"}}
			for _, state := range states {
				at := "pending"
				if state.AppliedAt != nil {
					at = state.AppliedAt.UTC().Format(time.RFC3339)
				}
				rows = append(rows, []string{state.Name, at, strconv.FormatBool(state.Known)})
			}
			table(w, rows...)
		})
	})
}

// onDirect runs work on the database, started for it if need be.
func onDirect(ctx context.Context, a app, c config.Database, need access, work func(*database) error) error {
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := openDatabase(ctx, c, need, log)
	if err != nil {
		return err
	}
	defer d.close(log)
	return work(d)
}
