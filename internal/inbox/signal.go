package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/fault"
)

// A Signal is an accepted event.
type Signal struct {
	ID          uuid.UUID
	KeyID       *uuid.UUID // nil once the key is gone
	Source      string
	SourceRef   *string // nil: the sender gave none
	EventType   string
	Method      Method
	Generation  *int
	ReceivedAt  time.Time
	ContentType string
	Headers     string // JSON object, allow-listed names only
	Body        []byte
	BodySize    int64
	SHA256      []byte
	Position    Position
	Suspect     *Suspicion // nil: it is not marked
	Erased      *Erasing   // nil: its body and headers were not taken away
}

// BodyGone tells that a body came and is not kept: every named reader has read it,
// and the key's log keeps less.
func (s *Signal) BodyGone() bool { return s.Erased == nil && s.BodySize > 0 && len(s.Body) == 0 }

// scan reads the columns of signalColumns.
func (s *Signal) scan(row interface{ Scan(...any) error }) error {
	var suspect, erased []byte
	err := row.Scan(&s.ID, &s.KeyID, &s.Source, &s.SourceRef, &s.ReceivedAt, &s.Position.Epoch, &s.Position.XID,
		&s.Method, &s.Generation, &s.ContentType, &s.Headers, &s.EventType, &s.BodySize, &s.SHA256, &s.Body, &suspect, &erased)
	if err != nil {
		return err
	}
	return s.note(suspect, erased)
}

// note takes in what people did to a signal, each JSON or nil.
func (s *Signal) note(suspect, erased []byte) error {
	s.Suspect, s.Erased = nil, nil
	if suspect != nil {
		if err := json.Unmarshal(suspect, &s.Suspect); err != nil {
			return err
		}
	}
	if erased != nil {
		return json.Unmarshal(erased, &s.Erased)
	}
	return nil
}

// ended is what may be read: whatever is in front of the oldest transaction that
// still runs. Of an earlier epoch nothing runs any more.
const ended = `(s.epoch, s.commit_xid) < ((SELECT epoch FROM instance), pg_snapshot_xmin(pg_current_snapshot()))`

// Newest returns the position of the last signal that may be read.
func (s *Store) Newest(ctx context.Context, workspace uuid.UUID) (newest Position, err error) {
	const query = `
		SELECT epoch, commit_xid, signal_id FROM (
			(SELECT s.epoch, s.commit_xid, s.id AS signal_id FROM signals AS s WHERE s.workspace_id = $1 AND ` + ended + `
				ORDER BY s.epoch DESC, s.commit_xid DESC, s.id DESC LIMIT 1)
			UNION ALL SELECT epoch, commit_xid, signal_id FROM signal_floors WHERE workspace_id = $1) AS last
		ORDER BY epoch DESC, commit_xid DESC, signal_id DESC LIMIT 1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &newest, query, workspace) })
	if errors.Is(err, sql.ErrNoRows) {
		return Position{}, nil
	}
	if err != nil {
		return Position{}, fmt.Errorf("find the newest signal: %w", err)
	}
	return newest, nil
}

var errNoSignal = fault.New(fault.NotFound, "There is no such signal.")

// Signal returns one signal of a workspace. placed is false while its place in the
// order may not be told yet.
func (s *Store) Signal(ctx context.Context, workspace, id uuid.UUID) (signal Signal, placed bool, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		signal, placed, err = readSignal(ctx, tx, workspace, id)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Signal{}, false, errNoSignal
	}
	if err != nil {
		return Signal{}, false, fmt.Errorf("read a signal: %w", err)
	}
	return signal, placed, nil
}

func readSignal(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (signal Signal, placed bool, err error) {
	const query = `
		SELECT s.id, s.webhook_key_id, s.source, s.source_ref, s.received_at, s.epoch, s.commit_xid,
			coalesce(d.auth_method, 'none'), d.credential_generation, coalesce(d.content_type, ''), coalesce(d.headers, '{}'),
			coalesce(d.event_type, ''), coalesce(d.body_size, 0), d.body_sha256, d.body, ` + suspectColumn + `, ` + erasedColumn + `, ` + ended + `
		FROM signals AS s LEFT JOIN deliveries AS d ON d.id = s.id
		WHERE s.workspace_id = $1 AND s.id = $2`
	err = signal.scan(alsoScan{tx.QueryRowContext(ctx, query, workspace, id), &placed})
	signal.Position.ID = signal.ID
	return signal, placed, err
}

// alsoScan reads one more column behind a signal's.
type alsoScan struct {
	row  *sql.Row
	more any
}

func (a alsoScan) Scan(into ...any) error { return a.row.Scan(append(into, a.more)...) }

// A Head is how far somebody has read a workspace.
type Head struct {
	Workspace uuid.UUID
	Position  Position
}

// WithNews returns the workspaces that have something to read behind their heads.
func (s *Store) WithNews(ctx context.Context, heads []Head) (news []uuid.UUID, err error) {
	const query = `
		SELECT h.workspace_id FROM unnest($1::uuid[], $2::integer[], $3::xid8[], $4::uuid[]) AS h (workspace_id, epoch, commit_xid, id)
		WHERE EXISTS (
			SELECT FROM signals AS s
			WHERE s.workspace_id = h.workspace_id AND (s.epoch, s.commit_xid, s.id) > (h.epoch, h.commit_xid, h.id) AND ` + ended + `)`
	var workspaces, ids []uuid.UUID
	var epochs []int32
	var xids []string
	for _, head := range heads {
		epoch, xid, id := head.Position.args()
		workspaces, epochs, xids, ids = append(workspaces, head.Workspace), append(epochs, epoch), append(xids, xid), append(ids, id)
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &news, query, pq.Array(workspaces), pq.Array(epochs), pq.Array(xids), pq.Array(ids))
	})
	if err != nil {
		return nil, fmt.Errorf("look for new signals: %w", err)
	}
	return news, nil
}
