package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"keyhook/internal/config"
	"keyhook/internal/demo"
	"keyhook/internal/postgres"
)

type demoCmd struct {
	Addr  string `default:"127.0.0.1:8080" env:"KEYHOOK_ADDR" help:"Address of the console; port 0 picks a free one."`
	PGBin string `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
}

// Run makes a throw-away data folder, fills it and serves from it until it is
// told to stop; then the folder is removed.
func (c *demoCmd) Run(ctx context.Context, a app) error {
	dir, err := os.MkdirTemp("", "keyhook-demo-")
	if err != nil {
		return fmt.Errorf("make a throw-away data folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL may run as another user
		return err
	}
	serve := serveCmd{
		Database: config.Database{DataDir: dir, PGBin: c.PGBin},
		Serve:    config.Serve{Addr: c.Addr, MaxBody: 1 << 20, LogFormat: "auto", Migrate: true, Workspaces: "everyone"},
	}
	log := newLog(a, serve.LogFormat)
	db, err := openDatabase(ctx, serve.Database, own, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	fmt.Fprintf(a.out, "demo: filling the throw-away data folder %s with 60 keys and 50,000 deliveries\n", dir)
	err = serve.serve(ctx, a, db, log, func(h *house) error {
		login, err := demo.Fill(postgres.Everywhere(ctx), h.accounts, h.keys, h.maintenance, time.Now())
		if err == nil {
			fmt.Fprintf(a.out, "demo: sign in at %s as %s with the password %s\n", serve.PublicURL, login.Email, login.Password)
		}
		return err
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
