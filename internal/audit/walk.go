package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// walked is how many entries are read from the database at a time.
const walked = 2000

const (
	aboutTarget = `
		SELECT ` + columns + ` FROM audit_log
		WHERE chain = $1 AND seq > $2 AND target_id = $3
		ORDER BY seq LIMIT $4`
	aboutKinds = `
		SELECT ` + columns + ` FROM audit_log
		WHERE chain = $1 AND seq > $2 AND target_kind = ANY (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))
		ORDER BY seq LIMIT $4`
)

// EachAbout calls use with every entry of a chain about one target, in order.
func (s *Store) EachAbout(ctx context.Context, chain, targetID string, use func(Entry) error) error {
	return s.parts(ctx, aboutTarget, chain, targetID, use)
}

// EachOf calls use with every entry of a chain about some kinds of targets, in order.
func (s *Store) EachOf(ctx context.Context, chain string, kinds []string, use func(Entry) error) error {
	list, err := json.Marshal(kinds)
	if err != nil {
		return err
	}
	return s.parts(ctx, aboutKinds, chain, string(list), use)
}

// parts reads the entries of a query a part at a time, so that none takes longer
// than a statement may. Entries are only ever added behind the last one.
func (s *Store) parts(ctx context.Context, query, chain string, about any, use func(Entry) error) error {
	var after int64
	for {
		var entries []Entry
		err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &entries, query, chain, after, about, walked) })
		if err != nil {
			return fmt.Errorf("read entries of %s: %w", chain, err)
		}
		for _, entry := range entries {
			if err := use(entry); err != nil {
				return err
			}
			after = entry.Seq
		}
		if len(entries) < walked {
			return nil
		}
	}
}

// AboutUsers returns what the instance's chain tells of some people, by id: that
// they were made, disabled, enabled or deleted, and got or lost a second factor. Their sign-ins are left out.
func (s *Store) AboutUsers(ctx context.Context, ids []string) (entries []Entry, err error) {
	const query = `
		SELECT ` + columns + ` FROM audit_log
		WHERE chain = $1 AND target_id = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb))) AND target_kind = 'user'
			AND (before <> '' OR after <> '' OR action = $4) AND action <> $3
		ORDER BY seq`
	list, err := json.Marshal(append([]string{}, ids...))
	if err != nil {
		return nil, err
	}
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &entries, query, "instance", string(list), SignInRefused, SecondFactorRemoved)
	})
	if err != nil {
		return nil, fmt.Errorf("list entries about users: %w", err)
	}
	return entries, nil
}

// HeadOf returns where a chain ends, and HeadBefore where it ended at a moment: the
// last entry that was made before. A chain without any has the place 0.
func (s *Store) HeadOf(ctx context.Context, chain string) (Head, error) {
	const query = `SELECT chain, seq, hash FROM audit_heads WHERE chain = $1`
	return s.head(ctx, chain, query, chain)
}

// HeadBefore: see HeadOf.
func (s *Store) HeadBefore(ctx context.Context, chain string, moment time.Time) (Head, error) {
	const query = `
		SELECT chain, seq, hash FROM audit_log WHERE chain = $1 AND at COLLATE "C" < $2
		ORDER BY seq DESC LIMIT 1`
	return s.head(ctx, chain, query, chain, Stamp(moment))
}

func (s *Store) head(ctx context.Context, chain, query string, args ...any) (Head, error) {
	head := Head{Chain: chain}
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &head, query, args...) })
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Head{}, fmt.Errorf("find the head of %s: %w", chain, err)
	}
	return head, nil
}

// Newest returns the latest checkpoint; nil: none was signed yet.
func (s *Store) Newest(ctx context.Context) (*Checkpoint, error) {
	const query = `SELECT ` + checkpointColumns + ` FROM audit_checkpoints ORDER BY number DESC LIMIT 1`
	var row storedCheckpoint
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &row, query) })
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	point, err := row.checkpoint()
	return &point, err
}

// Stamp writes a moment as entries have it.
func Stamp(at time.Time) string { return at.UTC().Format(timeFormat) }
