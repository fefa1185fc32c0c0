package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/bench"
	"keyhook/internal/keyring"
)

type benchDeletionCmd struct {
	jsonFlag
	PGBin      string  `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Deliveries int64   `default:"200000" help:"Deliveries of the workspace that is deleted."`
	Keys       int     `default:"12" help:"And its keys."`
	Clients    int     `default:"16" help:"Connections that send to another workspace."`
	Seconds    float64 `default:"3" help:"Length of a round."`
	Rounds     int     `default:"5" help:"Rounds, with and without the deletion."`
}

// Run measures ingestion beside the deletion of another workspace.
func (c *benchDeletionCmd) Run(ctx context.Context, a app) error {
	if c.Deliveries < 1000 || c.Deliveries > 100_000_000 || c.Keys < 1 || c.Keys > 100 || c.Clients < 1 || c.Clients > 4096 || c.Seconds <= 0 || c.Rounds < 1 {
		return misuse("--deliveries is at least 1000, --keys at most 100")
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	doomed, err := lab.doom(ctx, a, c.Deliveries, c.Keys)
	if err != nil {
		return err
	}
	design, err := lab.design(ctx, a, "ingest")
	if err != nil {
		return err
	}
	found, err := bench.MeasureDeletion(ctx, design, doomed, bench.Options{Connections: []int{c.Clients}, Seconds: c.Seconds, Rounds: c.Rounds, Progress: a.err})
	if err != nil {
		return err
	}
	return c.print(a.out, found, found.Print)
}

// doom makes a workspace that is full, and confirms its deletion.
func (lab *laboratory) doom(ctx context.Context, a app, deliveries int64, keys int) (doomed bench.Doomed, err error) {
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return doomed, err
	}
	defer s.close()
	users, err := s.accounts.Users(ctx)
	if err != nil {
		return doomed, err
	}
	workspace, err := s.accounts.CreateWorkspace(ctx, s.by, "Doomed", users[0].ID)
	if err != nil {
		return doomed, err
	}
	doomed.History = bench.History{Workspace: workspace.ID, Deliveries: deliveries}
	for n := range keys {
		issued, err := s.keys.Issue(ctx, s.by.In(workspace.ID), keyring.Draft{Name: fmt.Sprintf("Key %d", n)}, "")
		if err != nil {
			return doomed, err
		}
		doomed.Keys = append(doomed.Keys, issued.Key.ID)
	}
	if err := doomed.Fill(ctx, lab.pool, a.err); err != nil {
		return doomed, err
	}
	if err := lab.settle(ctx); err != nil {
		return doomed, err
	}
	doomed.Erase = account.NewStore(lab.pool, s.box, lab.log).EraseDeleted
	doomed.Left = lab.deliveriesOf(workspace.ID)
	return doomed, s.accounts.DeleteWorkspace(ctx, s.by, workspace.Slug)
}

func (lab *laboratory) deliveriesOf(workspace uuid.UUID) func(context.Context) (int64, error) {
	const query = `SELECT count(*) FROM deliveries WHERE workspace_id = $1`
	return func(ctx context.Context) (n int64, err error) {
		err = lab.pool.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, query, workspace) })
		return n, err
	}
}
