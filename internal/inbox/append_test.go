package inbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

func TestSameEvent(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.add(p.arrival(0, "r1", "one"), p.arrival(0, "r1", "one"), p.arrival(0, "r1", "two"), p.arrival(0, "", "x"), p.arrival(0, "", "x"))
	for i, want := range []inbox.Outcome{inbox.Accepted, inbox.Duplicate, inbox.Duplicate, inbox.Accepted, inbox.Accepted} {
		if first[i].Outcome != want {
			t.Errorf("arrival %d = %s, want %s", i, first[i].Outcome, want)
		}
	}
	again := p.add(p.arrival(1, "r1", "one"), p.arrival(0, "r1", "three"), p.arrival(1, "r2", "one"))
	if again[0].SignalID != first[0].SignalID || again[1].SignalID != first[0].SignalID || again[2].Outcome != inbox.Accepted {
		t.Errorf("in a later batch: %+v, want two duplicates of %s and one new", again, first[0].SignalID)
	}
	if !again[0].ReceivedAt.Equal(first[0].ReceivedAt) {
		t.Errorf("a duplicate was received at %s, want %s, when the signal was", again[0].ReceivedAt, first[0].ReceivedAt)
	}
	if n := p.count(`SELECT count(*) FROM signals`); n != 4 {
		t.Errorf("%d signals, want 4", n)
	}
	for conflict, want := range map[string]int{"body": 2, "key": 1, "": 5} {
		if n := p.count(`SELECT count(*) FROM deliveries WHERE conflict = $1`, conflict); n != want {
			t.Errorf("%d deliveries with conflict %q, want %d", n, conflict, want)
		}
	}
	const orphans = `
		SELECT count(*) FROM deliveries d WHERE outcome <> 'refused'
			AND NOT EXISTS (SELECT FROM signals s WHERE s.id = d.signal_id AND s.workspace_id = d.workspace_id)`
	if n := p.count(orphans); n != 0 {
		t.Errorf("%d deliveries without their signal", n)
	}
}

func TestSameBodyIsFlagged(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.arrival(0, "a", "same")
	p.add(first)
	inOneBatch := []inbox.Arrival{p.arrival(0, "b", "same"), p.arrival(0, "", "new"), p.arrival(0, "", "new"), p.arrival(1, "c", "same")}
	p.add(inOneBatch...)
	got := map[uuid.UUID]uuid.UUID{}
	deliveries, err := p.events.RecentOf(t.Context(), p.workspace, p.keys[0], 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range deliveries {
		if d.SameBodyAs != nil {
			got[d.ID] = *d.SameBodyAs
		}
	}
	if len(got) != 2 || got[inOneBatch[0].ID] != first.ID || (got[inOneBatch[2].ID] != inOneBatch[1].ID && got[inOneBatch[1].ID] != inOneBatch[2].ID) {
		t.Errorf("flags = %v, want the second %q and one %q flagged, the other key's not", got, "same", "new")
	}
}

// Sixteen senders, each with the refs in an order of its own: nobody may
// deadlock, and each ref is accepted once.
func TestRacingSenders(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const senders, refs = 16, 25
	var mu sync.Mutex
	accepted := map[string]int{}
	signals := map[string]map[uuid.UUID]bool{}
	var running sync.WaitGroup
	for sender := range senders {
		running.Go(func() {
			var batch []inbox.Arrival
			for _, n := range rand.Perm(refs) {
				batch = append(batch, p.arrival(sender%2, fmt.Sprintf("ref-%d", n), "body"))
			}
			for len(batch) > 0 {
				size := min(len(batch), 1+rand.IntN(6))
				results, err := p.try(batch[:size]...)
				if err != nil {
					t.Errorf("sender %d: %v", sender, err)
					return
				}
				mu.Lock()
				for i, result := range results {
					ref := batch[i].SourceRef
					if signals[ref] == nil {
						signals[ref] = map[uuid.UUID]bool{}
					}
					signals[ref][result.SignalID] = true
					if result.Outcome == inbox.Accepted {
						accepted[ref]++
					}
				}
				mu.Unlock()
				batch = batch[size:]
			}
		})
	}
	running.Wait()
	for n := range refs {
		ref := fmt.Sprintf("ref-%d", n)
		if accepted[ref] != 1 || len(signals[ref]) != 1 {
			t.Errorf("%s was accepted %d times, with signals %v, want once", ref, accepted[ref], signals[ref])
		}
	}
	if n := p.count(`SELECT count(*) FROM signals`); n != refs {
		t.Errorf("%d signals, want %d", n, refs)
	}
	if rows, counted := p.count(`SELECT count(*) FROM deliveries`), p.count(`SELECT sum(requests) FROM delivery_totals`); rows != senders*refs || counted != rows {
		t.Errorf("%d deliveries and %d counted, want %d of both", rows, counted, senders*refs)
	}
}

func TestRefusedIsKeptSealed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	long := bytes.Repeat([]byte("canary! "), 20<<10)
	a := p.refused(0, string(long))
	nobody := p.refused(0, "nobody's")
	nobody.WorkspaceID, nobody.KeyID = uuid.Nil, uuid.Nil
	results := p.add(a, nobody)
	if results[0].Outcome != inbox.Refused || results[0].Reason != inbox.SignatureWrong || results[0].Status != 401 {
		t.Errorf("result = %+v, want it refused as it came", results[0])
	}
	kept, found, err := p.events.KeptOf(t.Context(), p.workspace, a.ID)
	if err != nil || !found {
		t.Fatalf("KeptOf = %v, %v", found, err)
	}
	if !bytes.Equal(kept.Body, long[:inbox.MaxKeptBody]) || kept.Signature != a.Signature {
		t.Errorf("kept %d bytes and %q, want the first %d and %q", len(kept.Body), kept.Signature, inbox.MaxKeptBody, a.Signature)
	}
	if _, found, err := p.events.KeptOf(t.Context(), p.addWorkspace(), a.ID); found || err != nil {
		t.Errorf("KeptOf from another workspace = %v, %v, want nothing", found, err)
	}
	if n := p.count(`SELECT count(*) FROM deliveries WHERE body IS NOT NULL`); n != 0 {
		t.Errorf("%d refused deliveries have a body, want 0", n)
	}
	if n := p.count(`SELECT count(*) FROM refused_requests WHERE position('canary'::bytea IN body) > 0`); n != 0 {
		t.Error("the body is kept in the clear")
	}
	if n := p.count(`SELECT count(*) FROM refused_requests`); n != 1 {
		t.Errorf("%d requests kept, want only that whose key could be told", n)
	}
	p.exec(`UPDATE refused_requests SET webhook_key_id = $1`, p.keys[1])
	if _, _, err := p.events.KeptOf(t.Context(), p.workspace, a.ID); err == nil {
		t.Error("a sealed body opened under another key's row")
	}
}

func TestQuotaOfRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var batch []inbox.Arrival
	for range 30 {
		batch = append(batch, p.refused(0, "x"))
	}
	p.add(batch[:10]...)
	p.add(batch[10:]...)
	for range 3 {
		other := p.addKey(p.workspace)
		batch = nil
		for range 20 {
			a := p.refused(0, "x")
			a.KeyID = other
			batch = append(batch, a)
		}
		p.add(batch...)
	}
	kept, unkept := p.count(`SELECT count(*) FROM refused_requests`), p.count(`SELECT sum(bodies_not_kept) FROM delivery_totals`)
	if first := p.count(`SELECT count(*) FROM refused_requests WHERE webhook_key_id = $1`, p.keys[0]); first > 2*20 || (first != 20 && kept == 60) {
		t.Errorf("%d kept of one key, want 20 a minute", first)
	}
	// The minute may turn while the test runs; what was kept or not adds up either way.
	if kept < 60 || kept > 90 || kept+unkept != 90 {
		t.Errorf("%d kept and %d not, want 60 a minute of the workspace and 90 in all", kept, unkept)
	}
	if rows := p.count(`SELECT count(*) FROM deliveries`); rows != 90 {
		t.Errorf("%d deliveries, want all 90", rows)
	}
}

// A workspace that is deleted while senders append leaves nothing behind.
func TestDeleteWorkspaceUnderAppends(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stays := p.addWorkspace()
	p.exec(`INSERT INTO deliveries (id, workspace_id, auth_method, outcome, status, endpoint, address, received_at)
		VALUES ($1, $2, 'none', 'refused', 401, '/hooks/{key id}', '', now())`, newID(t), stays)
	begun := make(chan bool, 64)
	var running sync.WaitGroup
	for sender := range 4 {
		running.Go(func() {
			for n := range 200 {
				if n == 5 {
					begun <- true
				}
				_, err := p.try(p.arrival(sender%2, fmt.Sprint(n), "x"), p.refused(sender%2, "y"))
				if errors.Is(err, errGone) {
					return
				}
				if err != nil {
					t.Errorf("append beside a deletion: %v", err)
				}
			}
		})
	}
	for range 4 {
		<-begun
	}
	p.exec(`DELETE FROM workspaces WHERE id = $1`, p.workspace)
	running.Wait()
	for _, table := range []string{"signals", "deliveries", "refused_requests", "delivery_totals"} {
		if n := p.count(`SELECT count(*) FROM `+table+` WHERE workspace_id = $1`, p.workspace); n != 0 {
			t.Errorf("%d rows in %s outlived their workspace", n, table)
		}
	}
	if n := p.count(`SELECT count(*) FROM deliveries WHERE workspace_id = $1`, stays); n != 1 {
		t.Errorf("%d rows of the other workspace, want 1", n)
	}
}
