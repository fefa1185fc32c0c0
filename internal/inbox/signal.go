package inbox

import (
	"context"
	"database/sql"
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
}

// scan reads the columns of signalColumns.
func (s *Signal) scan(row interface{ Scan(...any) error }) error {
	return row.Scan(&s.ID, &s.KeyID, &s.Source, &s.SourceRef, &s.ReceivedAt, &s.Position.Epoch, &s.Position.XID,
		&s.Method, &s.Generation, &s.ContentType, &s.Headers, &s.EventType, &s.BodySize, &s.SHA256, &s.Body)
}

// ended is what may be read: whatever is in front of the oldest transaction that
// still runs. Of an earlier epoch nothing runs any more.
const ended = `(s.epoch, s.commit_xid) < ((SELECT epoch FROM instance), pg_snapshot_xmin(pg_current_snapshot()))`

// behind is what comes after the position in $2, $3 and $4.
const behind = `(s.epoch, s.commit_xid, s.id) > ($2::integer, $3::xid8, $4::uuid)`

// A Page is a part of a workspace's signals, in order.
type Page struct {
	Signals []Signal
	End     Position // of the last signal; where to go on
}

// PageBytes is about how much of bodies a page holds. A page has one signal at
// least, whatever its size.
const PageBytes = 2 << 20

// Read returns the signals behind a position, at most limit and about PageBytes of
// them; nil is the front. Nothing will ever appear between them, or between them
// and the position. Its error is an *ExpiredError where some are gone.
func (s *Store) Read(ctx context.Context, workspace uuid.UUID, after *Position, limit int) (page Page, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		page = Page{}
		if after != nil {
			page.End = *after
		}
		if err := readPage(ctx, tx, workspace, &page, limit); err != nil {
			return err
		}
		return checkPlace(ctx, tx, workspace, after, &page) // behind the reading: what went before it is known then
	})
	if err != nil {
		return Page{}, fmt.Errorf("read signals: %w", err)
	}
	return page, nil
}

func readPage(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, page *Page, limit int) error {
	const query = `
		WITH page AS MATERIALIZED (
			SELECT s.id, s.webhook_key_id, s.source, s.source_ref, s.received_at, s.epoch, s.commit_xid FROM signals AS s
			WHERE s.workspace_id = $1 AND ` + behind + ` AND ` + ended + `
			ORDER BY s.epoch, s.commit_xid, s.id LIMIT $5)
		SELECT id, webhook_key_id, source, source_ref, received_at, epoch, commit_xid,
			auth_method, credential_generation, content_type, headers, event_type, body_size, body_sha256, body
		FROM (
			SELECT s.*, coalesce(d.auth_method, 'none') AS auth_method, d.credential_generation, coalesce(d.content_type, '') AS content_type,
				coalesce(d.headers, '{}') AS headers, coalesce(d.event_type, '') AS event_type, coalesce(d.body_size, 0) AS body_size,
				d.body_sha256, d.body, sum(coalesce(d.body_size, 0)::integer) OVER (ORDER BY s.epoch, s.commit_xid, s.id ROWS UNBOUNDED PRECEDING) AS bytes
			FROM page AS s LEFT JOIN deliveries AS d ON d.id = s.id) AS sized
		WHERE bytes - body_size < $6
		ORDER BY epoch, commit_xid, id`
	epoch, xid, id := page.End.args()
	rows, err := tx.QueryContext(ctx, query, workspace, epoch, xid, id, limit, PageBytes)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var signal Signal
		if err := signal.scan(rows); err != nil {
			return err
		}
		signal.Position.ID = signal.ID
		page.Signals, page.End = append(page.Signals, signal), signal.Position
	}
	return rows.Err()
}

var errAhead = fault.On("after", fault.Invalid, "The cursor is ahead of every signal: the database went back to an earlier state since it was given out. Start again without a cursor.")

// checkPlace says whether a page is whole. One from the front, if it is empty, ends
// where the signals begin that are kept.
func checkPlace(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, after *Position, page *Page) error {
	const query = `
		SELECT coalesce(f.epoch, 0), coalesce(f.commit_xid, '0'), coalesce(f.signal_id, '00000000-0000-0000-0000-000000000000'),
			($2::integer, $3::xid8) >= (i.epoch, pg_snapshot_xmin(pg_current_snapshot()))
		FROM instance AS i LEFT JOIN signal_floors AS f ON f.workspace_id = $1`
	var floor, from Position
	var ahead bool
	if after != nil {
		from = *after
	}
	epoch, xid, _ := from.args()
	if err := tx.QueryRowContext(ctx, query, workspace, epoch, xid).Scan(&floor.Epoch, &floor.XID, &floor.ID, &ahead); err != nil {
		return err
	}
	switch {
	case after == nil && len(page.Signals) == 0:
		page.End = floor
	case after == nil:
	case ahead:
		return errAhead
	case from.Compare(floor) < 0:
		return &ExpiredError{Oldest: floor}
	}
	return nil
}

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
			coalesce(d.event_type, ''), coalesce(d.body_size, 0), d.body_sha256, d.body, ` + ended + `
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
