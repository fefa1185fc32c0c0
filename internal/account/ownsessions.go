package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// An OpenSession is one of a user's sessions, as they may see it.
type OpenSession struct {
	ID         uuid.UUID `db:"id"`
	CreatedAt  time.Time `db:"created_at"`
	LastSeenAt time.Time `db:"last_seen_at"`
	Address    string    `db:"address"`
	UserAgent  string    `db:"user_agent"`
	WithCode   bool      `db:"with_code"` // signed in with a second factor
}

// Sessions lists a user's open sessions, the latest seen first.
func (s *Store) Sessions(ctx context.Context, user uuid.UUID) (sessions []OpenSession, err error) {
	const query = `
		SELECT id, created_at, last_seen_at, address, user_agent, methods LIKE '%code%' AS with_code FROM sessions
		WHERE user_id = $1 AND expires_at > now() AND last_seen_at > now() - make_interval(secs => $2)
		ORDER BY last_seen_at DESC, id LIMIT 200`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &sessions, query, user, SessionIdle.Seconds()) })
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return sessions, nil
}

// EndSession ends one of a user's own sessions; one that has ended is no fault.
func (s *Store) EndSession(ctx context.Context, by audit.Actor, user User, id uuid.UUID) error {
	const remove = `DELETE FROM sessions WHERE user_id = $1 AND id = $2`
	return s.endOwn(ctx, by, user, remove, user.ID, id)
}

// EndOtherSessions ends all of a user's sessions but the one called id, and whatever
// waits for a code.
func (s *Store) EndOtherSessions(ctx context.Context, by audit.Actor, user User, id uuid.UUID) error {
	const remove = `
		WITH steps AS (DELETE FROM sign_in_steps WHERE user_id = $1)
		DELETE FROM sessions WHERE user_id = $1 AND id <> $2`
	return s.endOwn(ctx, by, user, remove, user.ID, id)
}

func (s *Store) endOwn(ctx context.Context, by audit.Actor, user User, remove string, args ...any) error {
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, remove, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		return recordUser(ctx, tx, by, audit.SessionsEnded, user, nil, audit.Fields{"sessions": n})
	})
	return conflict(err, "end sessions")
}

// EndMemberSessions signs a member of the actor's workspace out everywhere and
// returns who that is. To somebody outside the workspace there is no such person;
// those of an owner only an owner ends.
func (s *Store) EndMemberSessions(ctx context.Context, by audit.Actor, id uuid.UUID) (user User, err error) {
	const query = memberQuery + `WHERE m.workspace_id = $1 AND m.user_id = $2`
	const count = `SELECT count(*) FROM sessions WHERE user_id = $1`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var member Member
		if err := tx.GetContext(ctx, &member, query, by.WorkspaceID, id); errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "That person does not belong to the workspace.")
		} else if err != nil {
			return err
		}
		if user = member.User; member.Role == Owner && by.Role != string(Owner) {
			return fault.New(fault.Forbidden, "Only an owner ends an owner’s sessions.")
		}
		var n int
		if err := tx.GetContext(ctx, &n, count, id); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, id); err != nil {
			return err
		}
		return recordMember(ctx, tx, by, audit.MemberSessionsEnded, member.Workspace, user, nil, audit.Fields{"sessions": n})
	})
	return user, conflict(err, "end a member's sessions")
}
