package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
)

// The formats of an export.
const (
	NDJSON = "ndjson" // a JSON object a line
	CSV    = "csv"    // RFC 4180, with cells that no spreadsheet takes for a formula
)

// An Export says what is wanted. It can be asked for again from any row on: rows
// come in the order of their ids.
type Export struct {
	Filter   DeliveryFilter
	Stated   string // the filter as it was stated, for the audit trail
	Format   string
	After    uuid.UUID            // the last row that is there already; Nil: none
	Payloads bool                 // bodies too; whoever calls asks whether they may be seen
	KeyNames map[uuid.UUID]string // as they are now
}

// An Exported is how far an export came.
type Exported struct {
	Rows  int64
	Last  uuid.UUID // the last row; Nil: none, and none before
	Whole bool      // there was no more, and its end was written
}

const (
	exportPage  = 2000    // rows of a page
	exportFull  = 200     // rows of one with bodies
	exportBytes = 4 << 20 // of bodies in a page, and one more body
	exportScan  = 20_000  // rows that are looked at for a page
)

// Settled is how long after its beginning a request is certainly recorded, or never
// is: its body may come for 15 s, then it is answered within 2.5 s. Rows that are
// younger may still get one in front of them.
const Settled = 20 * time.Second

// Export writes the deliveries that are meant to w, the oldest first, as long as
// they began before it did. What was recorded by then is in it once. Each page is
// read in a transaction of its own, so that a slow reader holds up nothing; one page
// is in memory at a time.
//
// It is many transactions, unlike everything else here: the first records who
// exports what, and nothing is written before it; the last records how it ended,
// also where w or ctx ended it.
func (s *Store) Export(ctx context.Context, by audit.Actor, e Export, w io.Writer) (done Exported, err error) {
	if err := s.noteExport(ctx, by, audit.ExportBegun, e, audit.Fields{
		"filter": e.Stated, "format": e.Format, "payloads": e.Payloads, "after": idText(e.After),
	}); err != nil {
		return Exported{}, fmt.Errorf("export deliveries: %w", err)
	}
	done, err = s.writeExport(ctx, by.WorkspaceID, e, w)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	noted := s.noteExport(last, by, audit.ExportEnded, e, audit.Fields{"format": e.Format, "rows": done.Rows, "last": idText(done.Last), "whole": done.Whole})
	if err = errors.Join(err, noted); err != nil {
		return done, fmt.Errorf("export deliveries: %w", err)
	}
	return done, nil
}

func (s *Store) noteExport(ctx context.Context, by audit.Actor, action audit.Action, e Export, fields audit.Fields) error {
	return s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		return audit.Record(ctx, tx, by, action, audit.Target{Kind: "deliveries", ID: by.RequestID, Label: e.Stated}, nil, fields)
	})
}

func (s *Store) writeExport(ctx context.Context, workspace uuid.UUID, e Export, w io.Writer) (done Exported, err error) {
	began := time.Now()
	if bound := began.Add(2 * time.Second); e.Filter.Until.IsZero() || e.Filter.Until.After(bound) {
		e.Filter.Until = bound // clocks of several instances differ; without an end it might never come
	}
	format := formats[e.Format](e)
	done.Last = e.After
	text, at := format.head(nil), e.After
	for more := true; more; {
		var rows []exportRow
		if rows, at, more, err = s.exportPage(ctx, workspace, e, at); err != nil {
			return done, err
		}
		for i := range rows {
			text = format.row(text, &rows[i])
		}
		if !more {
			text = format.end(text, done.Rows+int64(len(rows)), continueAfter(rows, done.Last, began))
		}
		if _, err = w.Write(text); err != nil {
			return done, err
		}
		if done.Rows += int64(len(rows)); len(rows) > 0 {
			done.Last = rows[len(rows)-1].ID
		}
		text = text[:0]
	}
	done.Whole = true
	return done, nil
}

// continueAfter is from where a later export misses nothing: the last row, unless it
// is so young that one may yet appear in front of it. Then that export repeats some.
func continueAfter(rows []exportRow, last uuid.UUID, began time.Time) uuid.UUID {
	if len(rows) > 0 {
		last = rows[len(rows)-1].ID
	}
	if settled := floorOf(began.Add(-Settled)); idText(last) > idText(settled) {
		return settled
	}
	return last
}

// floorOf is the smallest UUIDv7 of a moment, as uuid_floor has it.
func floorOf(at time.Time) (id uuid.UUID) {
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6], id[8] = 0x70, 0x80
	return id
}

// idText is an id as text; "" for none. Texts are in the order of ids.
func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

type exportRow struct {
	Delivery
	Body []byte `db:"body"`
}

// exportPage reads the rows behind a place. It looks at a bounded number of rows
// however few are meant, so that no statement lasts long: at is where it got to.
func (s *Store) exportPage(ctx context.Context, workspace uuid.UUID, e Export, after uuid.UUID) (rows []exportRow, at uuid.UUID, more bool, err error) {
	limit, body := exportPage, "NULL::bytea"
	if e.Payloads {
		limit, body = exportFull, "d.body"
	}
	c := conditions{args: []any{after}}
	e.Filter.found(workspace, &c)
	from, lastArgs := ` FROM deliveries AS d WHERE d.id > $1 AND `+c.String(), c.args
	last := fmt.Sprintf(`SELECT d.id`+from+` ORDER BY d.id OFFSET %d LIMIT 1`, exportScan-1)
	meant := conditions{parts: []string{"TRUE"}, args: c.args}
	e.Filter.compared(&meant)
	args := meant.args
	page := fmt.Sprintf(`SELECT `+columns+`, body FROM (
			SELECT `+columns+`, `+body+` AS body, sum(d.body_size) OVER (ORDER BY d.id ROWS UNBOUNDED PRECEDING) - d.body_size AS ahead
			FROM (SELECT *`+from+` ORDER BY d.id LIMIT %d) AS d WHERE `, exportScan) + meant.String() + fmt.Sprintf(` ORDER BY d.id LIMIT %d) AS p
		WHERE ahead < %d ORDER BY id`, limit, aheadOf(e.Payloads))
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &rows, page, args...); err != nil {
			return err
		}
		var taken int64
		for i := range rows {
			taken += rows[i].BodySize
		}
		if len(rows) == limit || taken >= aheadOf(e.Payloads) {
			at, more = rows[len(rows)-1].ID, true
			return nil
		}
		var ids []uuid.UUID
		if err := tx.SelectContext(ctx, &ids, last, lastArgs...); err != nil || len(ids) == 0 {
			return err
		}
		at, more = ids[0], true
		return nil
	})
	if err != nil {
		return nil, at, false, fmt.Errorf("read a page: %w", err)
	}
	return rows, at, more, nil
}

// aheadOf is how many bytes of bodies a page may hold in front of its last row.
func aheadOf(payloads bool) int64 {
	if payloads {
		return exportBytes
	}
	return 1 << 60
}
