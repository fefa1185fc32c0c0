package inbox_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// idAt is an id made at a moment, otherwise like another.
func idAt(at time.Time, like uuid.UUID) uuid.UUID {
	ms := at.UnixMilli()
	for i := range 6 {
		like[5-i] = byte(ms >> (8 * i))
	}
	return like
}

// counts adds to the counts as a roll-up does.
func (p *place) counts(key int, hour time.Time, outcome string, requests int) {
	p.t.Helper()
	p.exec(`
		INSERT INTO delivery_counts AS c (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at)
		VALUES ($1, $2, 1, $3, CASE WHEN $3 = 'refused' THEN 'signature_wrong' ELSE '' END, (SELECT workspace_id FROM webhook_keys WHERE id = $1), $4, $2)
		ON CONFLICT (webhook_key_id, hour, credential_generation, outcome, reason) DO UPDATE SET requests = c.requests + excluded.requests`,
		p.keys[key], hour, outcome, requests)
}

// TestRefusals: the last 24 hours beside the median of the same hours of the days
// before, from the counts and what is not rolled up yet.
func TestRefusals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	now := time.Now().UTC().Truncate(time.Hour).Add(20 * time.Minute)
	hour := now.Truncate(time.Hour)
	read := func(workspace uuid.UUID) inbox.Refusals {
		t.Helper()
		r, err := p.events.Refusals(t.Context(), workspace, now)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read(p.workspace); r != (inbox.Refusals{}) || r.Share() != 0 {
		t.Errorf("without requests: %+v", r)
	}
	// Two days before tell nothing yet; the third makes their median the usual.
	for day, refused := range []int{1, 2, 3} {
		at := hour.AddDate(0, 0, -day-1)
		p.counts(0, at, "accepted", 50)
		p.counts(0, at.Add(-23*time.Hour), "accepted", 50-refused)
		p.counts(1, at.Add(-time.Hour), "refused", refused)
		if r := read(p.workspace); (r.Days == 3) != (day == 2) {
			t.Errorf("after %d days: %+v", day+1, r)
		}
	}
	p.counts(0, hour.AddDate(0, 0, -15), "refused", 1000) // too long ago
	p.counts(0, hour, "accepted", 80)
	p.counts(1, hour.Add(-23*time.Hour), "refused", 15)
	for range 5 {
		p.add(p.refused(0, "x")) // not rolled up
	}
	for range 2 {
		r := read(p.workspace)
		if r.Requests != 100 || r.Refused != 20 || r.Days != 3 || math.Abs(r.Usual-0.02) > 1e-9 || r.Share() != 0.2 {
			t.Errorf("Refusals = %+v, want 20 of 100, usually 0.02, by 3 days", r)
		}
		top, err := p.events.TopRefusers(t.Context(), p.workspace, now, 5)
		if err != nil || len(top) != 2 || top[0].KeyID != p.keys[1] || top[0].Refused != 15 || top[1].Refused != 5 {
			t.Errorf("TopRefusers = %+v, %v; want 15 of the second key, then 5 of the first", top, err)
		}
		p.rollUp()
	}
	if r := read(p.addWorkspace()); r != (inbox.Refusals{}) {
		t.Errorf("another workspace's = %+v", r)
	}
	p.sameByWorkspace()
}

// sameByWorkspace compares the counts by workspace with those they come from.
func (p *place) sameByWorkspace() {
	p.t.Helper()
	const query = `
		SELECT count(*) FROM (SELECT workspace_id, hour, sum(requests) AS requests, coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0) AS refused
			FROM delivery_counts GROUP BY 1, 2) AS c FULL JOIN workspace_counts AS w USING (workspace_id, hour, requests, refused)
		WHERE c.workspace_id IS NULL OR w.workspace_id IS NULL`
	p.sameByOutcome()
	if n := p.count(query); n != 0 {
		p.t.Errorf("%d hours are counted otherwise by workspace than by key", n)
	}
}

// sameByOutcome compares the counts by outcome with those they come from.
func (p *place) sameByOutcome() {
	p.t.Helper()
	const outcomes = `
		SELECT count(*) FROM (SELECT workspace_id, hour, outcome, reason, sum(requests) AS requests FROM delivery_counts GROUP BY 1, 2, 3, 4) AS c
			FULL JOIN (SELECT * FROM outcome_counts WHERE requests <> 0) AS o USING (workspace_id, hour, outcome, reason, requests)
		WHERE c.workspace_id IS NULL OR o.workspace_id IS NULL`
	if n := p.count(outcomes); n != 0 {
		p.t.Errorf("%d hours are counted otherwise by outcome than by key", n)
	}
}

func TestUnusual(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		inbox.Refusals
		want bool
	}{
		{inbox.Refusals{}, false},
		{inbox.Refusals{Requests: 5, Refused: 5}, true}, // nothing is usual, and all fails
		{inbox.Refusals{Requests: 4, Refused: 4}, false},
		{inbox.Refusals{Requests: 100, Refused: 20}, false},
		{inbox.Refusals{Requests: 1000, Refused: 42, Usual: 0.004, Days: 14}, true},
		{inbox.Refusals{Requests: 1000, Refused: 6, Usual: 0.004, Days: 14}, false},
		{inbox.Refusals{Requests: 1_000_000, Refused: 4100, Usual: 0.004, Days: 14}, false}, // less than a point more
		{inbox.Refusals{Requests: 5, Refused: 5, Usual: 0, Days: 3}, true},
		{inbox.Refusals{Requests: 4, Refused: 4, Usual: 0, Days: 3}, false},
		{inbox.Refusals{Requests: 1000, Refused: 720, Usual: 0.6, Days: 14}, true}, // ten points more
		{inbox.Refusals{Requests: 1000, Refused: 650, Usual: 0.6, Days: 14}, false},
		{inbox.Refusals{Requests: 1000, Refused: 0, Usual: 0.6, Days: 14}, false},
	} {
		if got := tt.Unusual(); got != tt.want {
			t.Errorf("Unusual of %+v = %v, want %v", tt.Refusals, got, tt.want)
		}
	}
}

// TestForwards: untrusted proxies are added up by hour, bounded, and go with their
// workspace and their time.
func TestForwards(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	note := func(workspace uuid.UUID, forwards ...inbox.Forward) {
		t.Helper()
		err := p.ingestion.InTx(t.Context(), func(tx *sqlx.Tx) error { return inbox.NoteForwards(t.Context(), tx, workspace, forwards) })
		if err != nil {
			t.Fatal(err)
		}
	}
	note(p.workspace, inbox.Forward{"192.0.2.1", 2, now}, inbox.Forward{"192.0.2.2", 1, now.Add(-2 * time.Hour)}, inbox.Forward{"192.0.2.3", 5, now.Add(-30 * time.Hour)})
	note(p.workspace, inbox.Forward{"192.0.2.1", 3, now.Add(-time.Second)})
	note(uuid.Must(uuid.NewV7()), inbox.Forward{"192.0.2.1", 3, now}) // no such workspace
	got, err := p.events.UntrustedForwards(t.Context(), p.workspace, now)
	if err != nil || len(got) != 2 || got[0].Proxy != "192.0.2.1" || got[0].Requests != 5 || !got[0].LastAt.Equal(now) || got[1].Requests != 1 {
		t.Errorf("UntrustedForwards = %+v, %v; want 5 by 192.0.2.1 and 1 by 192.0.2.2", got, err)
	}
	other := p.addWorkspace()
	if got, err := p.events.UntrustedForwards(t.Context(), other, now); err != nil || len(got) != 0 {
		t.Errorf("another workspace's = %+v, %v", got, err)
	}
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for n := range 30 {
				address := idAt(now, uuid.UUID{byte(writer), 6: byte(n)}).String()
				err := p.ingestion.InTx(context.Background(), func(tx *sqlx.Tx) error {
					return inbox.NoteForwards(context.Background(), tx, other, []inbox.Forward{{address, 1, now}, {address + "x", 1, now}})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if n := p.count(`SELECT sum(requests) FROM untrusted_forwards WHERE workspace_id = $1`, other); n != 240 {
		t.Errorf("%d requests were noted, want 240", n)
	}
	if n := p.count(`SELECT count(*) FROM untrusted_forwards WHERE workspace_id = $1`, other); n > inbox.MaxProxies+2*4+1 {
		t.Errorf("%d proxies are told apart", n)
	}
	p.exec(`UPDATE untrusted_forwards SET hour = hour - interval '9 days' WHERE workspace_id = $1`, p.workspace)
	if err := inbox.NewStore(p.Maintenance(), p.box).Forget(t.Context(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if n := p.count(`SELECT count(*) FROM untrusted_forwards WHERE workspace_id = $1`, p.workspace); n != 0 {
		t.Errorf("%d proxies of more than a week ago are kept", n)
	}
	p.exec(`DELETE FROM workspaces WHERE id = $1`, other)
	if n := p.count(`SELECT count(*) FROM untrusted_forwards`); n != 0 {
		t.Errorf("%d proxies of a workspace that is gone", n)
	}
}
