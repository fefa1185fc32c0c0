package keyring

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// An Order is how a list of keys is sorted.
type Order string

// The orders. Keys of one rank stand by name.
const (
	ByUse      Order = ""          // the most requests first; see Window.Loads
	ByLastUsed Order = "last-used" // the latest first
	ByName     Order = "name"
	ByNewest   Order = "newest"
)

// A Load tells how much came in with a key.
type Load struct {
	Key      uuid.UUID
	Requests int64
}

// A Place is a key's place in a list. Under ByUse a list moves while it is read:
// a key whose rank changes between two pages may be on both of them, or on none.
type Place struct {
	Rank int64
	Key  uuid.UUID
}

// A Window is the part of a list that is read.
type Window struct {
	Order Order
	Loads []Load // of the keys that were used at all, for ByUse
	After *Place // the keys behind that one
	Until *Place // the keys in front of that one, unless After is set
	Limit int
}

// A Listing is a part of a list.
type Listing struct {
	Keys  []Key
	Total int    // how many there are in the whole list
	Prev  *Place // there are keys in front of that one; nil: there are none
	Next  *Place // there are keys behind that one
}

const (
	ranked = `
	WITH found AS MATERIALIZED (
		SELECT k.id, lower(k.name) AS folded,
			-CASE $8 WHEN 'name' THEN 0 WHEN 'newest' THEN (extract(epoch FROM k.created_at) * 1000000)::bigint
				WHEN 'last-used' THEN coalesce((extract(epoch FROM k.last_used_at) * 1000000)::bigint, -1)
				ELSE coalesce(l.requests, 0) END AS behind
		FROM webhook_keys AS k LEFT JOIN unnest($9::uuid[], $10::bigint[]) AS l (id, requests) ON l.id = k.id
		WHERE ` + meets + `
	), place AS (
		SELECT -$11::bigint AS behind, lower(k.name) AS folded, k.id FROM webhook_keys AS k WHERE k.workspace_id = $1 AND k.id = $12::uuid
	), page AS (
		SELECT f.behind, f.folded, f.id FROM found AS f `
	shown = `
	)
	SELECT ` + named + `, -p.behind AS rank, (SELECT count(*) FROM found) AS total
	FROM page AS p JOIN webhook_keys AS k ON k.id = p.id ORDER BY p.behind, p.folded, p.id`
	forward = ranked + `WHERE NOT EXISTS (SELECT FROM place) OR (f.behind, f.folded, f.id) > (SELECT behind, folded, id FROM place)
		ORDER BY f.behind, f.folded, f.id LIMIT $13` + shown
	backward = ranked + `WHERE NOT EXISTS (SELECT FROM place) OR (f.behind, f.folded, f.id) < (SELECT behind, folded, id FROM place)
		ORDER BY f.behind DESC, f.folded DESC, f.id DESC LIMIT $13` + shown
)

// Page returns a part of the list of the keys that meet a filter. A place of a key
// that the workspace does not have is none.
func (s *Store) Page(ctx context.Context, workspace uuid.UUID, filter Filter, w Window) (Listing, error) {
	query, place := forward, w.After
	if w.After == nil && w.Until != nil {
		query, place = backward, w.Until
	}
	if place == nil {
		place = &Place{}
	}
	ids, requests := make([]uuid.UUID, len(w.Loads)), make([]int64, len(w.Loads))
	for i, load := range w.Loads {
		ids[i], requests[i] = load.Key, load.Requests
	}
	args := append(filter.args(workspace), string(w.Order), pq.Array(ids), pq.Array(requests), place.Rank, place.Key, w.Limit+1)
	var rows []listed
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, query, args...) })
	if err != nil {
		return Listing{}, fmt.Errorf("list a page of keys: %w", err)
	}
	return listing(rows, w), nil
}

type listed struct {
	Key
	Rank  int64 `db:"rank"`
	Total int   `db:"total"`
}

func (l listed) place() *Place { return &Place{l.Rank, l.ID} }

// listing takes away the row that only tells that there are more.
func listing(rows []listed, w Window) (l Listing) {
	more, back := len(rows) > w.Limit, w.After == nil && w.Until != nil
	switch {
	case more && back:
		rows = slices.Delete(rows, 0, 1)
	case more:
		rows = rows[:w.Limit]
	}
	if len(rows) == 0 {
		return l
	}
	l.Total = rows[0].Total
	if first := rows[0]; w.After != nil || back && more {
		l.Prev = first.place()
	}
	if last := rows[len(rows)-1]; more && !back || back {
		l.Next = last.place()
	}
	for _, row := range rows {
		l.Keys = append(l.Keys, row.Key)
	}
	return l
}
