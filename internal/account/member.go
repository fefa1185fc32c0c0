package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// A Member is a user in a workspace.
type Member struct {
	User      User      `db:"user"`
	Workspace Workspace `db:"workspace"`
	Role      Role      `db:"role"`
}

// Inside confines what is asked with the context to the member's workspace. A request
// is let in by it.
func (m Member) Inside(ctx context.Context) context.Context {
	return postgres.InWorkspace(ctx, m.Workspace.ID)
}

const memberQuery = `
	SELECT ` + userInRow + `,
		w.id AS "workspace.id", w.name AS "workspace.name", w.slug AS "workspace.slug", w.created_at AS "workspace.created_at",
		w.auditors_see_payloads AS "workspace.auditors_see_payloads", w.keep_signals_days AS "workspace.keep_signals_days",
		w.keep_unread_days AS "workspace.keep_unread_days", w.keep_deliveries_days AS "workspace.keep_deliveries_days",
		w.keep_payloads_days AS "workspace.keep_payloads_days", w.require_second_factor AS "workspace.require_second_factor", m.role AS role
	FROM memberships AS m JOIN users AS u ON u.id = m.user_id JOIN workspaces AS w ON w.id = m.workspace_id `

// Member returns who a user is in the workspace with a slug. To a stranger the
// workspace does not exist.
func (s *Store) Member(ctx context.Context, user uuid.UUID, slug string) (Member, error) {
	const query = memberQuery + `WHERE m.user_id = $1 AND w.slug = $2 AND u.disabled_at IS NULL AND w.deleting_at IS NULL`
	if !validSlug(slug) {
		return Member{}, errNoWorkspace
	}
	var member Member
	err := s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &member, query, user, slug) })
	if errors.Is(err, sql.ErrNoRows) {
		return Member{}, errNoWorkspace
	}
	if err != nil {
		return Member{}, fmt.Errorf("find member: %w", err)
	}
	return member, nil
}

// WorkspacesOf lists a user's workspaces by name, with the role in each.
func (s *Store) WorkspacesOf(ctx context.Context, user uuid.UUID) ([]Member, error) {
	const query = memberQuery + `WHERE m.user_id = $1 AND w.deleting_at IS NULL ORDER BY lower(w.name), w.id`
	return s.members(postgres.Everywhere(ctx), query, user)
}

// Members lists who belongs to a workspace, by name.
func (s *Store) Members(ctx context.Context, workspace uuid.UUID) ([]Member, error) {
	const query = memberQuery + `WHERE m.workspace_id = $1 ORDER BY lower(u.name), u.id`
	return s.members(ctx, query, workspace)
}

func (s *Store) members(ctx context.Context, query string, id uuid.UUID) (members []Member, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &members, query, id) })
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return members, nil
}

// AddMember makes a user part of the workspace with a slug.
func (s *Store) AddMember(ctx context.Context, by audit.Actor, slug, email string, role Role) error {
	if !role.Known() {
		return fault.On("role", fault.Invalid, "A role is owner, admin, member or auditor.")
	}
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		workspace, err := workspaceBySlug(ctx, tx, slug)
		if err != nil {
			return err
		}
		user, err := userByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		return addMember(ctx, tx, by, workspace, user, role)
	})
	return conflict(err, "add member")
}

func addMember(ctx context.Context, tx *sqlx.Tx, by audit.Actor, workspace Workspace, user User, role Role) error {
	const insert = `INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)`
	if _, err := tx.ExecContext(ctx, insert, workspace.ID, user.ID, role); err != nil {
		return err
	}
	return recordMember(ctx, tx, by, audit.MemberAdded, workspace, user, nil, audit.Fields{"role": role})
}

// RemoveMember takes a user out of the workspace with a slug, see [Store.Remove].
func (s *Store) RemoveMember(ctx context.Context, by audit.Actor, slug, email string) error {
	var user User
	err := s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		workspace, err := workspaceBySlug(ctx, tx, slug)
		if err != nil {
			return err
		}
		by = by.In(workspace.ID)
		user, err = userByEmail(ctx, tx, email)
		return err
	})
	if err != nil {
		return conflict(err, "remove member")
	}
	return s.Remove(postgres.InWorkspace(ctx, by.WorkspaceID), by, user.ID)
}

// keepsAnOwner says whether a workspace has an owner other than user who can sign
// in, or does not have user as one. The workspace's lock makes those who go take turns.
func keepsAnOwner(ctx context.Context, tx *sqlx.Tx, workspace, user uuid.UUID) error {
	const lock = `SELECT id FROM workspaces WHERE id = $1 FOR NO KEY UPDATE`
	const owners = `
		SELECT count(*) FILTER (WHERE m.user_id = $2) = 0 OR count(*) FILTER (WHERE m.user_id <> $2 AND u.disabled_at IS NULL) > 0
		FROM memberships AS m JOIN users AS u ON u.id = m.user_id WHERE m.workspace_id = $1 AND m.role = 'owner'`
	var id uuid.UUID
	if err := tx.GetContext(ctx, &id, lock, workspace); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var keeps bool
	if err := tx.GetContext(ctx, &keeps, owners, workspace, user); err != nil {
		return err
	}
	if !keeps {
		return errLastOwner
	}
	return nil
}

func recordMember(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, workspace Workspace, user User, before, after audit.Fields) error {
	target := audit.Target{Kind: "member", ID: user.ID.String(), Label: user.Name}
	return audit.Record(ctx, tx, by.In(workspace.ID), action, target, before, after)
}
