package account

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

var errSetUp = fault.New(fault.Conflict, "Keyhook is set up already: a user exists.")

// SetupLink returns the token of a link with which the first user and workspace
// can be made, while no user exists. Several may be open; one is enough.
func (s *Store) SetupLink(ctx context.Context) (token string, err error) {
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if err := noUserYet(ctx, tx); err != nil {
			return err
		}
		token, err = newLink(ctx, tx, PurposeSetUp, nil, linkLife)
		return err
	})
	if err != nil {
		return "", conflict(err, "make set-up link")
	}
	return token, nil
}

// noUserYet fails once there is a user. The lock makes those who set up at once
// take turns.
func noUserYet(ctx context.Context, tx *sqlx.Tx) error {
	const lock = `SELECT true FROM instance FOR NO KEY UPDATE`
	const query = `SELECT EXISTS (SELECT FROM users)`
	var locked, exists bool
	if err := tx.GetContext(ctx, &locked, lock); err != nil {
		return err
	}
	if err := tx.GetContext(ctx, &exists, query); err != nil {
		return err
	}
	if exists {
		return errSetUp
	}
	return nil
}

// SetUp makes the first user and their workspace with a set-up link, and returns
// the token of the user's first session: were that opened later it could fail
// later, and the link is used up. It happens once: of those who try at once, one
// succeeds.
func (s *Store) SetUp(ctx context.Context, by audit.Actor, link string, owner NewUser, workspaceName, userAgent string) (token string, workspace Workspace, err error) {
	if _, err := s.CheckLink(ctx, PurposeSetUp, link); err != nil {
		return "", Workspace{}, err
	}
	email, name, err := checkPerson(owner.Email, owner.Name)
	faults := []*fault.Error{}
	if f, ok := fault.Of(err); err != nil && ok {
		faults = append(faults, append([]*fault.Error{f}, f.More...)...)
	}
	if f := checkPassword(owner.Password, owner.Email, owner.Name); f != nil {
		faults = append(faults, f)
	}
	if f := checkName("workspace", workspaceName); f != nil {
		faults = append(faults, f)
	}
	if err := fault.Join(faults); err != nil {
		return "", Workspace{}, err
	}
	phc, err := s.newPassword(ctx, owner.Password, email, name)
	if err != nil {
		return "", Workspace{}, err
	}
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if err := noUserYet(ctx, tx); err != nil {
			return err
		}
		if _, err := useLink(ctx, tx, PurposeSetUp, link); err != nil {
			return err
		}
		by.Kind, by.ID, by.Label, by.WorkspaceID = audit.Link, "", "set-up link", uuid.Nil
		user, err := insertUser(ctx, tx, by, email, name, phc)
		if err != nil {
			return err
		}
		if err := recordUser(ctx, tx, by, audit.InstanceSetUp, user, nil, nil); err != nil {
			return err
		}
		by.Kind, by.UserID, by.Label = audit.User, user.ID, user.Name
		if workspace, err = createWorkspace(ctx, tx, by, workspaceName, user.ID); err != nil {
			return err
		}
		if token, err = newSession(ctx, tx, user.ID, byPassword, by.Address, userAgent); err != nil {
			return err
		}
		return recordSignIn(ctx, tx, by, audit.SignedIn, user)
	})
	if err != nil {
		return "", Workspace{}, conflict(err, "set up")
	}
	return token, workspace, nil
}
