package account

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// DeleteUser removes a user with their sessions and memberships. Their keys, what
// came in with those, and the audit trail stay. A workspace's last owner stays too.
func (s *Store) DeleteUser(ctx context.Context, by audit.Actor, id uuid.UUID) error {
	const query = `SELECT ` + userColumns + ` FROM users AS u WHERE u.id = $1 FOR UPDATE`
	const lock = `SELECT id FROM workspaces WHERE created_by = $1 ORDER BY id FOR NO KEY UPDATE`
	const remove = `DELETE FROM users WHERE id = $1`
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		var user User
		if err := tx.GetContext(ctx, &user, query, id); err != nil {
			return noUser(err)
		}
		// Deleting sets created_by to null there; two deletions must come in one order.
		var made []uuid.UUID
		if err := tx.SelectContext(ctx, &made, lock, id); err != nil {
			return err
		}
		if err := ownsNoneAlone(ctx, tx, id); err != nil {
			return err
		}
		if err := recordEverywhere(ctx, tx, by, audit.UserDeleted, user, audit.Fields{"email": user.Email, "name": user.Name}, nil); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, remove, id)
		return err
	})
	return conflict(err, "delete user")
}

// ownsNoneAlone fails if a workspace would be without an owner, and names those.
func ownsNoneAlone(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	const owned = `
		SELECT w.id, w.name FROM memberships AS m JOIN workspaces AS w ON w.id = m.workspace_id
		WHERE m.user_id = $1 AND m.role = 'owner' AND w.deleting_at IS NULL ORDER BY w.id`
	var workspaces []Workspace
	if err := tx.SelectContext(ctx, &workspaces, owned, user); err != nil {
		return err
	}
	var alone []string
	for _, w := range workspaces {
		err := keepsAnOwner(ctx, tx, w.ID, user)
		if f, ok := fault.Of(err); ok && f.Kind == fault.Conflict {
			alone = append(alone, w.Name)
		} else if err != nil {
			return err
		}
	}
	if len(alone) == 0 {
		return nil
	}
	return fault.New(fault.Conflict, "This is the last owner of "+strings.Join(alone, ", ")+". Make somebody else an owner there first, or delete the workspace.")
}

// SolelyOwned lists the workspaces of which a user is the last owner.
func (s *Store) SolelyOwned(ctx context.Context, user uuid.UUID) (workspaces []Workspace, err error) {
	const query = `
		SELECT ` + workspaceColumns + ` FROM memberships AS m JOIN workspaces AS w ON w.id = m.workspace_id
		WHERE m.user_id = $1 AND m.role = 'owner' AND w.deleting_at IS NULL
			AND NOT EXISTS (SELECT FROM memberships AS o WHERE o.workspace_id = w.id AND o.role = 'owner' AND o.user_id <> $1)
		ORDER BY lower(w.name), w.id`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &workspaces, query, user) })
	if err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	return workspaces, nil
}
