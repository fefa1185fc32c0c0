package inbox

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

const (
	usualDays  = 14 // that a usual rate is taken from
	enoughDays = 3  // of them with requests; with fewer nothing is usual
)

// Refusals are how much of a workspace's requests of the last 24 hours was
// refused, beside what is usual: the median of the same hours of the 14 days
// before, as far as there were requests.
type Refusals struct {
	Requests, Refused int64
	Usual             float64 // the share, between 0 and 1
	Days              int     // that Usual is the median of; 0: there is none
}

// Share is the part that was refused, between 0 and 1.
func (r Refusals) Share() float64 {
	if r.Requests == 0 {
		return 0
	}
	return float64(r.Refused) / float64(r.Requests)
}

// Unusual reports whether clearly more was refused than usual: five requests or
// three standard deviations more than expected, and a share that is twice the
// usual one, or ten points more, and a point more at least. Where nothing is
// usual, it is five requests and half of all.
func (r Refusals) Unusual() bool {
	if r.Days == 0 {
		return r.Refused >= 5 && r.Share() >= 0.5
	}
	expected := r.Usual * float64(r.Requests)
	return float64(r.Refused)-expected >= max(5, 3*math.Sqrt(expected)) &&
		r.Share() >= max(min(2*r.Usual, r.Usual+0.1), r.Usual+0.01)
}

// Refusals compares the last 24 hours of a workspace with the days before, by
// counts, which outlive the rows.
func (s *Store) Refusals(ctx context.Context, workspace uuid.UUID, now time.Time) (r Refusals, err error) {
	const query = `
		SELECT floor(extract(epoch FROM $2 - hour) / 86400)::integer AS ago, sum(requests) AS requests, sum(refused) AS refused
		FROM workspace_totals WHERE workspace_id = $1 AND hour > $3 AND hour <= $2 GROUP BY ago`
	var days []struct {
		Ago      int   `db:"ago"` // 0: the last 24 hours
		Requests int64 `db:"requests"`
		Refused  int64 `db:"refused"`
	}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &days, query, workspace, hourOf(now), hourOf(now).AddDate(0, 0, -usualDays-1))
	})
	if err != nil {
		return Refusals{}, fmt.Errorf("compare the refusals: %w", err)
	}
	var shares []float64
	for _, day := range days {
		switch {
		case day.Ago == 0:
			r.Requests, r.Refused = day.Requests, day.Refused
		case day.Requests > 0:
			shares = append(shares, float64(day.Refused)/float64(day.Requests))
		}
	}
	if len(shares) >= enoughDays {
		r.Usual, r.Days = median(shares), len(shares)
	}
	return r, nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// A Refuser is a key with what was refused of it for one reason.
type Refuser struct {
	KeyID   uuid.UUID `db:"webhook_key_id"`
	Reason  Reason    `db:"reason"`
	Refused int64     `db:"refused"`
}

// TopRefusers returns the keys and reasons that most of a workspace's refusals of
// the last 24 hours belong to.
func (s *Store) TopRefusers(ctx context.Context, workspace uuid.UUID, now time.Time, limit int) (top []Refuser, err error) {
	const query = `
		SELECT webhook_key_id, reason, sum(requests) AS refused FROM delivery_totals
		WHERE workspace_id = $1 AND hour >= $2 AND outcome = 'refused'
		GROUP BY webhook_key_id, reason ORDER BY refused DESC, webhook_key_id, reason LIMIT $3`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &top, query, workspace, dayBefore(now), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read what was refused most: %w", err)
	}
	return top, nil
}
