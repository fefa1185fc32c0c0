package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jmoiron/sqlx"
)

// A Cursor says where a page of entries begins: before a place, going back, or
// after one, coming forward. The zero Cursor is the newest page.
type Cursor struct{ Before, After int64 }

// A Page is a part of a chain, the newest entry first.
type Page struct {
	Entries      []Entry
	Newer, Older bool  // there may be more
	Reached      int64 // the search stopped there, and goes on before it; 0: it is complete
}

// Page lists entries of a chain. A search in texts looks at so many of them at a
// time.
func (s *Store) Page(ctx context.Context, chain string, f Filter, at Cursor, limit int) (page Page, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		in, err := f.within(ctx, tx, chain)
		if err != nil {
			return err
		}
		if at.After > 0 && at.Before == 0 {
			if page, err = f.newer(ctx, tx, chain, in, at.After, limit); err != nil || page.Newer {
				return err
			}
			at.Before = 0 // the newest page is a full one
		}
		page, err = f.older(ctx, tx, chain, in, at.Before, limit)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list entries of %s: %w", chain, err)
	}
	return page, nil
}

func (f Filter) newer(ctx context.Context, tx *sqlx.Tx, chain string, in span, after int64, limit int) (page Page, err error) {
	in.low = max(in.low, after)
	if f.Text != "" && in.low < math.MaxInt64-window {
		in.high = min(in.high, in.low+window)
	}
	if page.Entries, err = f.find(ctx, tx, chain, in, false, limit+1); err != nil {
		return page, err
	}
	page.Newer, page.Older = len(page.Entries) > limit, true
	page.Entries = page.Entries[:min(len(page.Entries), limit)]
	slices.Reverse(page.Entries)
	return page, nil
}

func (f Filter) older(ctx context.Context, tx *sqlx.Tx, chain string, in span, before int64, limit int) (page Page, err error) {
	if before > 0 {
		in.high, page.Newer = min(in.high, before), true
	}
	stop := in.low
	if f.Text != "" {
		last, err := lastOf(ctx, tx, chain)
		if err != nil {
			return page, err
		}
		in.high = min(in.high, last+1)
		in.low = max(in.low, in.high-window)
	}
	if page.Entries, err = f.find(ctx, tx, chain, in, true, limit+1); err != nil {
		return page, err
	}
	if page.Older = len(page.Entries) > limit; page.Older {
		page.Entries = page.Entries[:limit]
	} else if in.low > max(stop, 0) {
		page.Reached = in.low + 1
	}
	return page, nil
}

// portion is how many entries an export reads at once.
const portion = 500

// upTo calls use with each entry that f wants, in order, up to a place. Texts are
// looked through a window at a time.
func (s *Store) upTo(ctx context.Context, chain string, last int64, f Filter, use func(Entry) error) error {
	const next = `SELECT seq FROM audit_log WHERE chain = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT 1`
	for at := int64(math.MinInt64); at < last; {
		var entries []Entry
		end := last
		err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
			var first int64
			err := tx.GetContext(ctx, &first, next, chain, at, last)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if f.any() && first < last-window {
				end = first + window
			}
			entries, err = f.find(ctx, tx, chain, span{at, min(end, math.MaxInt64-1) + 1}, false, portion)
			return err
		})
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := use(entry); err != nil {
				return err
			}
		}
		if at = end; len(entries) == portion {
			at = entries[portion-1].Seq
		}
	}
	return nil
}

// A Person is somebody who is named in a trail, by the latest name there.
type Person struct {
	ID    string `db:"actor_id"`
	Label string `db:"actor_label"`
}

// People lists the users who did something in a chain. It reads a few rows for each
// of them, however much they did.
func (s *Store) People(ctx context.Context, chain string) ([]Person, error) {
	const query = `
		WITH RECURSIVE people AS (
			(SELECT actor_id, 1 AS n FROM audit_log WHERE chain = $1 AND actor_kind = 'user' ORDER BY actor_id LIMIT 1)
			UNION ALL
			SELECT (SELECT actor_id FROM audit_log WHERE chain = $1 AND actor_kind = 'user' AND actor_id > p.actor_id ORDER BY actor_id LIMIT 1), n + 1
			FROM people AS p WHERE p.actor_id IS NOT NULL AND n < 1000
		)
		SELECT p.actor_id, l.actor_label FROM people AS p CROSS JOIN LATERAL (
			SELECT actor_label FROM audit_log WHERE chain = $1 AND actor_kind = 'user' AND actor_id = p.actor_id ORDER BY seq DESC LIMIT 1) AS l
		WHERE p.actor_id IS NOT NULL ORDER BY lower(l.actor_label), p.actor_id`
	var people []Person
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &people, query, chain) })
	if err != nil {
		return nil, fmt.Errorf("list the people in %s: %w", chain, err)
	}
	return people, nil
}
