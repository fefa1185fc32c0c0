package account

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

var (
	errNoMember  = fault.New(fault.NotFound, "That person does not belong to the workspace.")
	errRole      = fault.New(fault.Forbidden, "Your role in this workspace does not allow that.")
	errLastOwner = fault.New(fault.Conflict, "A workspace needs an owner. Make somebody else an owner first.")
)

// Manages reports whether somebody in the role r may bring in, change or take out
// somebody in another: owners everybody, admins all but owners.
func (r Role) Manages(other Role) bool {
	return r == Owner || r == Admin && other != Owner
}

// standing locks a workspace, so that those who change its members take turns, and
// returns the role that by has in it now: the one that the request began with may
// be gone. Who operates the instance stands as an owner does.
func standing(ctx context.Context, tx *sqlx.Tx, by audit.Actor) (Workspace, Role, error) {
	const lock = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.id = $1 AND w.deleting_at IS NULL FOR NO KEY UPDATE`
	var workspace Workspace
	err := tx.GetContext(ctx, &workspace, lock, by.WorkspaceID)
	if errors.Is(err, sql.ErrNoRows) {
		return workspace, "", errNoWorkspace
	}
	if err != nil || by.Kind == audit.CLI {
		return workspace, Owner, err
	}
	member, err := memberNow(ctx, tx, workspace.ID, by.UserID)
	if errors.Is(err, errNoMember) {
		return workspace, "", errNoWorkspace // to a stranger it does not exist
	}
	return workspace, member.Role, err
}

// standingAs is standing for what only some roles may do.
func standingAs(ctx context.Context, tx *sqlx.Tx, by audit.Actor, p Permission) (Workspace, Role, error) {
	workspace, as, err := standing(ctx, tx, by)
	if err == nil && !(Member{Role: as, Workspace: workspace}).Can(p) {
		err = errRole
	}
	return workspace, as, err
}

// memberNow returns a member of a workspace that is locked.
func memberNow(ctx context.Context, tx *sqlx.Tx, workspace, user uuid.UUID) (Member, error) {
	const query = memberQuery + `WHERE m.workspace_id = $1 AND m.user_id = $2`
	var member Member
	err := tx.GetContext(ctx, &member, query, workspace, user)
	if errors.Is(err, sql.ErrNoRows) {
		return member, errNoMember
	}
	return member, err
}
