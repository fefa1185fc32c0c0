package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/bench"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
	"keyhook/web"
)

type benchUsageCmd struct {
	jsonFlag
	PGBin      string `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Deliveries int64  `default:"10000000" help:"Deliveries that are made up, of the last 30 days."`
	Requests   int    `default:"30" help:"Requests of each sort."`
	Folder     string `help:"Make the data here and leave them, to measure again." placeholder:"DIR"`
}

const (
	usageKeys     = 60
	usageEmail    = "bench@example.com"
	usagePassword = "a throw-away workspace of 60 keys"
)

// Run measures the console on a month of deliveries.
func (c *benchUsageCmd) Run(ctx context.Context, a app) error {
	if c.Deliveries < 10_000 || c.Deliveries > 1e9 || c.Requests < 5 || c.Requests > 10_000 {
		return misuse("--deliveries is from 10000 to 1000000000, --requests from 5 to 10000")
	}
	lab, err := newLaboratoryIn(ctx, a, c.PGBin, c.Folder)
	if err != nil {
		return err
	}
	defer lab.close()
	history, err := c.history(ctx, a, lab)
	if err != nil {
		return err
	}
	asked, err := c.console(ctx, lab)
	if err != nil {
		return err
	}
	defer asked.Close()
	asked.Keys, asked.Requests = history.Keys, c.Requests
	report, err := asked.Measure(ctx, a.err)
	if err != nil {
		return err
	}
	return c.print(a.out, report, report.Print)
}

// history makes the data up, unless they are there.
func (c *benchUsageCmd) history(ctx context.Context, a app, lab *laboratory) (bench.History, error) {
	h := bench.History{Workspace: lab.key.Key.WorkspaceID, Deliveries: c.Deliveries}
	find := func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &h.Keys, `SELECT id FROM webhook_keys WHERE workspace_id = $1 ORDER BY id LIMIT $2`, h.Workspace, usageKeys)
	}
	if err := lab.pool.Read(ctx, find); err != nil || len(h.Keys) == usageKeys {
		return h, err
	}
	if err := c.issue(ctx, a, lab); err != nil {
		return h, err
	}
	if err := lab.pool.Read(ctx, find); err != nil {
		return h, err
	}
	if err := h.Make(ctx, lab.pool, a.err); err != nil {
		return h, err
	}
	return h, lab.settle(ctx)
}

// issue makes the keys, and gives the owner a password.
func (c *benchUsageCmd) issue(ctx context.Context, a app, lab *laboratory) error {
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return err
	}
	defer s.close()
	for n := 2; n <= usageKeys; n++ {
		draft := keyring.Draft{Name: fmt.Sprint("Sender ", n), Source: fmt.Sprint("source-", n)}
		if _, err := s.keys.Issue(ctx, s.by.In(lab.key.Key.WorkspaceID), draft, ""); err != nil {
			return err
		}
	}
	return addOwner(ctx, s)
}

// addOwner makes an owner of the workspace who can sign in.
func addOwner(ctx context.Context, s *session) error {
	owner, _, err := s.accounts.CreateUser(ctx, s.by, "usage-"+usageEmail, "Usage", usagePassword)
	if err != nil {
		return err
	}
	return s.accounts.AddMember(ctx, s.by, "bench", owner.Email, account.Owner)
}

// consoleOn is the console as serve has it, on a database.
func consoleOn(db *postgres.DB, box *seal.Box) *web.Server {
	config := web.Config{ClientAddr: forwarded}
	return web.NewServer(config, account.NewStore(db, box, slog.New(slog.DiscardHandler)), keyring.NewStore(db, box), inbox.NewStore(db, box), audit.NewStore(db), nil, slog.New(slog.DiscardHandler))
}

// signInTo signs in as the owner.
func signInTo(ctx context.Context, console *bench.Console) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	console.Client = &http.Client{Jar: jar}
	return console.SignIn(ctx, url.Values{"email": {"usage-" + usageEmail}, "password": {usagePassword}})
}

// console serves the console on the database and signs in.
func (c *benchUsageCmd) console(ctx context.Context, lab *laboratory) (*bench.Console, error) {
	box, err := lab.db.prepare(ctx, masterKeyOf(lab), lab.dir, false, lab.log)
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(postgres.InWorkspace(ctx, lab.key.Key.WorkspaceID), lab.db.url, postgres.Console)
	if err != nil {
		return nil, err
	}
	asked, err := bench.Serve(consoleOn(db, box), lab.pool)
	if err != nil {
		return nil, err
	}
	asked.Workspace, asked.Events = lab.key.Key.WorkspaceID, inbox.NewStore(db, box)
	return asked, signInTo(ctx, asked)
}
