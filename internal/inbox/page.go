package inbox

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// PageBytes is about how much of bodies a page holds. A page has one signal at
// least, whatever its size.
const PageBytes = 2 << 20

// Read hands each the signals behind a position, at most limit and about PageBytes
// of them, and returns where they end; nil is the front. Nothing will ever appear
// between them, or between them and the position. A signal is valid until each
// returns. The error is an *ExpiredError where some are gone; with an error, what
// each was handed must not be told.
func (s *Store) Read(ctx context.Context, workspace uuid.UUID, after *Position, limit int, each func(*Signal)) (end Position, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		p := page{each: each, small: PageBytes / int64(limit)}
		if after != nil {
			p.end = *after
		}
		if err := p.read(ctx, tx, workspace, limit); err != nil {
			return err
		}
		if err := checkPlace(ctx, tx, workspace, after, &p); err != nil { // behind the reading: what went before it is known then
			return err
		}
		end = p.end
		return nil
	})
	if err != nil {
		return Position{}, fmt.Errorf("read signals: %w", err)
	}
	return end, nil
}

// A page is a part of a workspace's signals that is being read, in order. Bodies
// come with the rows as far as a page full of such can't be too much, so that the
// database need not add up sizes; the others are fetched once it is known which
// of them have room.
type page struct {
	each  func(*Signal)
	small int64 // bytes of a body that comes with its row
	count int   // signals that were handed on
	bytes int64 // of the bodies of all that have room
	end   Position
	later []Signal // from the first whose body is to be fetched
}

// pageQuery hides in subqueries what places are compared with: a planner that knew
// the epoch, which all signals share, would take it that next to nothing is behind
// it, and sort all of a workspace rather than follow the index.
const pageQuery = `
	SELECT record_send(ROW(s.id, s.webhook_key_id, s.source, s.source_ref, s.received_at, s.epoch, s.commit_xid,
		coalesce(d.auth_method, 'none'), d.credential_generation, coalesce(d.content_type, ''), coalesce(d.headers, '{}'),
		coalesce(d.event_type, ''), coalesce(d.body_size, 0), d.body_sha256, CASE WHEN d.body_size <= $6 THEN d.body END,
		` + suspectColumn + `, ` + erasedColumn + `))
	FROM (
		SELECT s.id, s.webhook_key_id, s.source, s.source_ref, s.received_at, s.epoch, s.commit_xid FROM signals AS s
		WHERE s.workspace_id = $1 AND (s.epoch, s.commit_xid, s.id) > ((SELECT $2::integer), (SELECT $3::xid8), (SELECT $4::uuid)) AND ` + ended + `
		ORDER BY s.epoch, s.commit_xid, s.id LIMIT $5) AS s
	LEFT JOIN deliveries AS d ON d.id = s.id
	ORDER BY s.epoch, s.commit_xid, s.id`

// read hands on one page.
func (p *page) read(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, limit int) error {
	epoch, xid, id := p.end.args()
	var signal Signal
	err := postgres.QueryRecords(ctx, tx, pageQuery, func(r *postgres.Record) error {
		if err := signal.read(r); err != nil {
			return err
		}
		p.add(&signal)
		return nil
	}, workspace, epoch, xid, id, limit, p.small)
	if err != nil {
		return err
	}
	return p.fetch(ctx, tx)
}

// add takes a signal if it has room.
func (p *page) add(signal *Signal) {
	if p.bytes >= PageBytes {
		return
	}
	p.bytes += signal.BodySize
	if len(p.later) == 0 && signal.BodySize <= p.small {
		p.hand(signal)
		return
	}
	kept := *signal
	kept.SHA256, kept.Body = bytes.Clone(signal.SHA256), bytes.Clone(signal.Body)
	p.later = append(p.later, kept)
}

func (p *page) hand(signal *Signal) {
	p.each(signal)
	p.count++
	p.end = signal.Position
}

// fetch hands on the signals from the first large one. The page ends in front of
// one that was forgotten meanwhile.
func (p *page) fetch(ctx context.Context, tx *sqlx.Tx) error {
	const query = `SELECT record_send(ROW(d.id, d.body)) FROM deliveries AS d WHERE d.id = ANY($1)`
	var ids []uuid.UUID
	for i := range p.later {
		if p.later[i].BodySize > p.small {
			ids = append(ids, p.later[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	bodies := make(map[uuid.UUID][]byte, len(ids))
	err := postgres.QueryRecords(ctx, tx, query, func(r *postgres.Record) error {
		bodies[r.UUID()] = bytes.Clone(r.Bytes())
		return nil
	}, pq.Array(ids))
	if err != nil {
		return err
	}
	for i := range p.later {
		signal := &p.later[i]
		if signal.BodySize > p.small {
			var there bool
			if signal.Body, there = bodies[signal.ID]; !there {
				return nil
			}
		}
		p.hand(signal)
	}
	return nil
}

// read takes a signal from the columns of a row in page.read. What is mostly the
// same from row to row is not made anew.
func (s *Signal) read(r *postgres.Record) error {
	s.ID = r.UUID()
	switch key := uuid.UUID(r.UUID()); {
	case key == uuid.Nil:
		s.KeyID = nil
	case s.KeyID == nil || *s.KeyID != key:
		s.KeyID = &key
	}
	renew(&s.Source, r.Bytes())
	s.SourceRef = nil
	if ref := r.Bytes(); ref != nil {
		text := string(ref)
		s.SourceRef = &text
	}
	s.ReceivedAt = r.Time()
	s.Position = Position{Epoch: int32(r.Int()), XID: uint64(r.Int()), ID: s.ID}
	renew(&s.Method, r.Bytes())
	s.Generation = nil
	if n, there := r.IntOrNull(); there {
		generation := int(n)
		s.Generation = &generation
	}
	renew(&s.ContentType, r.Bytes())
	renew(&s.Headers, r.JSON())
	renew(&s.EventType, r.Bytes())
	s.BodySize, s.SHA256, s.Body = r.Int(), r.Bytes(), r.Bytes()
	return s.note(r.Bytes(), r.Bytes())
}

// renew changes a text that is another one.
func renew[T ~string](text *T, to []byte) {
	if string(*text) != string(to) {
		*text = T(to)
	}
}

var errAhead = fault.On("after", fault.Invalid, "The cursor is ahead of every signal: the database went back to an earlier state since it was given out. Start again without a cursor.")

// checkPlace says whether a page is whole. One from the front, if it is empty, ends
// where the signals begin that are kept.
func checkPlace(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, after *Position, p *page) error {
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
	case after == nil && p.count == 0:
		p.end = floor
	case after == nil:
	case ahead:
		return errAhead
	case from.Compare(floor) < 0:
		return &ExpiredError{Oldest: floor}
	}
	return nil
}
