package inbox

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// forgetHandshakes takes the signals away that handshakes have just made as part
// of tx, which nobody has seen: they were checked and logged like any request,
// and are no event.
func forgetHandshakes(ctx context.Context, tx *sqlx.Tx, records []*record) error {
	const forget = `SELECT forget_handshakes($1)`
	var ids []uuid.UUID
	for _, r := range records {
		if r.Handshake && r.Outcome == Accepted {
			ids = append(ids, r.ID)
			r.SignalID = uuid.Nil
		}
	}
	if ids == nil {
		return nil
	}
	if _, err := tx.ExecContext(ctx, forget, pq.Array(ids)); err != nil {
		return fmt.Errorf("forget handshakes: %w", err)
	}
	return nil
}
