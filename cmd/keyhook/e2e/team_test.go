package e2e_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// A team is a workspace of a test's own and its owner, on a server that others use
// beside it: to start one and to go through the set-up takes longer than most of what
// is done there. It is for tests that leave everything else of the server alone.
type team struct {
	*program
	slug, cookie string
}

// crowd is the server of the teams.
var crowd struct {
	sync.Once
	*program
	accounts *account.Store
	raw      *sqlx.DB
	err      error
	teams    atomic.Int64
}

func startCrowd(t *testing.T) error {
	dir, err := copyMigrated(t)
	if err != nil {
		return err
	}
	crowd.program = prepare(t, "serve", dir)
	if err := crowd.start(); err != nil {
		return err
	}
	url, ok := pgembed.Running(t.Context(), filepath.Join(crowd.dataDir, "postgres"))
	if !ok {
		return errors.New("the private database does not run")
	}
	box, err := seal.Load(filepath.Join(crowd.dataDir, "master.key"))
	if err != nil {
		return err
	}
	db, err := postgres.Open(t.Context(), url, postgres.Console.Patient())
	if err != nil {
		return err
	}
	crowd.accounts = account.NewStore(db, box, slog.New(slog.DiscardHandler))
	raw, err := postgres.Connect(t.Context(), url)
	crowd.raw = sqlx.NewDb(raw, "postgres")
	return err
}

func endCrowd() error {
	if crowd.program == nil {
		return nil
	}
	defer os.RemoveAll(crowd.dataDir)
	return crowd.end()
}

func newTeam(t *testing.T) *team {
	t.Helper()
	crowd.Do(func() { crowd.err = startCrowd(t) })
	if crowd.err != nil {
		t.Fatal(crowd.err)
	}
	by, n := audit.Actor{Kind: audit.CLI, ID: "test", Label: "test"}, crowd.teams.Add(1)
	owner, _, err := crowd.accounts.CreateUser(t.Context(), by, fmt.Sprintf("ada%d@harbourpine.example", n), "Ada Okonkwo", "")
	if err != nil {
		t.Fatal(err)
	}
	workspace, err := crowd.accounts.CreateWorkspace(t.Context(), by, fmt.Sprint("Harbour & Pine ", n), owner.ID)
	if err != nil {
		t.Fatal(err)
	}
	cookie := uuid.NewString()
	sum := sha256.Sum256([]byte(cookie))
	if _, err := crowd.raw.Exec(`INSERT INTO sessions (token_hash, user_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')`, sum[:], owner.ID); err != nil {
		t.Fatal(err)
	}
	own := &program{t: t, dataDir: crowd.dataDir, url: crowd.url, cmd: crowd.cmd, ended: crowd.ended}
	return &team{own, workspace.Slug, cookie}
}

// at returns an address in the team's workspace.
func (s *team) at(path string) string { return s.url + "/w/" + s.slug + path }

// join opens the list of keys, signed in as the owner.
func (p *tab) join(s *team) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, network.SetCookie, network.SetCookieParams{Name: "kh_s", Value: s.cookie, URL: s.url, HTTPOnly: new(true)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.open(s.at("/keys"))
}
