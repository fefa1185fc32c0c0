package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// maxRelated is how many duplicates of a request are listed.
const maxRelated = 20

// A Detail is one delivery with what belongs to it.
type Detail struct {
	Delivery
	Original   *Delivery  // the one that a duplicate repeats; nil: it is none, or that is gone
	Repeats    []Delivery // its duplicates, the first of them first
	SameBody   []Delivery // later ones with its body under another ref
	More       bool       // there are more of either
	HasBody    bool       // something of its body is kept
	Body       []byte     // nil unless it was opened
	Signature  string     // as presented, of a refused one that was opened; "": none is kept
	Erased     *Erasing   // nil: its body and headers were not taken away
	BodyIsPart bool       // of a refused request's body only the beginning is kept
}

var errNoDelivery = fault.New(fault.NotFound, "There is no such request.")

// Delivery returns one delivery without its body.
func (s *Store) Delivery(ctx context.Context, workspace, id uuid.UUID) (d Detail, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		d, err = readDetail(ctx, tx, workspace, id)
		return err
	})
	return d, deliveryFault(err, "read a delivery")
}

// OpenDelivery returns one delivery with what is kept of its body to a person, and
// records that they saw it.
func (s *Store) OpenDelivery(ctx context.Context, by audit.Actor, id uuid.UUID) (d Detail, err error) {
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if d, err = readDetail(ctx, tx, by.WorkspaceID, id); err != nil || !d.HasBody {
			return err
		}
		if err := s.openBody(ctx, tx, by.WorkspaceID, &d); err != nil {
			return err
		}
		target := audit.Target{Kind: "delivery", ID: id.String(), Label: d.Source}
		return audit.Record(ctx, tx, by, audit.DeliveryViewed, target, nil, nil)
	})
	return d, deliveryFault(err, "open a delivery")
}

func deliveryFault(err error, doing string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errNoDelivery
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func readDetail(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID) (d Detail, err error) {
	const one = `SELECT ` + columns + ` FROM deliveries WHERE workspace_id = $1 AND id = $2`
	const kept = `
		SELECT EXISTS (SELECT FROM deliveries WHERE workspace_id = $1 AND id = $2 AND body IS NOT NULL)
			OR EXISTS (SELECT FROM refused_requests WHERE workspace_id = $1 AND delivery_id = $2)`
	const repeats = `
		SELECT ` + columns + ` FROM deliveries
		WHERE workspace_id = $1 AND signal_id = $2 AND outcome = 'duplicate' AND id <> $2 ORDER BY id LIMIT $3`
	const same = `SELECT ` + columns + ` FROM deliveries WHERE workspace_id = $1 AND same_body_as = $2 ORDER BY id LIMIT $3`
	if err := tx.GetContext(ctx, &d.Delivery, one, workspace, id); err != nil {
		return d, err
	}
	if err := tx.GetContext(ctx, &d.HasBody, kept, workspace, id); err != nil {
		return d, err
	}
	if d.Erased, err = erasedOf(ctx, tx, workspace, id); err != nil {
		return d, err
	}
	if err := tx.SelectContext(ctx, &d.Repeats, repeats, workspace, id, maxRelated+1); err != nil {
		return d, err
	}
	if err := tx.SelectContext(ctx, &d.SameBody, same, workspace, id, maxRelated+1); err != nil {
		return d, err
	}
	d.More = len(d.Repeats) > maxRelated || len(d.SameBody) > maxRelated
	d.Repeats, d.SameBody = d.Repeats[:min(len(d.Repeats), maxRelated)], d.SameBody[:min(len(d.SameBody), maxRelated)]
	if d.Outcome != Duplicate || d.SignalID == nil {
		return d, nil
	}
	var original Delivery
	switch err := tx.GetContext(ctx, &original, one, workspace, *d.SignalID); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return d, err
	default:
		d.Original = &original
	}
	return d, nil
}

// openBody reads what is kept of a body, which of a refused request is sealed.
func (s *Store) openBody(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, d *Detail) error {
	const query = `SELECT body FROM deliveries WHERE workspace_id = $1 AND id = $2`
	if d.Outcome != Refused {
		return tx.GetContext(ctx, &d.Body, query, workspace, d.ID)
	}
	kept, found, err := s.keptIn(ctx, tx, workspace, d.ID)
	if err != nil || !found {
		return err
	}
	d.Body, d.Signature, d.BodyIsPart = kept.Body, kept.Signature, int64(len(kept.Body)) < d.BodySize
	return nil
}

// StatusOf returns how a request was answered, whosever it is: of one that is not
// the asker's, this is all that may be told beside its time. found is false if
// nothing was recorded.
func (s *Store) StatusOf(ctx context.Context, id uuid.UUID) (status int, found bool, err error) {
	const query = `SELECT status FROM deliveries WHERE id = $1`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &status, query, id) })
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look a request up: %w", err)
	}
	return status, true, nil
}
