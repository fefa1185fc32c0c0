package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// errTokenInvalid is the one answer to whatever is not a token that works now.
var errTokenInvalid = fault.New(fault.Unauthenticated, "The token is missing or does not hold.")

const validToken = `t.is_active AND coalesce(t.expires_at > statement_timestamp(), true)`

// AuthenticateToken returns the token that a program presents. A text that can't
// be one costs no look-up. Unknown, inactive and expired ones have one error.
func (s *Store) AuthenticateToken(ctx context.Context, text string) (token Token, err error) {
	const query = `SELECT ` + tokenColumns + ` FROM tokens AS t WHERE t.hash = $1 AND ` + validToken
	if !tokenForm(text) {
		return Token{}, errTokenInvalid
	}
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &token, query, hash(text)) })
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, errTokenInvalid
	}
	if err != nil {
		return Token{}, fmt.Errorf("look up a token: %w", err)
	}
	return token, nil
}

// tokenForm tells whether a text has a token's form and checksum.
func tokenForm(text string) bool {
	body, ok := strings.CutPrefix(text, tokenPrefix)
	return ok && len(text) == apiKeyLen && strings.Trim(body, alphabet) == "" && checksum(body[:randomLen]) == body[randomLen:]
}

// ReadingTokens returns the tokens of all workspaces that may read signals now.
func (s *Store) ReadingTokens(ctx context.Context) (ids []uuid.UUID, err error) {
	const query = `SELECT t.id FROM tokens AS t WHERE $1 = ANY (t.scopes) AND ` + validToken
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &ids, query, string(ReadSignals)) })
	if err != nil {
		return nil, fmt.Errorf("list the tokens that may read: %w", err)
	}
	return ids, nil
}

// ValidTokens returns those of ids that work now.
func (s *Store) ValidTokens(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	const query = `SELECT t.id FROM tokens AS t WHERE t.id = ANY ($1) AND ` + validToken
	var found []uuid.UUID
	err := s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &found, query, pq.Array(ids)) })
	if err != nil {
		return nil, fmt.Errorf("look tokens up again: %w", err)
	}
	valid := map[uuid.UUID]bool{}
	for _, id := range found {
		valid[id] = true
	}
	return valid, nil
}

// MarkTokensUsed moves the times of last use forward, as part of tx. It returns
// the tokens that are there, and keeps them there until tx ends.
func MarkTokensUsed(ctx context.Context, tx *sqlx.Tx, uses map[uuid.UUID]time.Time) (there []uuid.UUID, err error) {
	const lock = `SELECT id FROM tokens WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`
	const update = `
		UPDATE tokens AS t SET last_used_at = u.at FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at)
		WHERE t.id = u.id AND coalesce(t.last_used_at < u.at, true)`
	var ids []uuid.UUID
	var times []time.Time
	for id, at := range uses {
		ids, times = append(ids, id), append(times, at)
	}
	if err = tx.SelectContext(ctx, &there, lock, pq.Array(ids)); err == nil {
		_, err = tx.ExecContext(ctx, update, pq.Array(ids), pq.Array(times))
	}
	if err != nil {
		return nil, fmt.Errorf("mark tokens used: %w", err)
	}
	return there, nil
}
