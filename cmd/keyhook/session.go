package main

import (
	"context"
	"log/slog"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/config"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// A session is what the short commands work with.
type session struct {
	db       *database
	console  *postgres.DB
	box      *seal.Box // nil for a command that lists
	accounts *account.Store
	keys     *keyring.Store
	by       audit.Actor
	log      *slog.Logger
}

// begin opens the stores for a short command, on a database that it brings up to
// date. Call close at its end.
func begin(ctx context.Context, a app, c config.Database, m config.MasterKey) (*session, error) {
	if err := checkMasterKey(m); err != nil {
		return nil, err
	}
	return open(ctx, a, c, join, func(db *database, log *slog.Logger) (*seal.Box, error) {
		return db.prepare(ctx, m, c.DataDir, true, log)
	})
}

// look opens the stores for a command that lists: it finds the database as it is,
// and makes neither a schema nor a master key. Call close at its end.
func look(ctx context.Context, a app, c config.Database) (*session, error) {
	return open(ctx, a, c, find, func(db *database, _ *slog.Logger) (*seal.Box, error) { return nil, db.checkMigrated(ctx) })
}

func open(ctx context.Context, a app, c config.Database, need access, prepare func(*database, *slog.Logger) (*seal.Box, error)) (*session, error) {
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openDatabase(ctx, c, need, log)
	if err != nil {
		return nil, err
	}
	s := &session{db: db, log: log, by: audit.Actor{Kind: audit.CLI, ID: operator(), Label: operator()}}
	if s.box, err = prepare(db, log); err != nil {
		s.close()
		return nil, err
	}
	if s.console, err = postgres.Open(postgres.Everywhere(ctx), db.url, postgres.Console); err != nil {
		s.close()
		return nil, err
	}
	s.accounts, s.keys = account.NewStore(s.console, s.box, log), keyring.NewStore(s.console, s.box)
	return s, nil
}

func (s *session) close() {
	if s.console != nil {
		s.console.Close()
	}
	s.db.close(s.log)
}

// in returns the actor in the workspace with a slug.
func (s *session) in(ctx context.Context, slug string) (audit.Actor, error) {
	workspace, err := s.accounts.Workspace(ctx, slug)
	return s.by.In(workspace.ID), err
}
