package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// What a histogram counts of the rows themselves, the newest ones, where it can't be
// had from the hourly counts: in stretches that double as long as they are quick.
const (
	histogramRows  = 100_000
	histogramFirst = 500
	histogramTime  = 20 * time.Millisecond // to begin another one, which takes twice as long as all before
)

// A Histogram is how many deliveries began in each interval.
type Histogram struct {
	From, Until time.Time // multiples of Step
	Step        time.Duration
	Counts      []HourCount // Hour is the beginning of the interval
	Since       time.Time   // what began earlier was not counted; zero: everything was
}

// Countable tells whether the hourly counts know the answer to the filter.
func (f DeliveryFilter) Countable() bool {
	var c conditions
	f.Outcome = "" // they tell outcomes apart
	return f.SourceRef == "" && !f.compared(&c)
}

// totals are the counts to ask: where the key does not matter, those in which all
// keys are added up.
func (f DeliveryFilter) totals() string {
	if f.Key == uuid.Nil {
		return "outcome_totals"
	}
	return "delivery_totals"
}

// HistogramOf counts a workspace's deliveries between the filter's times, of which
// both must be set, in intervals of step. Intervals of whole hours come from the
// counts where these know the filter: they are exact, and know of requests that were
// counted and not kept too.
func (s *Store) HistogramOf(ctx context.Context, workspace uuid.UUID, f DeliveryFilter, step time.Duration) (h Histogram, err error) {
	h = newHistogram(f, step)
	f.From, f.Until = h.From, h.Until
	err = s.db.Read(f.scoped(ctx), func(tx *sqlx.Tx) error {
		if step%time.Hour == 0 && f.Countable() {
			return h.fromCounts(ctx, tx, workspace, f)
		}
		return h.fromRows(ctx, tx, workspace, f)
	})
	if err != nil {
		return Histogram{}, fmt.Errorf("count the deliveries: %w", err)
	}
	return h, nil
}

func newHistogram(f DeliveryFilter, step time.Duration) Histogram {
	h := Histogram{From: f.From.UTC().Truncate(step), Until: f.Until.UTC().Truncate(step), Step: step}
	if h.Until.Before(f.Until) {
		h.Until = h.Until.Add(step)
	}
	for at := h.From; at.Before(h.Until); at = at.Add(step) {
		h.Counts = append(h.Counts, HourCount{Hour: at})
	}
	return h
}

// A histogramPart is what one interval has of one outcome.
type histogramPart struct {
	Place   int     `db:"place"`
	Outcome Outcome `db:"outcome"`
	N       int64   `db:"n"`
}

func (h *Histogram) add(parts []histogramPart) {
	for _, part := range parts {
		if part.Place < 0 || part.Place >= len(h.Counts) {
			continue
		}
		count := &h.Counts[part.Place]
		switch part.Outcome {
		case Accepted:
			count.Accepted += part.N
		case Duplicate:
			count.Duplicate += part.N
		case Refused:
			count.Refused += part.N
		}
	}
}

// place is the SQL of an interval's place. The times are bound at the end.
const place = `floor(extract(epoch FROM %s - %s::timestamptz) / %s::float8)::integer AS place`

// fromRows counts the rows themselves, from the newest on.
func (h *Histogram) fromRows(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, f DeliveryFilter) error {
	w, err := courseOf(ctx, tx, f)
	if err != nil {
		return err
	}
	began, counted, at := time.Now(), 0, uuid.Nil
	for stretch := histogramFirst; ; stretch *= 2 {
		var c conditions
		w.follow(workspace, &c)
		w.beyond(workspace, &c, "<", at)
		if at, err = endOf(ctx, tx, ` FROM deliveries AS d WHERE `+c.String(), w.order("DESC"), stretch, c.args); err != nil {
			return err
		}
		w.beyond(workspace, &c, ">=", at)
		w.compare(&c)
		if err := h.countRows(ctx, tx, c); err != nil || at == uuid.Nil {
			return err
		}
		if counted += stretch; counted >= histogramRows || time.Since(began) > histogramTime {
			h.Since = time.Unix(at.Time().UnixTime()).UTC()
			return nil
		}
	}
}

func (h *Histogram) countRows(ctx context.Context, tx *sqlx.Tx, c conditions) error {
	from, step := c.arg(h.From), c.arg(h.Step.Seconds())
	query := `SELECT ` + fmt.Sprintf(place, "d.received_at", from, step) + `, d.outcome, count(*) AS n FROM deliveries AS d WHERE ` + c.String() + ` GROUP BY 1, 2`
	var parts []histogramPart
	if err := tx.SelectContext(ctx, &parts, query, c.args...); err != nil {
		return err
	}
	h.add(parts)
	return nil
}

// fromCounts adds the hourly counts of keys up, and the rows that are no key's: a
// deleted key's, and those of which only the workspace could be told.
func (h *Histogram) fromCounts(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, f DeliveryFilter) error {
	var c conditions
	c.add(true, `d.workspace_id = $%[1]d`, workspace)
	c.add(true, `d.hour >= $%[1]d`, h.From)
	c.add(true, `d.hour < $%[1]d`, h.Until)
	c.add(f.Key != uuid.Nil, `d.webhook_key_id = $%[1]d`, f.Key)
	c.add(f.Outcome != "", `d.outcome = $%[1]d`, f.Outcome)
	c.add(f.Reason != "", `d.reason = $%[1]d`, f.Reason)
	from, step := c.arg(h.From), c.arg(h.Step.Seconds())
	query := `SELECT ` + fmt.Sprintf(place, "d.hour", from, step) + `, d.outcome, sum(d.requests)::bigint AS n FROM ` + f.totals() + ` AS d WHERE ` + c.String() + ` GROUP BY 1, 2`
	var parts []histogramPart
	if err := tx.SelectContext(ctx, &parts, query, c.args...); err != nil {
		return err
	}
	h.add(parts)
	if f.Key != uuid.Nil {
		return nil
	}
	var keyless conditions
	f.found(workspace, &keyless)
	f.compared(&keyless)
	keyless.parts = append(keyless.parts, `d.webhook_key_id IS NULL`)
	return h.countRows(ctx, tx, keyless)
}
