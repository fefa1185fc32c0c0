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
)

// A Search asks for a part of the deliveries that a filter means.
type Search struct {
	DeliveryFilter
	Before uuid.UUID // older than this one; Nil: from the newest on
	After  uuid.UUID // newer than this one; not with Before
	Limit  int
}

// What one search looks at, if its filter compares rows. Both are asked between
// two stretches, of which the longest takes about one fourth of the time.
const (
	searchRows = 400_000
	searchTime = 800 * time.Millisecond
)

// The lengths of a stretch, in rows. Bodies may be large, so a search for text begins
// small.
const (
	firstStretch = 4_000
	firstBodies  = 200
	lastStretch  = 50_000
)

// Found is what a search found, the newest first.
type Found struct {
	Deliveries []Delivery
	More       bool      // there are more, beyond the last that was asked for
	Stopped    uuid.UUID // up to where it looked, if it gave up there; Nil: it looked everywhere or found enough
}

// Deliveries searches a workspace's deliveries. It never looks at more rows than it
// should: what it did not get to is told in Stopped.
func (s *Store) Deliveries(ctx context.Context, workspace uuid.UUID, search Search) (found Found, err error) {
	err = s.db.Read(search.scoped(ctx), func(tx *sqlx.Tx) error {
		found, err = searchIn(ctx, tx, workspace, search)
		return err
	})
	if err == nil && search.byAddress() {
		found.Deliveries, err = s.seen(ctx, found.Deliveries)
	}
	if err != nil {
		return Found{}, fmt.Errorf("search the deliveries: %w", err)
	}
	return found, nil
}

func searchIn(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, search Search) (found Found, err error) {
	began, looked, wanted := time.Now(), 0, search.Limit+1
	t := trip{search: search, tx: tx, workspace: workspace}
	if t.course, err = courseOf(ctx, tx, search.DeliveryFilter); err != nil {
		return Found{}, err
	}
	stretch := t.first()
	for at := search.start(); ; {
		since := time.Now()
		rows, end, err := t.stretch(ctx, at, stretch, wanted-len(found.Deliveries))
		if err != nil {
			return Found{}, err
		}
		found.Deliveries = append(found.Deliveries, rows...)
		looked += stretch
		if len(found.Deliveries) == wanted {
			found.Deliveries, found.More = found.Deliveries[:search.Limit], true
			break
		}
		if end == uuid.Nil {
			break
		}
		if at = end; looked >= searchRows || time.Since(began) > searchTime {
			found.Stopped = end
			break
		}
		stretch = nextStretch(stretch, time.Since(since))
	}
	if search.After != uuid.Nil {
		slices.Reverse(found.Deliveries)
	}
	return found, nil
}

// nextStretch grows while rows are looked at quickly.
func nextStretch(stretch int, took time.Duration) int {
	switch {
	case took < searchTime/16:
		return min(4*stretch, lastStretch)
	case took > searchTime/4:
		return max(stretch/2, firstBodies/4)
	}
	return stretch
}

// start is the delivery that the search goes on from; Nil: none.
func (s Search) start() uuid.UUID {
	if s.After != uuid.Nil {
		return s.After
	}
	return s.Before
}

// way is how the search goes: towards the older deliveries unless it is from one on
// towards the newer.
func (s Search) way() (beyond, order string) {
	if s.After != uuid.Nil {
		return ">", "ASC"
	}
	return "<", "DESC"
}

// A trip is one search in a workspace.
type trip struct {
	search Search
	course
	tx        *sqlx.Tx
	workspace uuid.UUID
}

// first is the length of the first stretch; 0: an index finds all that is meant.
func (t trip) first() int {
	var probe conditions
	switch {
	case !t.compare(&probe):
		return 0
	case t.rest.Text != "":
		return firstBodies
	}
	return firstStretch
}

// stretch reads what is meant of the next rows behind at. end is the last of those
// that were looked at; Nil if there are no more, or if enough were found before.
func (t trip) stretch(ctx context.Context, at uuid.UUID, length, wanted int) (rows []Delivery, end uuid.UUID, err error) {
	beyond, way := t.search.way()
	var c conditions
	t.follow(t.workspace, &c)
	t.beyond(t.workspace, &c, beyond, at)
	from, order := ` FROM deliveries AS d WHERE `+c.String(), t.order(way)
	if length == 0 {
		query := `SELECT ` + columns + from + order + ` LIMIT ` + c.arg(wanted)
		return rows, uuid.Nil, t.tx.SelectContext(ctx, &rows, query, c.args...)
	}
	meant := conditions{args: c.args}
	t.compare(&meant)
	// The rows come in the order of the inner query, and end when enough are found.
	query := `SELECT ` + columns + ` FROM (SELECT d.*` + from + order + ` LIMIT ` + meant.arg(length) + `) AS d WHERE ` + meant.String() + ` LIMIT ` + meant.arg(wanted)
	if err := t.tx.SelectContext(ctx, &rows, query, meant.args...); err != nil || len(rows) == wanted {
		return rows, uuid.Nil, err
	}
	end, err = endOf(ctx, t.tx, from, order, length, c.args)
	return rows, end, err
}

// endOf returns the last of the next rows that an index finds; Nil if there are fewer.
func endOf(ctx context.Context, tx *sqlx.Tx, from, order string, rows int, args []any) (end uuid.UUID, err error) {
	query := `SELECT d.id` + from + order + fmt.Sprintf(` LIMIT 1 OFFSET %d`, rows-1)
	err = tx.GetContext(ctx, &end, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, nil
	}
	return end, err
}
