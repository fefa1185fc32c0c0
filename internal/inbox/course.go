package inbox

import (
	"context"
	"net/netip"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/postgres"
)

// A course is how a search goes through the rows: along one index that has those it
// finds in the order of their ids. All else that the filter says is compared row by
// row, so that no search is longer than it may be, however few rows are meant.
type course struct {
	found    DeliveryFilter // by the index
	rest     DeliveryFilter // compared
	address  string         // along the index of its address; "": along another
	refusals bool           // along the one that leaves accepted requests out
}

// byAddress tells whether the index of addresses may be the one.
func (f DeliveryFilter) byAddress() bool {
	return f.SourceRef == "" && f.Address.IsValid() && f.Address.IsSingleIP()
}

// scoped is the context for the search. PostgreSQL takes no index of an expression
// behind row-level security, unless a superuser vouches for the functions in it: a
// search along the index of addresses is confined by its statement alone, and what
// it finds is looked at once more, see [Store.seen].
func (f DeliveryFilter) scoped(ctx context.Context) context.Context {
	if f.byAddress() {
		return postgres.Everywhere(ctx)
	}
	return ctx
}

// courseOf chooses the index, and tells tx's planner.
func courseOf(ctx context.Context, tx *sqlx.Tx, f DeliveryFilter) (w course, err error) {
	byAddress := f.byAddress()
	if byAddress && f.Key != uuid.Nil {
		if byAddress, err = rarerThanKey(ctx, tx, f); err != nil {
			return w, err
		}
	}
	w = f.course(byAddress)
	if w.address == "" {
		return w, nil
	}
	// The planner takes it that an address and its place in the index have nothing to
	// do with each other, so that next to nothing is both, and would read all rows of a
	// busy address and sort them.
	_, err = tx.ExecContext(ctx, `SET LOCAL enable_sort = off`)
	return w, err
}

// seen leaves out what ctx does not let see.
func (s *Store) seen(ctx context.Context, found []Delivery) (seen []Delivery, err error) {
	const query = `SELECT id FROM deliveries WHERE id = ANY ($1)`
	var ids pq.StringArray
	for _, d := range found {
		ids = append(ids, d.ID.String())
	}
	var there []uuid.UUID
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &there, query, ids) })
	for _, d := range found {
		if slices.Contains(there, d.ID) {
			seen = append(seen, d)
		}
	}
	return seen, err
}

// rarerThanKey tells whether fewer requests came from the filter's address than with
// its key, as far as anybody counted.
func rarerThanKey(ctx context.Context, tx *sqlx.Tx, f DeliveryFilter) (rarer bool, err error) {
	const query = `
		SELECT (SELECT coalesce(sum(accepted + refused), 0) FROM key_addresses WHERE address = $1)
			<= (SELECT coalesce(sum(accepted + refused), 0) FROM key_addresses WHERE webhook_key_id = $2)`
	err = tx.GetContext(ctx, &rarer, query, f.Address.Addr().Unmap().String(), f.Key)
	return rarer, err
}

func (f DeliveryFilter) course(byAddress bool) course {
	w := course{found: DeliveryFilter{From: f.From, Until: f.Until}, rest: f}
	switch {
	case f.SourceRef != "":
		w.found.SourceRef, w.rest.SourceRef = f.SourceRef, ""
	case byAddress:
		w.address, w.rest.Address = f.Address.Addr().Unmap().String(), netip.Prefix{}
		w.refusals = f.Reason != "" || f.Outcome != "" && f.Outcome != Accepted
	case f.Reason != "":
		w.found.Key, w.rest.Key, w.found.Reason, w.rest.Reason = f.Key, uuid.Nil, f.Reason, ""
	default:
		w.found.Key, w.rest.Key = f.Key, uuid.Nil
		if f.Outcome != Accepted {
			w.found.Outcome, w.rest.Outcome = f.Outcome, ""
		}
	}
	return w
}

const addressPlace = `address_place(d.workspace_id, d.address, d.id)`

// follow adds what the index finds.
func (w course) follow(workspace uuid.UUID, c *conditions) {
	w.found.found(workspace, c)
	if w.address == "" {
		return
	}
	c.add(true, `d.address = $%[1]d`, w.address)
	if w.refusals {
		c.parts = append(c.parts, `d.outcome <> 'accepted'`)
	}
	first, last := uuid.Nil, uuid.Max
	if !w.found.From.IsZero() {
		first = floorOf(w.found.From)
	}
	if !w.found.Until.IsZero() {
		last = floorOf(w.found.Until)
	}
	w.bound(workspace, c, ">=", first)
	w.bound(workspace, c, "<=", last)
}

// compare adds what each row has to be looked at for. It tells whether it added
// anything.
func (w course) compare(c *conditions) bool {
	before := len(c.parts)
	c.add(w.rest.Key != uuid.Nil, `d.webhook_key_id = $%[1]d`, w.rest.Key)
	c.add(w.rest.Outcome != "" && w.rest.Outcome != Accepted, `d.outcome = $%[1]d`, w.rest.Outcome)
	c.add(w.rest.Reason != "", `d.reason = $%[1]d`, w.rest.Reason)
	w.rest.compared(c)
	return len(c.parts) > before
}

// beyond adds a bound of the ids.
func (w course) beyond(workspace uuid.UUID, c *conditions, operator string, id uuid.UUID) {
	if id == uuid.Nil {
		return
	}
	c.add(true, `d.id `+operator+` $%[1]d`, id)
	if w.address != "" {
		w.bound(workspace, c, operator[:1]+"=", id)
	}
}

func (w course) bound(workspace uuid.UUID, c *conditions, operator string, id uuid.UUID) {
	c.parts = append(c.parts, addressPlace+` `+operator+` address_place(`+c.arg(workspace)+`, `+c.arg(w.address)+`, `+c.arg(id)+`)`)
}

// order is that of the rows, ASC or DESC.
func (w course) order(way string) string {
	if w.address == "" {
		return ` ORDER BY d.id ` + way
	}
	return ` ORDER BY ` + addressPlace + ` ` + way + `, d.id ` + way
}
