package audit

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

const columns = `chain, seq, at, actor_kind, actor_id, actor_label, action, target_kind, target_id,
	target_label, address, request_id, before, after, prev_hash, hash`

// A Store reads the trail.
type Store struct {
	db *postgres.DB
}

// NewStore returns a Store on db.
func NewStore(db *postgres.DB) *Store { return &Store{db: db} }

// Of lists the latest entries of a chain about one target, the newest first.
func (s *Store) Of(ctx context.Context, chain, targetID string, limit int) ([]Entry, error) {
	const query = `
		SELECT ` + columns + ` FROM audit_log
		WHERE chain = $1 AND target_id = $2
		ORDER BY seq DESC LIMIT $3`
	var entries []Entry
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &entries, query, chain, targetID, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list entries about %s: %w", targetID, err)
	}
	return entries, nil
}

// All lists at most limit entries of a chain in order, from the one after seq on.
func (s *Store) All(ctx context.Context, chain string, after int64, limit int) ([]Entry, error) {
	const query = `
		SELECT ` + columns + ` FROM audit_log
		WHERE chain = $1 AND seq > $2
		ORDER BY seq LIMIT $3`
	var entries []Entry
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &entries, query, chain, after, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list entries of %s: %w", chain, err)
	}
	return entries, nil
}
