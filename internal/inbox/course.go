package inbox

import (
	"context"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// A course is how a search goes through the rows that an index finds. Those of one
// address are found by its index, which has them in the order of their ids too.
// With a reason or a ref there are fewer rows to look at for the address than there
// are of it.
type course struct {
	DeliveryFilter
	address string // "": not by the address's index
}

func (f DeliveryFilter) course() course {
	w := course{DeliveryFilter: f}
	if f.Address.IsValid() && f.Address.IsSingleIP() && f.Reason == "" && f.SourceRef == "" {
		w.address, w.Address = f.Address.Addr().Unmap().String(), netip.Prefix{}
	}
	return w
}

// ready makes the planner follow the address's index. It takes it that an address and
// its place in the index have nothing to do with each other, so that next to nothing
// is both, and would read all rows of a busy address and sort them.
func (w course) ready(ctx context.Context, tx *sqlx.Tx) error {
	if w.address == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SET LOCAL enable_sort = off`)
	return err
}

const addressPlace = `address_place(d.workspace_id, d.address, d.id)`

// found adds what an index finds.
func (w course) found(workspace uuid.UUID, c *conditions) {
	w.DeliveryFilter.found(workspace, c)
	if w.address == "" {
		return
	}
	c.add(true, `d.address = $%[1]d`, w.address)
	first, last := uuid.Nil, uuid.Max
	if !w.From.IsZero() {
		first = floorOf(w.From)
	}
	if !w.Until.IsZero() {
		last = floorOf(w.Until)
	}
	w.bound(workspace, c, ">=", first)
	w.bound(workspace, c, "<=", last)
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
		return "d.id " + way
	}
	return addressPlace + " " + way + ", d.id " + way
}
