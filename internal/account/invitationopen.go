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

var errNoInvitation = fault.New(fault.NotFound, "There is no such invitation. It may have been accepted or withdrawn.")

// openInvitation returns an open invitation of by's workspace that by may handle.
// The workspace is locked.
func openInvitation(ctx context.Context, tx *sqlx.Tx, by audit.Actor, id uuid.UUID) (Invitation, error) {
	const query = invitationQuery + `AND i.workspace_id = $1 AND i.id = $2 FOR UPDATE OF i`
	var open Invitation
	_, as, err := standingAs(ctx, tx, by, ManageMembers)
	if err != nil {
		return open, err
	}
	err = tx.GetContext(ctx, &open, query, by.WorkspaceID, id)
	if errors.Is(err, sql.ErrNoRows) {
		return open, errNoInvitation
	}
	if err == nil && !as.Manages(open.Role) {
		err = errRole
	}
	return open, err
}

// Renew makes another link for an invitation, as good as a first one, and answers
// for it. The old link opens nothing any more.
func (s *Store) Renew(ctx context.Context, by audit.Actor, id uuid.UUID) (renewed Invited, err error) {
	const update = `
		UPDATE invitations SET token_hash = $2, invited_by = $3, expires_at = now() + make_interval(secs => $4) WHERE id = $1 RETURNING expires_at`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		open, err := openInvitation(ctx, tx, by, id)
		if err != nil {
			return err
		}
		token, hash := newToken()
		before := open.ExpiresAt
		if err := tx.GetContext(ctx, &open.ExpiresAt, update, id, hash, by.UserID, InvitationLife.Seconds()); err != nil {
			return err
		}
		open.InvitedBy = by.Label
		renewed = Invited{Invitation: open, Token: token}
		return recordInvitation(ctx, tx, by, audit.InvitationRenewed, open, audit.Fields{"expires_at": before}, audit.Fields{"expires_at": open.ExpiresAt})
	})
	if err != nil {
		return Invited{}, conflict(err, "renew invitation")
	}
	return renewed, nil
}

// Withdraw ends an invitation: its link opens nothing any more.
func (s *Store) Withdraw(ctx context.Context, by audit.Actor, id uuid.UUID) (withdrawn Invitation, err error) {
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		withdrawn, err = openInvitation(ctx, tx, by, id)
		if err != nil {
			return err
		}
		return withdraw(ctx, tx, by, withdrawn)
	})
	return withdrawn, conflict(err, "withdraw invitation")
}

func withdraw(ctx context.Context, tx *sqlx.Tx, by audit.Actor, open Invitation) error {
	const update = `UPDATE invitations SET withdrawn_at = now() WHERE id = $1`
	if _, err := tx.ExecContext(ctx, update, open.ID); err != nil {
		return err
	}
	return recordInvitation(ctx, tx, by, audit.InvitationWithdrawn, open, audit.Fields{"email": open.Email, "role": open.Role}, nil)
}

// withdrawMadeBy withdraws the invitations that a member made and could not make
// in another role, or in none: a link is worth no more than who made it.
func withdrawMadeBy(ctx context.Context, tx *sqlx.Tx, by audit.Actor, member Member, now Role) error {
	const query = invitationQuery + `AND i.workspace_id = $1 AND i.invited_by = $2 ORDER BY i.id FOR UPDATE OF i`
	var open []Invitation
	if err := tx.SelectContext(ctx, &open, query, member.Workspace.ID, member.User.ID); err != nil {
		return err
	}
	for _, i := range open {
		if now.Manages(i.Role) {
			continue
		}
		if err := withdraw(ctx, tx, by, i); err != nil {
			return err
		}
	}
	return nil
}
