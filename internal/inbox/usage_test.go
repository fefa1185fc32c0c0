package inbox_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/inbox"
)

// A traffic is random requests of the past, all in rows.
type traffic struct {
	*place
	random *rand.Rand
	now    time.Time
	rows   *sqlx.DB
}

// newTraffic adds requests of every outcome, several reasons and generations and
// all sizes of answer time, most of them near the borders of hours, days and weeks.
func newTraffic(t *testing.T, batches int, now time.Time) *traffic {
	p := newPlace(t)
	f := &traffic{p, rand.New(rand.NewPCG(11, uint64(batches))), now, p.Raw()}
	f.exec(`SELECT ensure_delivery_weeks($1, $2)`, now.AddDate(0, 0, -110), now)
	for range batches {
		f.send()
	}
	return f
}

// send adds a batch, and then rolls up or not.
func (f *traffic) send() {
	f.t.Helper()
	var batch []inbox.Arrival
	for range 1 + f.random.IntN(8) {
		batch = append(batch, f.arrive())
	}
	f.add(batch...)
	if f.random.IntN(3) == 0 {
		f.rollUp()
	}
}

func (f *traffic) arrive() inbox.Arrival {
	key := f.random.IntN(2)
	at := f.now.Add(-time.Duration(f.random.Int64N(int64(95 * 24 * time.Hour))))
	if border := f.random.IntN(4); border > 0 {
		at = at.Truncate([]time.Duration{1, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[border])
		at = at.Add(time.Duration(f.random.IntN(3)-1) * time.Microsecond)
	}
	a := f.arrival(key, fmt.Sprint("ref ", f.random.IntN(60)), "x")
	if f.random.IntN(3) == 0 {
		a = f.refused(key, "y")
		reasons := []inbox.Reason{inbox.SignatureWrong, inbox.RateLimited, inbox.InvalidJSON, inbox.CredentialEnded}
		a.Refuse(reasons[f.random.IntN(len(reasons))], 400)
	}
	a.ID, a.ReceivedAt, a.Generation = pastID(at, f.random), at.Truncate(time.Microsecond), f.random.IntN(4)
	a.Began = time.Now().Add(-time.Duration(1<<f.random.IntN(22)) * time.Microsecond)
	return a
}

// pastID is an id of a moment of the past, as deliveries are cut into weeks by it.
func pastID(at time.Time, random *rand.Rand) (id uuid.UUID) {
	milliseconds := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(milliseconds >> (40 - 8*i))
	}
	for i := 6; i < 16; i++ {
		id[i] = byte(random.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// cuts are ways to cut the time up to an end into bars.
func (f *traffic) cuts() map[string][]time.Time {
	hour := f.now.Truncate(time.Hour).Add(time.Hour)
	midnight := f.now.Truncate(24*time.Hour).AddDate(0, 0, 1)
	cuts := map[string][]time.Time{}
	for name, c := range map[string]struct {
		bars int
		step time.Duration
		end  time.Time
	}{
		"24 hours": {24, time.Hour, hour}, "7 days": {42, 4 * time.Hour, midnight}, "30 days": {30, 24 * time.Hour, midnight},
		"90 days": {45, 48 * time.Hour, midnight}, "20 weeks": {20, 7 * 24 * time.Hour, midnight},
	} {
		for i := range c.bars + 1 {
			cuts[name] = append(cuts[name], c.end.Add(-time.Duration(c.bars-i)*c.step))
		}
	}
	for i := range 14 {
		cuts["13 months"] = append(cuts["13 months"], time.Date(f.now.Year(), f.now.Month()+time.Month(i-12), 1, 0, 0, 0, 0, time.UTC))
	}
	return cuts
}

// A rowBar is a bar counted from the rows, and the times that half of its requests and
// 99 of a hundred took at most, in microseconds; -1 is none.
type rowBar struct {
	inbox.Bar
	half, most int64
}

// barsOfRows counts the rows as they are.
func (f *traffic) barsOfRows(key *uuid.UUID, moments []time.Time) []rowBar {
	f.t.Helper()
	const bars = `
		WITH r AS (
			SELECT bar, outcome, reason, took_us FROM unnest($3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS b (since, until, bar)
			JOIN deliveries ON received_at >= since AND received_at < until
			WHERE workspace_id = $1 AND ($2::uuid IS NULL OR webhook_key_id = $2))`
	const counts = bars + ` SELECT bar - 1 AS bar, outcome, reason, count(*) AS n FROM r GROUP BY 1, 2, 3`
	const times = bars + `
		SELECT bar - 1 AS bar, coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY took_us), -1) AS half,
			coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY took_us), -1) AS most FROM r GROUP BY 1`
	var counted []struct {
		Bar     int
		Outcome inbox.Outcome
		Reason  inbox.Reason
		N       int64
	}
	var took []struct {
		Bar        int
		Half, Most int64
	}
	last := len(moments) - 1
	args := []any{f.workspace, key, pq.Array(moments[:last]), pq.Array(moments[1:])}
	if err := errors.Join(f.rows.Select(&counted, counts, args...), f.rows.Select(&took, times, args...)); err != nil {
		f.t.Fatal(err)
	}
	found := make([]rowBar, last)
	for i := range found {
		found[i] = rowBar{inbox.Bar{From: moments[i], Until: moments[i+1], Reasons: map[inbox.Reason]int64{}}, -1, -1}
	}
	for _, row := range counted {
		switch bar := &found[row.Bar]; row.Outcome {
		case inbox.Accepted:
			bar.Accepted += row.N
		case inbox.Duplicate:
			bar.Duplicate += row.N
		case inbox.Refused:
			bar.Refused += row.N
			bar.Reasons[row.Reason] = row.N
		}
	}
	for _, row := range took {
		found[row.Bar].half, found[row.Bar].most = row.Half, row.Most
	}
	return found
}

// within tells whether a time in microseconds is in a bucket. What was counted has
// nanoseconds, so one at the lower border may be in the bucket above.
func within(micros int64, bucket int) bool {
	if micros < 0 || bucket < 0 {
		return micros < 0 && bucket < 0
	}
	end, last := inbox.TookUpTo(bucket)
	begin := end / 2
	if bucket == 0 {
		begin = 0
	}
	if last {
		begin, end = end, time.Duration(1<<62)
	}
	took := time.Duration(micros) * time.Microsecond
	return took >= begin && took <= end
}

// TestUsageEqualsRows: every bar of every chart, each reason in it and each key's
// share are what counting the rows gives, and the percentiles are in their buckets.
func TestUsageEqualsRows(t *testing.T) {
	t.Parallel()
	f := newTraffic(t, 60, time.Now().UTC())
	for name, moments := range f.cuts() {
		for _, key := range []*uuid.UUID{nil, &f.keys[0], &f.keys[1]} {
			usage, err := f.events.Usage(t.Context(), f.workspace, key, moments)
			if err != nil {
				t.Fatal(err)
			}
			var shares, bars int64
			for _, k := range usage.Keys {
				shares += k.Total()
			}
			rows := f.barsOfRows(key, moments)
			if len(usage.Bars) != len(rows) {
				t.Fatalf("%s: %d bars, want %d", name, len(usage.Bars), len(rows))
			}
			for i, bar := range usage.Bars {
				want := rows[i]
				if !within(want.half, bar.Took.Within(50)) || !within(want.most, bar.Took.Within(99)) {
					t.Errorf("%s, bar %d: p50 in bucket %d and p99 in %d, want those of %d and %d µs", name, i, bar.Took.Within(50), bar.Took.Within(99), want.half, want.most)
				}
				bar.Took = inbox.Took{}
				if diff := cmp.Diff(want.Bar, bar); diff != "" {
					t.Errorf("%s, bar %d (-rows +chart):\n%s", name, i, diff)
				}
				bars += bar.Accepted + bar.Duplicate + bar.Refused
			}
			if bars != shares || bars == 0 && name != "24 hours" {
				t.Errorf("%s: %d requests in the bars and %d with the keys", name, bars, shares)
			}
		}
	}
}

// TestUsageOutlivesRows: the numbers stay when the rows go, and a day is the sum of
// its hours, also with several at the roll-up and a key's end.
func TestUsageOutlivesRows(t *testing.T) {
	t.Parallel()
	f := newTraffic(t, 40, time.Now().UTC())
	var rolling sync.WaitGroup
	for range 3 {
		rolling.Go(func() { f.rollUp() })
	}
	f.send()
	rolling.Wait()
	months := f.cuts()["13 months"]
	before, err := f.events.Usage(t.Context(), f.workspace, nil, months)
	if err != nil {
		t.Fatal(err)
	}
	keeper := inbox.NewStore(f.Maintenance(), f.box)
	if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{{Workspace: f.workspace, Keep: time.Hour, KeepUnread: time.Hour, Log: time.Hour, Payloads: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	f.exec(`DELETE FROM deliveries WHERE id < uuid_floor(now() - interval '20 days')`)
	f.rollUp()
	after, err := f.events.Usage(t.Context(), f.workspace, nil, months)
	if err != nil {
		t.Fatal(err)
	}
	for i := range before.Bars { // of how many there is no row is all that changes
		before.Bars[i].NotKept, after.Bars[i].NotKept = 0, 0
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the numbers changed when rows went (-before +after):\n%s", diff)
	}
	const strayDays = `
		SELECT count(*) FROM delivery_days AS d FULL JOIN (
			SELECT webhook_key_id, date_trunc('day', hour, 'UTC') AS day, outcome, reason, sum(requests) AS requests, sum(not_kept) AS not_kept,
				sum(took_1 + took_2 + took_4 + took_8 + took_16 + took_32 + took_64 + took_128 + took_256 + took_512 + took_1024 + took_more) AS took
			FROM delivery_counts GROUP BY 1, 2, 3, 4) AS h USING (webhook_key_id, day, outcome, reason)
		WHERE (d.requests, d.not_kept, d.requests) IS DISTINCT FROM (h.requests::bigint, h.not_kept::bigint, h.took::bigint)`
	if n := f.count(strayDays); n != 0 {
		t.Errorf("%d days are not the sum of their hours", n)
	}
	f.exec(`UPDATE delivery_counts SET requests = requests + 2, took_8 = took_8 + 2`)
	f.exec(`UPDATE delivery_counts SET requests = requests - 1, took_8 = took_8 - 1`)
	if n := f.count(strayDays); n != 0 {
		t.Errorf("%d days did not follow what was put right in their hours", n)
	}
	f.exec(`DELETE FROM webhook_keys WHERE id = $1`, f.keys[1])
	f.sameByOutcome()
	if n := f.count(`SELECT count(*) FROM delivery_days WHERE webhook_key_id = $1`, f.keys[1]); n != 0 {
		t.Errorf("%d days of a key that is gone are left", n)
	}
}

// TestUsageOfFloods: what is counted without a row is in the charts, and told apart.
func TestUsageOfFloods(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for i := range 4 {
		a := p.refused(0, "y")
		a.CountOnly = i > 0
		p.add(a)
	}
	day := time.Now().UTC().Truncate(24 * time.Hour)
	for _, step := range []time.Duration{24 * time.Hour, time.Hour} {
		usage, err := p.events.Usage(t.Context(), p.workspace, nil, []time.Time{day.Add(-step), day.Add(48 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if bar := usage.Bars[0]; bar.Refused != 4 || bar.NotKept != 3 || bar.Reasons[inbox.SignatureWrong] != 4 {
			t.Errorf("Usage = %+v, want 4 refused, 3 of them without a row", bar)
		}
		p.rollUp()
	}
}
