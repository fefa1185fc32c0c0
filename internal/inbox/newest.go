package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// newestLooked is how many rows NewestDeliveries looks at, the newest first, where a filter
// compares rows.
const newestLooked = 5000

// NewestDeliveries returns those of a workspace's newest deliveries that are meant, began since
// a moment and are not among seen, the oldest first. It takes the newest limit of them
// and leaves out what was seen then, so that one that was recorded late is found in
// its place, as long as it is among the newest.
func (s *Store) NewestDeliveries(ctx context.Context, workspace uuid.UUID, filter DeliveryFilter, since time.Time, seen []uuid.UUID, limit int) (found []Delivery, err error) {
	if filter.From.Before(since) {
		filter.From = since
	}
	var looked conditions
	filter.found(workspace, &looked)
	meant := conditions{parts: []string{"TRUE"}, args: looked.args}
	filter.compared(&meant)
	not := meant.arg(pq.Array(append([]uuid.UUID{}, seen...))) // an array of nothing, never NULL
	query := fmt.Sprintf(`SELECT `+columns+` FROM (
			SELECT * FROM (SELECT * FROM deliveries AS d WHERE `+looked.String()+` ORDER BY d.id DESC LIMIT %d) AS d
			WHERE `, newestLooked) + meant.String() + fmt.Sprintf(` ORDER BY d.id DESC LIMIT %d) AS newest
		WHERE id <> ALL (%s::uuid[]) ORDER BY id`, limit, not)
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		// A table that grows by thousands of rows a second has statistics of a while ago,
		// by which the planner believes that there is nothing new to sort.
		if _, err := tx.ExecContext(ctx, `SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off`); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &found, query, meant.args...)
	})
	if err != nil {
		return nil, fmt.Errorf("look for the newest deliveries: %w", err)
	}
	return found, nil
}
