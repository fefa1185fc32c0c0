package keyring_test

import (
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
	"keyhook/internal/seal"
)

// A world is a database with one workspace in it.
type world struct {
	*pgtest.Database
	box  *seal.Box
	keys *keyring.Store
	ada  audit.Actor // its owner
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Database: pgtest.New(t), box: pgtest.Box(t)}
	w.keys = keyring.NewStore(w.Console(), w.box)
	w.ada = w.newOwner(t, "Ada Okonkwo")
	return w
}

// newOwner makes a person with a workspace of their own.
func (w *world) newOwner(t *testing.T, name string) audit.Actor {
	t.Helper()
	actor := w.newPerson(t, uuid.Nil, name, "owner")
	actor.WorkspaceID = uuid.Must(uuid.NewV7())
	db := w.Raw()
	db.MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, $2, $3)`, actor.WorkspaceID, name, actor.WorkspaceID.String())
	db.MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'owner')`, actor.WorkspaceID, actor.UserID)
	return actor
}

// newPerson makes somebody who belongs to a workspace, unless that is uuid.Nil.
func (w *world) newPerson(t *testing.T, workspace uuid.UUID, name, role string) audit.Actor {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	db := w.Raw()
	db.MustExec(`INSERT INTO users (id, email, name) VALUES ($1, $2, $3)`, id, id.String()+"@example.com", name)
	if workspace != uuid.Nil {
		db.MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)`, workspace, id, role)
	}
	return audit.Actor{WorkspaceID: workspace, Kind: audit.User, UserID: id, Label: name, Role: role, Address: "192.0.2.1"}
}
