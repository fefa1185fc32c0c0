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

// listed are the columns of a Listed.
const listed = `d.id, d.webhook_key_id, d.source, d.source_ref, d.event_type, d.received_at, d.body_size,
	CASE WHEN $2 THEN substr(d.body, 1, $3) END AS preview, d.erasure_id IS NOT NULL AS erased`

// List returns a window of a workspace's signals.
func (s *Store) List(ctx context.Context, workspace uuid.UUID, w Window) (signals []Listed, err error) {
	if w.Suspect {
		return s.listSuspect(ctx, workspace, w)
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) (err error) {
		if w.Key != nil {
			signals, err = listOfKey(ctx, tx, workspace, w)
		} else {
			signals, err = listAll(ctx, tx, workspace, w)
		}
		if err != nil {
			return err
		}
		return noteMarked(ctx, tx, workspace, signals)
	})
	if err != nil {
		return nil, fmt.Errorf("list signals: %w", err)
	}
	if w.After != nil {
		slices.Reverse(signals)
	}
	return signals, nil
}

// listAll follows the order that readers follow, so that no request that made no
// signal is looked at. What is older than a signal that is gone is gone too.
func listAll(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, w Window) (signals []Listed, err error) {
	const query = `
		WITH page AS MATERIALIZED (
			SELECT s.id, s.epoch, s.commit_xid FROM signals AS s
			WHERE s.workspace_id = $1 %s
			ORDER BY s.epoch %[2]s, s.commit_xid %[2]s, s.id %[2]s LIMIT $4)
		SELECT ` + listed + ` FROM page AS s JOIN deliveries AS d ON d.id = s.id
		ORDER BY s.epoch %[2]s, s.commit_xid %[2]s, s.id %[2]s`
	args := []any{workspace, w.Payloads, previewBytes, w.Limit}
	from, sign, order := w.Before, "<", "DESC"
	if w.After != nil {
		from, sign, order = w.After, ">", "ASC"
	}
	condition := ""
	if from != nil {
		place, found, err := placeOf(ctx, tx, workspace, *from)
		if err != nil || !found && w.After == nil {
			return nil, err
		}
		epoch, xid, id := place.args()
		condition, args = `AND (s.epoch, s.commit_xid, s.id) `+sign+` ($5::integer, $6::xid8, $7::uuid)`, append(args, epoch, xid, id)
	}
	err = tx.SelectContext(ctx, &signals, fmt.Sprintf(query, condition, order), args...)
	return signals, err
}

// placeOf returns where a signal is in the order; the front, if it is gone.
func placeOf(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (place Position, found bool, err error) {
	const query = `SELECT epoch, commit_xid, id AS signal_id FROM signals WHERE workspace_id = $1 AND id = $2`
	err = tx.GetContext(ctx, &place, query, workspace, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Position{}, false, nil
	}
	return place, err == nil, err
}

// listOfKey looks only where the key has accepted something, however many
// requests it refused or found repeated before and after.
func listOfKey(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, w Window) (signals []Listed, err error) {
	query := `
		SELECT ` + listed + ` FROM deliveries AS d
		WHERE d.workspace_id = $1 AND d.webhook_key_id = $5 AND d.id >= uuid_floor($6) AND d.id < uuid_floor($7) AND d.outcome = 'accepted'
			AND (SELECT s.workspace_id FROM signals AS s WHERE s.id = d.id) = $1 ` // each by itself: a join may begin at the wrong end
	first, last, found, err := acceptedHours(ctx, tx, workspace, *w.Key)
	if err != nil || !found {
		return nil, err
	}
	args := []any{workspace, w.Payloads, previewBytes, w.Limit, *w.Key, first.Add(-skew), last.Add(time.Hour + skew)}
	order := "DESC"
	switch {
	case w.Before != nil:
		query, args = query+`AND d.id < $8 `, append(args, *w.Before)
	case w.After != nil:
		query, args, order = query+`AND d.id > $8 `, append(args, *w.After), "ASC"
	}
	err = tx.SelectContext(ctx, &signals, query+`ORDER BY d.id `+order+` LIMIT $4`, args...)
	return signals, err
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
