package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// A place is a workspace with two keys of one source, on a database of its own.
type place struct {
	*pgtest.Database
	t         testing.TB
	ingestion *postgres.DB
	box       *seal.Box
	appender  *inbox.Appender
	events    *inbox.Store
	workspace uuid.UUID
	keys      [2]uuid.UUID
}

func newPlace(t testing.TB) *place {
	t.Helper()
	db := pgtest.New(t)
	p := &place{Database: db, t: t, ingestion: db.Ingestion(), box: pgtest.Box(t)}
	p.appender, p.events = inbox.NewAppender(p.box), inbox.NewStore(db.Console(), p.box)
	p.workspace = p.addWorkspace()
	for i := range p.keys {
		p.keys[i] = p.addKey(p.workspace)
	}
	return p
}

func (p *place) addWorkspace() uuid.UUID {
	p.t.Helper()
	id := newID(p.t)
	p.exec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'Acme', $2)`, id, id.String())
	return id
}

func (p *place) addKey(workspace uuid.UUID) uuid.UUID {
	p.t.Helper()
	id := newID(p.t)
	p.exec(`INSERT INTO webhook_keys (id, workspace_id, name, scheme, source) VALUES ($1, $2, $3, 'generic', 'webhook')`,
		id, workspace, id.String())
	return id
}

func (p *place) exec(query string, args ...any) {
	p.t.Helper()
	if _, err := p.Raw().Exec(query, args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) count(query string, args ...any) (n int) {
	p.t.Helper()
	if err := p.Raw().Get(&n, query, args...); err != nil {
		p.t.Fatal(err)
	}
	return n
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *place) arrival(key int, ref, body string) inbox.Arrival {
	p.t.Helper()
	return inbox.Arrival{
		ID: newID(p.t), WorkspaceID: p.workspace, KeyID: p.keys[key], KeyVersion: 1, WatchBody: true, Generation: 1, Method: inbox.ByAPIKey, Status: 200,
		Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "192.0.2.1", UserAgent: "test", Source: "webhook",
		SourceRef: ref, Body: []byte(body), BodySize: int64(len(body)),
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Began: time.Now(),
	}
}

func (p *place) refused(key int, body string) inbox.Arrival {
	a := p.arrival(key, "", body)
	a.Signature = "sha256=presented"
	a.Generation = 0
	a.Refuse(inbox.SignatureWrong, 401)
	return a
}

// try appends a batch as the ingestion's writer does.
func (p *place) try(batch ...inbox.Arrival) (results []inbox.Result, err error) {
	ctx := context.WithoutCancel(p.t.Context())
	err = p.ingestion.InTx(ctx, func(tx *sqlx.Tx) error {
		results, err = p.appender.Append(ctx, tx, batch)
		if err == nil && results[0].Stale {
			return errGone
		}
		return err
	})
	return results, err
}

var errGone = errors.New("the key is gone")

func (p *place) add(batch ...inbox.Arrival) []inbox.Result {
	p.t.Helper()
	results, err := p.try(batch...)
	if err != nil {
		p.t.Fatal(err)
	}
	return results
}

// rollUp moves what was tallied into the counts.
func (p *place) rollUp() (uses []inbox.LastUse) {
	p.t.Helper()
	for more := true; more; {
		err := p.ingestion.InTx(p.t.Context(), func(tx *sqlx.Tx) (err error) {
			var some []inbox.LastUse
			some, more, err = inbox.RollUp(p.t.Context(), tx)
			uses = append(uses, some...)
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return uses
}
