package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// A Scope is something that a token allows.
type Scope string

// ReadSignals lets a program read what arrived.
const ReadSignals Scope = "read-signals"

// Scopes lists all scopes.
func Scopes() []Scope { return []Scope{ReadSignals} }

// A Token lets a program use the API of one workspace. It does not hold what the
// program presents.
type Token struct {
	ID            uuid.UUID      `db:"id"`
	WorkspaceID   uuid.UUID      `db:"workspace_id"`
	Name          string         `db:"name"`
	Scopes        pq.StringArray `db:"scopes"`
	Hint          string         `db:"hint"`
	Active        bool           `db:"is_active"`
	CreatedAt     time.Time      `db:"created_at"`
	CreatedBy     *uuid.UUID     `db:"created_by"` // nil once that user is gone, or for a command
	CreatedByName string         `db:"created_by_name"`
	ExpiresAt     *time.Time     `db:"expires_at"` // nil: never
	LastUsedAt    *time.Time     `db:"last_used_at"`
}

// Can reports whether the token allows something.
func (t Token) Can(scope Scope) bool { return slices.Contains(t.Scopes, string(scope)) }

// Reads reports whether the token may read signals at a moment: then they wait for
// it.
func (t Token) Reads(now time.Time) bool {
	return t.Active && (t.ExpiresAt == nil || now.Before(*t.ExpiresAt)) && t.Can(ReadSignals)
}

// StatusAt returns the token's status at a moment.
func (t Token) StatusAt(now time.Time) Status {
	return Key{Active: t.Active, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt}.StatusAt(now)
}

const tokenColumns = `t.id, t.workspace_id, t.name, t.scopes, t.hint, t.is_active, t.created_at, t.created_by, t.expires_at, t.last_used_at,
	coalesce((SELECT u.name FROM users AS u WHERE u.id = t.created_by), '') AS created_by_name`

var errNoToken = fault.New(fault.NotFound, "There is no such token.")

// Tokens lists the tokens of a workspace by name.
func (s *Store) Tokens(ctx context.Context, workspace uuid.UUID) (tokens []Token, err error) {
	const query = `SELECT ` + tokenColumns + ` FROM tokens AS t WHERE t.workspace_id = $1 ORDER BY lower(t.name), t.id`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &tokens, query, workspace) })
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return tokens, nil
}

// FindToken returns a token of the workspace.
func (s *Store) FindToken(ctx context.Context, workspace, id uuid.UUID) (token Token, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		token, err = findToken(ctx, tx, workspace, id, "")
		return err
	})
	if err != nil {
		return Token{}, fmt.Errorf("find token: %w", err)
	}
	return token, nil
}

func findToken(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID, locking string) (token Token, err error) {
	const query = `SELECT ` + tokenColumns + ` FROM tokens AS t WHERE t.workspace_id = $1 AND t.id = $2 `
	err = tx.GetContext(ctx, &token, query+locking, workspace, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, errNoToken
	}
	return token, err
}

// DeactivateToken makes a token stop working. Once it has returned, no request
// with it that starts later is answered. It reports whether the token was active.
func (s *Store) DeactivateToken(ctx context.Context, by audit.Actor, id uuid.UUID) (changed bool, err error) {
	return s.setTokenActive(ctx, by, id, false, audit.TokenDeactivated)
}

// ReactivateToken undoes DeactivateToken. An expired token stays expired.
func (s *Store) ReactivateToken(ctx context.Context, by audit.Actor, id uuid.UUID) (changed bool, err error) {
	return s.setTokenActive(ctx, by, id, true, audit.TokenReactivated)
}

func (s *Store) setTokenActive(ctx context.Context, by audit.Actor, id uuid.UUID, active bool, action audit.Action) (changed bool, err error) {
	const update = `UPDATE tokens SET is_active = $3 WHERE workspace_id = $1 AND id = $2`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		token, err := findToken(ctx, tx, by.WorkspaceID, id, "FOR NO KEY UPDATE OF t")
		if err != nil || token.Active == active {
			return err
		}
		if _, err := tx.ExecContext(ctx, update, by.WorkspaceID, id, active); err != nil {
			return err
		}
		changed = true
		return recordToken(ctx, tx, by, action, token, audit.Fields{"active": !active}, audit.Fields{"active": active})
	})
	if err != nil {
		return false, tokenConflict(err, string(action))
	}
	return changed, nil
}

func recordToken(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, token Token, before, after audit.Fields) error {
	return audit.Record(ctx, tx, by, action, audit.Target{Kind: "token", ID: token.ID.String(), Label: token.Name}, before, after)
}

func tokenConflict(err error, doing string) error {
	switch {
	case postgres.Violates(err, "tokens_name_unique"):
		return fault.On("name", fault.Conflict, "Another token has that name. Add what makes this one different.")
	case postgres.Violates(err, "tokens_workspace_id_fkey"):
		return fault.New(fault.NotFound, "There is no such workspace.")
	}
	return fmt.Errorf("%s: %w", doing, err)
}
