package main

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/config"
	"keyhook/internal/postgres"
)

// A trail is a session with a store on it that may take as long as it takes: a
// trail has no upper size.
type trail struct {
	*session
	unlimited *postgres.DB
	store     *audit.Store
}

// openTrail opens the trail as it is: it makes neither a schema nor a master key.
func openTrail(ctx context.Context, a app, c config.Database) (*trail, error) {
	s, err := look(ctx, a, c)
	if err != nil {
		return nil, err
	}
	unlimited, err := postgres.Open(ctx, s.db.url, postgres.Maintenance)
	if err != nil {
		s.close()
		return nil, err
	}
	return &trail{session: s, unlimited: unlimited, store: audit.NewStore(unlimited)}, nil
}

func (t *trail) close() {
	t.unlimited.Close()
	t.session.close()
}

// find returns a workspace by its slug, or one whose trail is all that is left by
// its id.
func (t *trail) find(ctx context.Context, name string) (id uuid.UUID, label string, err error) {
	if id, ok := audit.ParseChain(name); ok && id != uuid.Nil {
		chains, err := t.store.Chains(ctx)
		if err != nil || slices.Contains(chains, name) {
			return id, name, err
		}
	}
	workspace, err := t.accounts.Workspace(ctx, name)
	return workspace.ID, workspace.Name, err
}
