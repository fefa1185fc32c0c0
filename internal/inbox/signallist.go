package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
)

// previewBytes is how much of a body a list shows.
const previewBytes = 240

// A Listed is a signal in a list, with the beginning of its body.
type Listed struct {
	ID         uuid.UUID  `db:"id"`
	KeyID      *uuid.UUID `db:"webhook_key_id"`
	Source     string     `db:"source"`
	SourceRef  *string    `db:"source_ref"`
	EventType  string     `db:"event_type"`
	ReceivedAt time.Time  `db:"received_at"`
	BodySize   int64      `db:"body_size"`
	Preview    []byte     `db:"preview"` // nil where it was not asked for
	Suspect    bool       `db:"suspect"`
	Erased     bool       `db:"erased"`
}

// A Window is a part of a list of signals, the newest first.
type Window struct {
	Key      *uuid.UUID // of this key alone
	Before   *uuid.UUID // older than this signal
	After    *uuid.UUID // newer than this one; not with Before
	Limit    int
	Payloads bool // whether who asks may see bodies
	Suspect  bool // those alone that are marked so
}

// List returns a window of a workspace's signals.
func (s *Store) List(ctx context.Context, workspace uuid.UUID, w Window) (signals []Listed, err error) {
	if w.Suspect {
		return s.listSuspect(ctx, workspace, w)
	}
	const query = `
		SELECT d.id, d.webhook_key_id, d.source, d.source_ref, d.event_type, d.received_at, d.body_size,
			CASE WHEN $2 THEN substr(d.body, 1, $3) END AS preview
		FROM deliveries AS d
		WHERE d.workspace_id = $1 AND d.outcome = 'accepted' AND EXISTS (SELECT FROM signals AS s WHERE s.id = d.id AND s.workspace_id = $1) `
	args := []any{workspace, w.Payloads, previewBytes, w.Limit}
	more, order := "", "DESC"
	for _, part := range []struct {
		value     *uuid.UUID
		condition string
	}{{w.Key, "AND d.webhook_key_id = $%d "}, {w.Before, "AND d.id < $%d "}, {w.After, "AND d.id > $%d "}} {
		if part.value != nil {
			args = append(args, *part.value)
			more += fmt.Sprintf(part.condition, len(args))
		}
	}
	if w.After != nil {
		order = "ASC"
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &signals, query+more+`ORDER BY d.id `+order+` LIMIT $4`, args...); err != nil {
			return err
		}
		return noteListed(ctx, tx, workspace, signals)
	})
	if err != nil {
		return nil, fmt.Errorf("list signals: %w", err)
	}
	if w.After != nil {
		slices.Reverse(signals)
	}
	return signals, nil
}

// Describe returns one signal without its body.
func (s *Store) Describe(ctx context.Context, workspace, id uuid.UUID) (Signal, error) {
	signal, _, err := s.Signal(ctx, workspace, id)
	signal.Body = nil
	return signal, err
}

// Open returns one signal with its body to a person, and records that they saw it.
func (s *Store) Open(ctx context.Context, by audit.Actor, id uuid.UUID) (signal Signal, err error) {
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if signal, _, err = readSignal(ctx, tx, by.WorkspaceID, id); err != nil {
			return err
		}
		target := audit.Target{Kind: "signal", ID: id.String(), Label: signal.Source}
		return audit.Record(ctx, tx, by, audit.PayloadViewed, target, nil, nil)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Signal{}, errNoSignal
	}
	if err != nil {
		return Signal{}, fmt.Errorf("open a signal: %w", err)
	}
	return signal, nil
}
