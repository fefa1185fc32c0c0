package postgres_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// TestScopes: a transaction sees what its context was let in for, and without that
// nothing; a pooled connection remembers nothing of it.
func TestScopes(t *testing.T) {
	t.Parallel()
	test := pgtest.New(t)
	one, two := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	raw := test.Raw()
	for _, id := range []uuid.UUID{one, two} {
		raw.MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'W', $2)`, id, id.String())
	}
	ctx, db := t.Context(), test.Serving()
	for range 3 {
		for _, tt := range []struct {
			name string
			ctx  context.Context
			want int
		}{
			{"no scope", ctx, 0},
			{"a workspace", postgres.InWorkspace(ctx, one), 1},
			{"everywhere", postgres.Everywhere(ctx), 2},
			{"a workspace inside of everywhere", postgres.InWorkspace(postgres.Everywhere(ctx), two), 1},
			{"no workspace", postgres.InWorkspace(ctx, uuid.Nil), 0},
		} {
			var n int
			if err := db.Read(tt.ctx, func(tx *sqlx.Tx) error { return tx.Get(&n, `SELECT count(*) FROM workspaces`) }); err != nil || n != tt.want {
				t.Errorf("with %s %d workspaces are seen, %v; want %d", tt.name, n, err, tt.want)
			}
			err := db.InTx(tt.ctx, func(tx *sqlx.Tx) error {
				_, err := tx.Exec(`INSERT INTO import_drafts SELECT * FROM jsonb_populate_record(NULL::import_drafts, jsonb_build_object('workspace_id', $1::text))`, uuid.NewString())
				return err
			})
			if walled := postgres.Code(err) == "42501"; walled == (tt.name == "everywhere") {
				t.Errorf("with %s a row of another workspace is added: %v", tt.name, err)
			}
		}
	}
}
