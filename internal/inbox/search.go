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

// The lengths of a stretch, in rows. Bodies may be large, so it begins small.
const (
	firstStretch = 200
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
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		found, err = searchIn(ctx, tx, workspace, search)
		return err
	})
	if err != nil {
		return Found{}, fmt.Errorf("search the deliveries: %w", err)
	}
	return found, nil
}

func searchIn(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, search Search) (found Found, err error) {
	began, looked, stretch := time.Now(), 0, firstStretch
	wanted := search.Limit + 1
	var probe conditions
	if !search.compared(&probe) {
		stretch = 0 // an index finds all of it
	}
	for at := search.start(); ; {
		since := time.Now()
		end, rows, err := readStretch(ctx, tx, workspace, search, at, stretch, wanted-len(found.Deliveries))
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
		return max(stretch/2, firstStretch/4)
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
func (s Search) way() (beyond, within, order string) {
	if s.After != uuid.Nil {
		return ">", "<=", "ASC"
	}
	return "<", ">=", "DESC"
}

// readStretch reads what is meant of the next rows behind at. end is the last of
// them; Nil if there are no more.
func readStretch(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, search Search, at uuid.UUID, stretch, wanted int) (end uuid.UUID, rows []Delivery, err error) {
	beyond, within, order := search.way()
	var c conditions
	search.found(workspace, &c)
	c.add(at != uuid.Nil, `d.id `+beyond+` $%[1]d`, at)
	if stretch > 0 {
		if end, err = endOf(ctx, tx, c, order, stretch); err != nil {
			return uuid.Nil, nil, err
		}
		c.add(end != uuid.Nil, `d.id `+within+` $%[1]d`, end)
		search.compared(&c)
	}
	query := `SELECT ` + columns + ` FROM deliveries AS d WHERE ` + c.String() + ` ORDER BY d.id ` + order + ` LIMIT ` + c.arg(wanted)
	if err := tx.SelectContext(ctx, &rows, query, c.args...); err != nil {
		return uuid.Nil, nil, err
	}
	return end, rows, nil
}

// endOf returns the last of the next rows that an index finds; Nil if there are fewer.
func endOf(ctx context.Context, tx *sqlx.Tx, c conditions, order string, rows int) (end uuid.UUID, err error) {
	query := `SELECT d.id FROM deliveries AS d WHERE ` + c.String() + ` ORDER BY d.id ` + order + ` LIMIT 1 OFFSET ` + fmt.Sprint(rows-1)
	err = tx.GetContext(ctx, &end, query, c.args...)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, nil
	}
	return end, err
}
