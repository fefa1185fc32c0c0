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
)

// A SenderView says which of a key's deliveries one of its senders may know of.
type SenderView struct {
	Since     time.Time
	CountedAs []int // generations of the sender's own credentials
	Strays    bool  // those too by which no credential could be told
}

// A SenderStatus is how it goes for one sender of a key.
type SenderStatus struct {
	Recent       []Delivery // the newest first
	LastAccepted *Delivery  // a duplicate too
	LastRefused  *Delivery
}

// maxStatusRows bounds what StatusFor looks at.
const maxStatusRows = 20_000

// StatusFor returns how it goes for a sender, with at most limit recent
// deliveries. It looks at the newest 20,000 requests at most.
func (s *Store) StatusFor(ctx context.Context, workspaceID, keyID uuid.UUID, view SenderView, limit int) (status SenderStatus, err error) {
	const seen = `
		SELECT ` + columns + ` FROM (
			SELECT ` + columns + ` FROM deliveries WHERE webhook_key_id = $1 AND workspace_id = $2 AND id >= uuid_floor($3)
			ORDER BY id DESC LIMIT $6
		) AS newest
		WHERE (credential_generation = ANY($4) OR $5 AND coalesce(credential_generation, 0) = 0)`
	const recent = seen + ` ORDER BY id DESC LIMIT $7`
	const accepted = seen + ` AND outcome <> 'refused' ORDER BY id DESC LIMIT $7`
	const refused = seen + ` AND outcome = 'refused' ORDER BY id DESC LIMIT $7`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		args := []any{keyID, workspaceID, view.Since, pq.Array(view.CountedAs), view.Strays, maxStatusRows}
		if err := tx.SelectContext(ctx, &status.Recent, recent, append(args, limit)...); err != nil {
			return err
		}
		for query, into := range map[string]**Delivery{accepted: &status.LastAccepted, refused: &status.LastRefused} {
			var last Delivery
			switch err := tx.GetContext(ctx, &last, query, append(args, 1)...); {
			case errors.Is(err, sql.ErrNoRows):
			case err != nil:
				return err
			default:
				*into = &last
			}
		}
		return nil
	})
	if err != nil {
		return SenderStatus{}, fmt.Errorf("read a sender's status: %w", err)
	}
	return status, nil
}
