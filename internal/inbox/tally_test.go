package inbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// sums is all that is counted, whether it is rolled up or not.
func (p *place) sums() (text string) {
	p.t.Helper()
	const query = `
		SELECT (SELECT concat_ws(' ', sum(requests), sum(not_kept), sum(bodies_not_kept), max(last_at), count(DISTINCT (webhook_key_id, hour)),
				(SELECT sum(n) FROM delivery_totals, unnest(took) AS n)) FROM delivery_totals)
			|| (SELECT concat_ws(' ', sum(accepted), sum(refused), min(first_at), max(last_at)) FROM (
				SELECT accepted, refused, first_at, last_at FROM key_addresses UNION ALL
				SELECT CASE WHEN outcome <> 'refused' THEN requests ELSE 0 END, CASE WHEN outcome = 'refused' THEN requests ELSE 0 END, first_at, last_at
				FROM delivery_tallies WHERE webhook_key_id IS NOT NULL) AS a)
			|| (SELECT concat_ws(' ', sum(requests), sum(not_kept)) FROM (
				SELECT requests, not_kept FROM stray_counts UNION ALL
				SELECT requests, not_kept FROM delivery_tallies WHERE webhook_key_id IS NULL) AS s)`
	if err := p.Raw().Get(&text, query); err != nil {
		p.t.Fatal(err)
	}
	return text
}

// TestRollUp: what batches tallied is added up, and no count changes by it.
func TestRollUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	past := time.Now().UTC().Truncate(time.Hour).Add(-5 * time.Hour)
	for n := range 15 {
		a, b := p.arrival(0, fmt.Sprint("past ", n), "x"), p.refused(1, "y")
		a.ReceivedAt, b.ReceivedAt, a.Address = past, past.Add(time.Minute), fmt.Sprint("192.0.2.", n%3)
		stray := p.refused(0, "z")
		stray.KeyID, stray.WorkspaceID = [16]byte{}, [16]byte{}
		uncounted := p.refused(1, "y")
		uncounted.CountOnly = true
		p.add(a, b, stray, uncounted, p.arrival(0, fmt.Sprint("now ", n), "z"))
		p.add(p.arrival(0, fmt.Sprint("now ", n), "z")) // a duplicate
	}
	before := p.sums()
	uses := p.rollUp()
	if len(uses) != 2 || uses[0].UsedAt == nil || uses[0].RefusedAt != nil || uses[1].UsedAt != nil || uses[1].RefusedAt == nil {
		t.Errorf("uses = %+v, want one of a key that was used and one of a key that was refused", uses)
	}
	if again := p.rollUp(); len(again) != 0 {
		t.Errorf("a second roll-up found %d uses", len(again))
	}
	if after := p.sums(); after != before {
		t.Errorf("the roll-up changed the counts from %s to %s", before, after)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM delivery_tallies`:                                           0,
		`SELECT count(*) FROM delivery_counts WHERE hour < now() - interval '4 hours'`:    2,
		`SELECT sum(requests) FROM delivery_counts WHERE outcome = 'duplicate'`:           15,
		`SELECT sum(not_kept) FROM delivery_counts`:                                       15,
		`SELECT sum(requests) FROM stray_counts`:                                          15,
		`SELECT count(*) FROM key_addresses WHERE address LIKE '192.0.2.%'`:               4,
		`SELECT count(*) FROM key_addresses WHERE address = '192.0.2.0' AND accepted = 5`: 1,
		`SELECT count(*) FROM deliveries AS d WHERE (SELECT sum(requests - not_kept) FROM delivery_counts) + (SELECT sum(requests - not_kept) FROM stray_counts)
			<> (SELECT count(*) FROM deliveries)`: 0,
	} {
		if n := p.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
}

// TestRollUpWhileAppending: several instances roll up while batches come and a
// workspace goes; the counts are those of the rows, and nobody waits.
func TestRollUpWhileAppending(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	going := p.addWorkspace()
	lost := p.addKey(going)
	var senders, keepers sync.WaitGroup
	done, stop := context.WithCancel(context.Background())
	for sender := range 4 {
		senders.Go(func() {
			for n := range 60 {
				mine := p.arrival(sender%2, fmt.Sprint(sender, " ", n%50), "x")
				theirs := p.arrival(0, fmt.Sprint(sender, " ", n), "x")
				theirs.WorkspaceID, theirs.KeyID = going, lost
				if _, err := p.try(mine, theirs, p.refused(sender%2, "y")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		keepers.Go(func() {
			for done.Err() == nil {
				err := p.ingestion.InTx(context.Background(), func(tx *sqlx.Tx) error {
					_, _, err := inbox.RollUp(context.Background(), tx)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	p.exec(`DELETE FROM workspaces WHERE id = $1`, going)
	senders.Wait()
	stop()
	keepers.Wait()
	p.rollUp()
	p.sameByWorkspace()
	for query, want := range map[string]int{
		`SELECT count(*) FROM delivery_tallies`: 0,
		`SELECT count(*) FROM delivery_counts AS c WHERE NOT EXISTS (SELECT FROM webhook_keys AS k WHERE k.id = c.webhook_key_id)`: 0,
		`SELECT sum(requests) FROM delivery_counts`:         p.count(`SELECT count(*) FROM deliveries WHERE webhook_key_id IS NOT NULL`),
		`SELECT sum(accepted + refused) FROM key_addresses`: 480,
		`SELECT sum(requests) FROM workspace_counts`:        480,
	} {
		if n := p.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
}

// TestAddressesAreBounded: of many addresses a thousand are told apart, and no
// request is left out.
func TestAddressesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for part := range 12 {
		var batch []inbox.Arrival
		for n := range 100 {
			a := p.arrival(0, "", "")
			a.WatchBody = false
			a.Address = fmt.Sprintf("2001:db8::%x", part*100+n)
			batch = append(batch, a)
		}
		batch[0].Address = "192.0.2.1"
		p.add(batch...)
		if part%4 != 0 {
			p.rollUp()
		}
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM key_addresses`:                                  1001, // the others are one
		`SELECT sum(accepted) FROM key_addresses`:                             1200,
		`SELECT sum(accepted) FROM key_addresses WHERE address = '192.0.2.1'`: 12,
		`SELECT sum(accepted) FROM key_addresses WHERE address = 'other'`:     189,
	} {
		if n := p.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
}
