package account

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// ChangeRole gives a member of by's workspace another role. Their sessions end, so
// that what they have open is not what they were; invitations that they made and
// could not make now are withdrawn. The last owner stays one.
func (s *Store) ChangeRole(ctx context.Context, by audit.Actor, user uuid.UUID, to Role) error {
	if !to.Known() {
		return fault.On("role", fault.Invalid, "A role is owner, admin, member or auditor.")
	}
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, as, err := standingAs(ctx, tx, by, ManageMembers)
		if err != nil {
			return err
		}
		member, err := memberNow(ctx, tx, by.WorkspaceID, user)
		if err != nil || member.Role == to {
			return err
		}
		if !as.Manages(member.Role) || !as.Manages(to) {
			return errRole
		}
		if err := keepsAnOwner(ctx, tx, by.WorkspaceID, user); err != nil {
			return err
		}
		if by.UserID != user {
			if err := endSessions(ctx, tx, user); err != nil {
				return err
			}
		}
		return setRole(ctx, tx, by, member, to)
	})
	return conflict(err, "change role")
}

// setRole gives a member a role, and withdraws what they could not have made in it.
func setRole(ctx context.Context, tx *sqlx.Tx, by audit.Actor, member Member, to Role) error {
	const update = `UPDATE memberships SET role = $3 WHERE workspace_id = $1 AND user_id = $2`
	if _, err := tx.ExecContext(ctx, update, member.Workspace.ID, member.User.ID, to); err != nil {
		return err
	}
	if err := recordMember(ctx, tx, by, audit.RoleChanged, member.Workspace, member.User, audit.Fields{"role": member.Role}, audit.Fields{"role": to}); err != nil {
		return err
	}
	return withdrawMadeBy(ctx, tx, by, member, to)
}

// Remove takes a member out of by's workspace and ends their sessions. What they
// made stays. The last owner stays too.
func (s *Store) Remove(ctx context.Context, by audit.Actor, user uuid.UUID) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, as, err := standingAs(ctx, tx, by, ManageMembers)
		if err != nil {
			return err
		}
		member, err := memberNow(ctx, tx, by.WorkspaceID, user)
		if err != nil {
			return err
		}
		if !as.Manages(member.Role) {
			return errRole
		}
		if err := endSessions(ctx, tx, user); err != nil {
			return err
		}
		return removeMember(ctx, tx, by, member)
	})
	return conflict(err, "remove member")
}

// Leave takes whoever asks out of their workspace. The last owner stays.
func (s *Store) Leave(ctx context.Context, by audit.Actor) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, _, err := standing(ctx, tx, by); err != nil {
			return err
		}
		member, err := memberNow(ctx, tx, by.WorkspaceID, by.UserID)
		if err != nil {
			return err
		}
		return removeMember(ctx, tx, by, member)
	})
	return conflict(err, "leave workspace")
}

func removeMember(ctx context.Context, tx *sqlx.Tx, by audit.Actor, member Member) error {
	const remove = `DELETE FROM memberships WHERE workspace_id = $1 AND user_id = $2`
	if err := keepsAnOwner(ctx, tx, member.Workspace.ID, member.User.ID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, remove, member.Workspace.ID, member.User.ID); err != nil {
		return err
	}
	if err := recordMember(ctx, tx, by, audit.MemberRemoved, member.Workspace, member.User, audit.Fields{"role": member.Role}, nil); err != nil {
		return err
	}
	return withdrawMadeBy(ctx, tx, by, member, "")
}

// HandOver makes another member an owner of by's workspace, and whoever asks, an
// owner, an admin.
func (s *Store) HandOver(ctx context.Context, by audit.Actor, to uuid.UUID) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, _, err := standingAs(ctx, tx, by, DeleteWorkspace); err != nil {
			return err
		}
		if to == by.UserID {
			return fault.On("to", fault.Invalid, "You own it already. Choose somebody else.")
		}
		heir, err := memberNow(ctx, tx, by.WorkspaceID, to)
		if err != nil || heir.User.DisabledAt != nil {
			return fault.On("to", fault.Invalid, "Choose somebody who belongs to the workspace and can sign in.")
		}
		owner, err := memberNow(ctx, tx, by.WorkspaceID, by.UserID)
		if err != nil {
			return err
		}
		if heir.Role != Owner {
			if err := endSessions(ctx, tx, to); err != nil {
				return err
			}
			if err := setRole(ctx, tx, by, heir, Owner); err != nil {
				return err
			}
		}
		return setRole(ctx, tx, by, owner, Admin)
	})
	return conflict(err, "hand over workspace")
}
