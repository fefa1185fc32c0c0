package inbox

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Usage is what came in between some moments, from counts that outlive the rows.
// It is exact at every moment: the counts of the rows and of what has none.
type Usage struct {
	Bars []Bar
	Keys []KeyUsage // the busiest first; those without a request are left out
}

// A Bar is what came in between two moments.
type Bar struct {
	From, Until                  time.Time
	Accepted, Duplicate, Refused int64
	NotKept                      int64            // of these, how many were counted without a row
	Reasons                      map[Reason]int64 // of the refused ones
	Took                         Took
}

// A KeyUsage is what came in with one key.
type KeyUsage struct {
	KeyID                        uuid.UUID
	Accepted, Duplicate, Refused int64
}

// Total is the number of requests.
func (k KeyUsage) Total() int64 { return k.Accepted + k.Duplicate + k.Refused }

// Took counts requests by the time until their answer: within 1 ms, 2 ms and so on
// up to 1,024 ms, and above.
type Took [tookBounds]int64

// Add adds other's requests.
func (t *Took) Add(other Took) {
	for i, n := range other {
		t[i] += n
	}
}

// Within returns the bucket in which the slowest of so many per cent of the requests
// is, by nearest rank, or -1 without any request.
func (t Took) Within(percent int64) int {
	var all, sum int64
	for _, n := range t {
		all += n
	}
	if all == 0 {
		return -1
	}
	rank := all/100*percent + (all%100*percent+99)/100 // all * percent can be too large a number
	for i, n := range t {
		if sum += n; sum >= max(rank, 1) {
			return i
		}
	}
	return tookBounds - 1
}

// TookUpTo is the end of a bucket; last tells that it has none, and begins there.
func TookUpTo(bucket int) (end time.Duration, last bool) {
	if bucket >= tookBounds-1 {
		return time.Millisecond << (tookBounds - 2), true
	}
	return time.Millisecond << bucket, false
}

// usageRow is a sum of one bar, outcome and reason, or of one key and outcome.
type usageRow struct {
	KeyID    *uuid.UUID    `db:"webhook_key_id"` // nil: of all keys
	Bar      int           `db:"bar"`
	Outcome  Outcome       `db:"outcome"`
	Reason   Reason        `db:"reason"`
	Requests int64         `db:"requests"`
	NotKept  int64         `db:"not_kept"`
	Took     pq.Int64Array `db:"took"`
}

// The bars of each key are added up first, and then those few sums twice: by bar, and
// by key.
const (
	usageSums = `
		SELECT webhook_key_id, coalesce(bar, 0) AS bar, outcome, coalesce(reason, '') AS reason, sum(requests)::bigint AS requests,
			sum(not_kept)::bigint AS not_kept, ARRAY[sum(took_1), sum(took_2), sum(took_4), sum(took_8), sum(took_16), sum(took_32),
			sum(took_64), sum(took_128), sum(took_256), sum(took_512), sum(took_1024), sum(took_more)]::bigint[] AS took
		FROM (
			SELECT webhook_key_id, width_bucket(at, $2::timestamptz[]) AS bar, outcome, reason, sum(requests) AS requests, sum(not_kept) AS not_kept,
				sum(took_1) AS took_1, sum(took_2) AS took_2, sum(took_4) AS took_4, sum(took_8) AS took_8,
				sum(took_16) AS took_16, sum(took_32) AS took_32, sum(took_64) AS took_64, sum(took_128) AS took_128,
				sum(took_256) AS took_256, sum(took_512) AS took_512, sum(took_1024) AS took_1024, sum(took_more) AS took_more
			FROM `
	usageWhere = `
			WHERE workspace_id = $1 AND at >= $3 AND at < $4 AND ($5::uuid IS NULL OR webhook_key_id = $5)
			GROUP BY 1, 2, 3, 4) AS u
		GROUP BY GROUPING SETS ((bar, outcome, reason), (webhook_key_id, outcome))`
	usageByHour = usageSums + "usage_by_hour" + usageWhere
	usageByDay  = usageSums + "usage_by_day" + usageWhere
)

// Usage returns what came in with a workspace's keys, or with one of them if keyID
// is not nil, between each of the moments and the next. They must be whole hours;
// if all are midnights in UTC, the counts of days spare reading those of hours.
func (s *Store) Usage(ctx context.Context, workspaceID uuid.UUID, keyID *uuid.UUID, moments []time.Time) (Usage, error) {
	query := usageByDay
	for _, at := range moments {
		if !at.Equal(at.UTC().Truncate(24 * time.Hour)) {
			query = usageByHour
		}
	}
	var texts []string
	for _, at := range moments {
		texts = append(texts, at.UTC().Format(time.RFC3339))
	}
	var rows []usageRow
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, query, workspaceID, pq.Array(texts), moments[0], moments[len(moments)-1], keyID)
	})
	if err != nil {
		return Usage{}, fmt.Errorf("read usage: %w", err)
	}
	return usageOf(rows, moments), nil
}

func usageOf(rows []usageRow, moments []time.Time) Usage {
	usage := Usage{Bars: make([]Bar, len(moments)-1)}
	for i := range usage.Bars {
		usage.Bars[i] = Bar{From: moments[i], Until: moments[i+1], Reasons: map[Reason]int64{}}
	}
	keys := map[uuid.UUID]*KeyUsage{}
	for _, row := range rows {
		if row.KeyID == nil {
			usage.Bars[row.Bar-1].add(row)
			continue
		}
		if keys[*row.KeyID] == nil {
			keys[*row.KeyID] = &KeyUsage{KeyID: *row.KeyID}
		}
		key := keys[*row.KeyID]
		*row.Outcome.of(&key.Accepted, &key.Duplicate, &key.Refused) += row.Requests
	}
	for _, key := range keys {
		usage.Keys = append(usage.Keys, *key)
	}
	slices.SortFunc(usage.Keys, func(a, b KeyUsage) int {
		return cmp.Or(cmp.Compare(b.Total(), a.Total()), bytes.Compare(a.KeyID[:], b.KeyID[:]))
	})
	return usage
}

func (b *Bar) add(row usageRow) {
	*row.Outcome.of(&b.Accepted, &b.Duplicate, &b.Refused) += row.Requests
	b.NotKept += row.NotKept
	b.Took.Add(Took(row.Took))
	if row.Outcome == Refused {
		b.Reasons[row.Reason] += row.Requests
	}
}

// of chooses the number that belongs to an outcome.
func (o Outcome) of(accepted, duplicate, refused *int64) *int64 {
	switch o {
	case Accepted:
		return accepted
	case Duplicate:
		return duplicate
	}
	return refused
}
