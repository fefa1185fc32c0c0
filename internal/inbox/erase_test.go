package inbox_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
)

// TestErase: of all that came with a ref the bodies and headers go, wherever they
// are, and hashes and traces stay; of nothing else do they go.
func TestErase(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const secret = "Zebedee Quarrington"
	first, again, refused, other := p.arrival(0, "subject", secret), p.arrival(1, "subject", secret+" again"), p.refused(0, secret), p.arrival(0, "another", "kept body")
	first.Headers, again.Headers = `{"x-subject":"`+secret+`"}`, `{"x-subject":"`+secret+`"}`
	refused.SourceRef = "subject"
	foreign := p.addWorkspace()
	theirs := p.arrival(0, "subject", "their body")
	theirs.WorkspaceID, theirs.KeyID = foreign, p.addKey(foreign)
	p.add(first)
	p.add(again, refused, other)
	p.add(theirs)
	if got := p.count(`SELECT count(*) FROM refused_requests`); got != 1 {
		t.Fatalf("%d refused requests are kept, want 1", got)
	}
	if _, err := p.events.AskToErase(t.Context(), p.by(), inbox.Erasure{SourceRef: "subject", Reason: "asked us to"}); err != nil {
		t.Fatal(err)
	}
	e := p.eraseAll()
	if e.Deliveries != 3 || e.Signals != 1 || e.Refused != 1 {
		t.Errorf("it erased %+v, want 3 deliveries, 1 signal, 1 sealed body", e)
	}
	if got := p.dump(); bytes.Contains(got, []byte("Zebedee")) || bytes.Contains(got, []byte(fmt.Sprintf("%x", "Zebedee"))) {
		t.Error("the dump holds what was erased")
	} else if !bytes.Contains(got, []byte(fmt.Sprintf("%x", "kept body"))) || !bytes.Contains(got, []byte(fmt.Sprintf("%x", "their body"))) {
		t.Error("the dump lacks what was not to be erased")
	}
	if got := p.count(`SELECT count(*) FROM deliveries WHERE workspace_id = $1 AND source_ref = 'subject' AND body_sha256 IS NOT NULL AND address <> ''`, p.workspace); got != 3 {
		t.Errorf("%d traces with a hash are left, want 3", got)
	}
	signal, _, err := p.events.Signal(t.Context(), p.workspace, first.ID)
	if err != nil || signal.Body != nil || signal.Headers != "{}" || signal.Erased == nil || signal.Erased.Reason != "asked us to" || signal.Erased.ErasedBy != "test" || len(signal.SHA256) != 32 {
		t.Errorf("Signal = %+v, %v", signal, err)
	}
	if got := p.count(`SELECT count(*) FROM refused_requests`); got != 0 {
		t.Errorf("%d sealed bodies are left", got)
	}
	if asked, done := p.entries(audit.ErasureAsked), p.entries(audit.PayloadsErased); asked != 1 || done != 1 {
		t.Errorf("%d and %d entries, want 1 each", asked, done)
	}
	changes, err := p.events.Changes(t.Context(), p.workspace, [16]byte{}, 9)
	if err != nil || len(changes) != 1 || changes[0].Kind != inbox.Erased || changes[0].Erasure.SourceRef != "subject" {
		t.Errorf("Changes = %+v, %v", changes, err)
	}
}

// eraseAll goes on until the one erasure is over.
func (p *place) eraseAll() inbox.Erasure {
	p.t.Helper()
	upkeep := inbox.NewStore(p.Maintenance(), p.box)
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) { // what other tests write in the same cluster holds it up
		if err := upkeep.Erase(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
		erasures, err := p.events.Erasures(p.t.Context(), p.workspace)
		if err != nil || len(erasures) != 1 {
			p.t.Fatal(erasures, err)
		}
		if erasures[0].FinishedAt != nil {
			return erasures[0]
		}
		if time.Since(began) > time.Minute {
			p.t.Fatalf("the erasure is not over: %+v", erasures[0])
		}
	}
}

// TestEraseWaits: what was being written when somebody asked is erased too, although
// it comes behind the place that was reached.
func TestEraseWaits(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	early := p.arrival(0, "", "early")
	early.SourceRef = "subject-early"
	p.add(p.arrival(0, "x", "one"))
	tx := p.Raw().MustBegin()
	defer tx.Rollback()
	tx.MustExec(`INSERT INTO deliveries (id, workspace_id, webhook_key_id, auth_method, outcome, status, endpoint, address, source_ref, body, received_at)
		VALUES ($1, $2, $3, 'api_key', 'duplicate', 200, '/', '192.0.2.1', 'x', 'late', now())`, early.ID, p.workspace, p.keys[0])
	if _, err := p.events.AskToErase(t.Context(), p.by(), inbox.Erasure{SourceRef: "x", Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	upkeep := inbox.NewStore(p.Maintenance(), p.box)
	for range 3 {
		if err := upkeep.Erase(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.count(`SELECT count(*) FROM erasures WHERE finished_at IS NULL AND deliveries = 1`); got != 1 {
		t.Error("it is over while a writer is not")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if e := p.eraseAll(); e.Deliveries != 2 {
		t.Errorf("it erased %d, want 2", e.Deliveries)
	}
}

// dump returns the database as pg_dump writes it.
func (p *place) dump() []byte {
	p.t.Helper()
	out, err := exec.Command("pg_dump", "-d", p.URL).Output()
	if err != nil {
		p.t.Fatalf("pg_dump: %v", err)
	}
	return out
}
