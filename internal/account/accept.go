package account

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/internal/postgres"
)

var (
	errInvitationGone = fault.New(fault.NotFound, "This invitation was used or withdrawn, or its time is over.")
	errOtherAddress   = fault.New(fault.Forbidden, "This invitation is for somebody with another e-mail address.")
)

// usable is the part of a query that finds the invitation with a token, as long as
// its link is good and whoever made it could make it now.
const usable = invitationQuery + `
	AND i.token_hash = $1 AND i.expires_at > now() AND b.disabled_at IS NULL AND EXISTS (
		SELECT FROM memberships AS m WHERE m.workspace_id = i.workspace_id AND m.user_id = i.invited_by
			AND (m.role = 'owner' OR m.role = 'admin' AND i.role <> 'owner'))`

// InvitationOf returns the invitation that a token opens. It uses nothing up:
// whoever only looks at a link, a mail scanner say, does no harm. A link that is
// used, withdrawn, too old or made up gives the same fault NotFound.
func (s *Store) InvitationOf(ctx context.Context, token string) (open Invitation, err error) {
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &open, usable, tokenHash(token)) })
	if errors.Is(err, sql.ErrNoRows) {
		err = errInvitationGone
	}
	return open, conflict(err, "find invitation")
}

// use uses an invitation up. The workspace is locked first, as everybody does who
// changes its members.
func use(ctx context.Context, tx *sqlx.Tx, token string) (Invitation, error) {
	const lock = `SELECT w.id FROM workspaces AS w WHERE w.id = $1 AND w.deleting_at IS NULL FOR NO KEY UPDATE`
	const update = `UPDATE invitations SET used_at = now() WHERE id = $1`
	var open Invitation
	err := tx.GetContext(ctx, &open, usable, tokenHash(token))
	if err == nil {
		err = tx.GetContext(ctx, &open.WorkspaceID, lock, open.WorkspaceID)
	}
	if err == nil {
		err = tx.GetContext(ctx, &open, usable+` FOR UPDATE OF i`, tokenHash(token))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return open, errInvitationGone
	}
	if err != nil {
		return open, err
	}
	_, err = tx.ExecContext(ctx, update, open.ID)
	return open, err
}

// Accept makes somebody who is signed in a member, by a link for their address.
func (s *Store) Accept(ctx context.Context, by audit.Actor, user User, token string) (joined Invitation, err error) {
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if joined, err = use(ctx, tx, token); err != nil {
			return err
		}
		if joined.UserID == nil || *joined.UserID != user.ID {
			return errOtherAddress
		}
		return join(ctx, tx, by, joined, user)
	})
	return joined, conflict(err, "accept invitation")
}

// Join makes a user with the address of an invitation and a member of them, and
// returns the token of their first session.
func (s *Store) Join(ctx context.Context, by audit.Actor, token, name, password, userAgent string) (session string, joined Invitation, err error) {
	open, err := s.InvitationOf(ctx, token)
	if err != nil {
		return "", open, err
	}
	var faults []*fault.Error
	if f := checkName("name", name); f != nil {
		faults = append(faults, f)
	}
	if f := checkPassword(password, open.Email, name); f != nil {
		faults = append(faults, f)
	}
	if err := fault.Join(faults); err != nil {
		return "", open, err
	}
	phc, err := s.newPassword(ctx, password, open.Email, name)
	if err != nil {
		return "", open, err
	}
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if joined, err = use(ctx, tx, token); err != nil {
			return err
		}
		user, err := addUser(ctx, tx, joined.Email, oneline.Fold(name), phc)
		if err != nil {
			return err
		}
		by.Kind, by.UserID, by.Label = audit.User, user.ID, user.Name
		if err := join(ctx, tx, by, joined, user); err != nil {
			return err
		}
		if err := recordNewUser(ctx, tx, by, user); err != nil {
			return err
		}
		if session, err = newSession(ctx, tx, user.ID, byPassword, by.Address, userAgent); err != nil {
			return err
		}
		return recordSignIn(ctx, tx, by, audit.SignedIn, user)
	})
	return session, joined, conflict(err, "join workspace")
}

func join(ctx context.Context, tx *sqlx.Tx, by audit.Actor, joined Invitation, user User) error {
	workspace := Workspace{ID: joined.WorkspaceID, Name: joined.WorkspaceName, Slug: joined.WorkspaceSlug}
	if err := recordInvitation(ctx, tx, by, audit.InvitationUsed, joined, nil, audit.Fields{"role": joined.Role}); err != nil {
		return err
	}
	return addMember(ctx, tx, by, workspace, user, joined.Role)
}
