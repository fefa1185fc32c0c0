package keyring_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// run presses a batch's button until nothing is left.
func (w *world) run(t *testing.T, by audit.Actor, id uuid.UUID, press keyring.Press) keyring.Report {
	t.Helper()
	for left := 1; left > 0; {
		var err error
		if left, err = w.keys.Advance(t.Context(), by, id, press); err != nil {
			t.Fatal(err)
		}
	}
	return w.report(t, by, id)
}

func (w *world) report(t *testing.T, by audit.Actor, id uuid.UUID) keyring.Report {
	t.Helper()
	report, err := w.keys.ReportOn(t.Context(), by, id)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (w *world) choose(t *testing.T, by audit.Actor, action keyring.BatchAction, filter keyring.Filter) uuid.UUID {
	t.Helper()
	id, err := w.keys.Choose(t.Context(), by, action, filter)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// outcomesOf are a batch's outcomes by key, as "name: outcome".
func outcomesOf(r keyring.Report) (list []string) {
	for _, key := range r.Shown {
		list = append(list, fmt.Sprintf("%s: %s", key.Name, key.Outcome))
	}
	return list
}

// entriesOf are the entries about a key that stand behind those of its making.
func (w *world) entriesOf(t *testing.T, key uuid.UUID) (list []string) {
	t.Helper()
	entries, err := audit.NewStore(w.Console()).Of(t.Context(), w.ada.Chain(), key.String(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(entries) - 3; i >= 0; i-- {
		list = append(list, fmt.Sprintf("%s %s → %s by %s", entries[i].Action, entries[i].Before, entries[i].After, entries[i].ActorLabel))
	}
	return list
}

// chainHolds fails the test unless the trail's entries follow one another.
func (w *world) chainHolds(t *testing.T) {
	t.Helper()
	entries, err := audit.NewStore(w.Console()).All(t.Context(), w.ada.Chain(), 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	previous := audit.Entry{}
	for _, entry := range entries {
		if !entry.Follows(previous) {
			t.Fatalf("entry %d does not follow the one before it", entry.Seq)
		}
		previous = entry
	}
}

// TestBatchDeactivates: between choosing and pressing the button one key is used,
// one deactivated by somebody, one made, one used that was in use before; each is
// told of, and each change has its own entry.
func TestBatchDeactivates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := map[string]keyring.Key{}
	for _, name := range []string{"busy", "idle", "never used", "awakes", "awakes unseen", "stopped", "stopped before"} {
		keys[name] = w.issue(t, w.ada, name).Key
	}
	db := w.Raw()
	used := func(name, ago string) {
		db.MustExec(`UPDATE webhook_keys SET last_used_at = now() - $2::interval WHERE id = $1`, keys[name].ID, ago)
	}
	used("busy", "1 hour")
	used("idle", "40 days")
	used("awakes", "40 days")
	stop := func(name string) {
		if _, err := w.keys.Deactivate(t.Context(), w.ada, keys[name].ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	stop("stopped before")
	id := w.choose(t, w.ada, keyring.BatchDeactivate, keyring.Filter{})
	w.issue(t, w.ada, "made since")
	used("busy", "0")
	used("awakes", "0")
	stop("stopped")
	asked := w.report(t, w.ada, id)
	if asked.Keys != 7 || asked.Left() != 7 || asked.Busy != 1 || asked.Needless != 2 || asked.Came != 1 || asked.Foreign != 0 || time.Since(*asked.LatestUse) > time.Minute {
		t.Errorf("before: %+v; want 7 keys, 1 busy, 2 inactive already, 1 that came into use", asked)
	}
	done := w.run(t, w.ada, id, keyring.Press{Used: map[uuid.UUID]bool{keys["awakes unseen"].ID: true, keys["busy"].ID: true}})
	want := []string{
		"busy: done", "idle: done", "never used: done", "stopped: unchanged", "stopped before: unchanged", "awakes: used", "awakes unseen: used",
	}
	if diff := cmp.Diff(want, outcomesOf(done)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"awakes", "awakes unseen", "made since"}, w.namesOf(t, keyring.Filter{Claim: keyring.IsActive})); diff != "" {
		t.Errorf("still active (-want +got):\n%s", diff)
	}
	entry := `key.deactivated {"active":true} → {"active":false} by Ada Okonkwo`
	for name, want := range map[string][]string{"busy": {entry}, "idle": {entry}, "never used": {entry}, "stopped": {entry}, "awakes": nil} {
		if diff := cmp.Diff(want, w.entriesOf(t, keys[name].ID)); diff != "" {
			t.Errorf("the trail of %s (-want +got):\n%s", name, diff)
		}
	}
	before := len(w.actions(t, w.ada))
	w.run(t, w.ada, id, keyring.Press{})
	if n := len(w.actions(t, w.ada)); n != before {
		t.Errorf("pressed again, the button left %d entries", n-before)
	}
	w.chainHolds(t)
}

// TestBatchUndo takes back what a batch did, once, and leaves alone what somebody
// changed since.
func TestBatchUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.issue(t, w.ada, name)
	}
	all, _ := w.keys.List(t.Context(), w.ada.WorkspaceID)
	if _, err := w.keys.Deactivate(t.Context(), w.ada, all[3].ID, ""); err != nil {
		t.Fatal(err)
	}
	id := w.choose(t, w.ada, keyring.BatchDeactivate, keyring.Filter{})
	if _, err := w.keys.Undo(t.Context(), w.ada, id); err == nil {
		t.Error("Undo of a batch that did not begin was accepted")
	}
	w.run(t, w.ada, id, keyring.Press{})
	if _, err := w.keys.Reactivate(t.Context(), w.ada, all[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Edit(t.Context(), w.ada, all[1].ID, keyring.Draft{Name: "b, changed"}); err != nil {
		t.Fatal(err)
	}
	var undone [8]uuid.UUID
	var presses sync.WaitGroup
	for i := range undone {
		presses.Go(func() {
			undo, err := w.keys.Undo(context.Background(), w.ada, id)
			if err != nil {
				t.Error(err)
			}
			undone[i] = undo
		})
	}
	presses.Wait()
	for _, undo := range undone {
		if undo != undone[0] {
			t.Fatalf("Undo made more than one batch: %v", undone)
		}
	}
	report := w.run(t, w.ada, undone[0], keyring.Press{})
	if diff := cmp.Diff([]string{"b, changed: changed", "c: done", "a: unchanged"}, outcomesOf(report)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if back := w.report(t, w.ada, id); back.UndoneBy == nil || *back.UndoneBy != undone[0] {
		t.Errorf("the batch does not tell that it was taken back: %v", back.UndoneBy)
	}
	want := []string{`key.deactivated {"active":true} → {"active":false} by Ada Okonkwo`, `key.reactivated {"active":false} → {"active":true} by Ada Okonkwo`}
	if diff := cmp.Diff(want, w.entriesOf(t, all[2].ID)); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

// TestBatchOwner gives keys away, to who can answer for them alone.
func TestBatchOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.ada.WorkspaceID
	priya, ines, off := w.newPerson(t, ws, "Priya", "member"), w.newPerson(t, ws, "Ines", "auditor"), w.newPerson(t, ws, "Off", "member")
	w.Raw().MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, off.UserID)
	a, b := w.issue(t, w.ada, "a").Key, w.issue(t, w.ada, "b").Key
	w.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $2 WHERE id = $1`, b.ID, priya.UserID)
	id := w.choose(t, w.ada, keyring.BatchOwner, keyring.Filter{})
	eve := w.newOwner(t, "Eve")
	for who, owner := range map[string]*uuid.UUID{"nobody": nil, "an auditor": &ines.UserID, "a disabled user": &off.UserID, "a stranger": &eve.UserID} {
		_, err := w.keys.Advance(t.Context(), w.ada, id, keyring.Press{Owner: owner})
		if f, _ := fault.Of(err); f.Field != "owner" || f.Kind != fault.Invalid {
			t.Errorf("given to %s: %v, want a fault on owner", who, err)
		}
	}
	if r := w.report(t, w.ada, id); r.BeganAt != nil || r.Left() != 2 {
		t.Errorf("after refusals the batch has begun at %v and %d keys left", r.BeganAt, r.Left())
	}
	report := w.run(t, w.ada, id, keyring.Press{Owner: &priya.UserID})
	if diff := cmp.Diff([]string{"a: done", "b: unchanged"}, outcomesOf(report)); diff != "" || report.OwnerName != "Priya" {
		t.Errorf("outcomes, to %s (-want +got):\n%s", report.OwnerName, diff)
	}
	entry := fmt.Sprintf(`key.edited {"owner":"Ada Okonkwo","owner_id":"%s"} → {"owner":"Priya","owner_id":"%s"} by Ada Okonkwo`, w.ada.UserID, priya.UserID)
	if got := w.entriesOf(t, a.ID); len(got) == 1 && strings.Contains(got[0], `{"owner":"","owner_id":""}`) {
		entry = fmt.Sprintf(`key.edited {"owner":"","owner_id":""} → {"owner":"Priya","owner_id":"%s"} by Ada Okonkwo`, priya.UserID)
	}
	if diff := cmp.Diff([]string{entry}, w.entriesOf(t, a.ID)); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	w.chainHolds(t)
}

// TestBatchOfAMember: a member's batch changes keys of their own alone, and nobody
// reaches another workspace's keys or batches.
func TestBatchOfAMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	priya, ines := w.newPerson(t, w.ada.WorkspaceID, "Priya", "member"), w.newPerson(t, w.ada.WorkspaceID, "Ines", "auditor")
	made, owned, others := w.issue(t, priya, "made").Key, w.issue(t, w.ada, "owned").Key, w.issue(t, w.ada, "others").Key
	w.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $2 WHERE id = $1`, owned.ID, priya.UserID)
	w.Raw().MustExec(`UPDATE webhook_keys SET owner_id = NULL, created_by = NULL WHERE id = $1`, others.ID)
	eve := w.newOwner(t, "Eve")
	foreign := w.issue(t, eve, "foreign").Key
	ticked := keyring.Filter{Keys: []uuid.UUID{made.ID, owned.ID, others.ID, foreign.ID, uuid.New()}}
	id := w.choose(t, priya, keyring.BatchDeactivate, ticked)
	if r := w.report(t, priya, id); r.Keys != 3 || r.Foreign != 1 {
		t.Errorf("before: %d keys, %d of them not hers; want 3 and 1", r.Keys, r.Foreign)
	}
	if r := w.run(t, ines, w.choose(t, ines, keyring.BatchDeactivate, ticked), keyring.Press{}); r.Outcomes[keyring.NotOwn] != 3 {
		t.Errorf("an auditor's batch: %v, want nothing done", r.Outcomes)
	}
	if diff := cmp.Diff([]string{"made: done", "owned: done", "others: not_own"}, outcomesOf(w.run(t, priya, id, keyring.Press{}))); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	_, err1 := w.keys.ReportOn(t.Context(), eve, id)
	_, err2 := w.keys.Advance(t.Context(), eve, id, keyring.Press{})
	_, err3 := w.keys.Undo(t.Context(), eve, id)
	_, err4 := w.keys.Advance(t.Context(), eve, uuid.New(), keyring.Press{})
	for _, err := range []error{err1, err2, err3, err4} {
		if f, _ := fault.Of(err); f.Kind != fault.NotFound {
			t.Errorf("another workspace's batch: %v, want NotFound", err)
		}
	}
	_, err := w.keys.Choose(t.Context(), eve, keyring.BatchDeactivate, keyring.Filter{Keys: []uuid.UUID{made.ID}})
	if f, _ := fault.Of(err); f.Kind != fault.Invalid || f.Field != "key" {
		t.Errorf("another workspace's key chosen alone: %v, want that no key is chosen", err)
	}
}

// TestBatchTogether: many press one button at once while somebody deactivates its
// keys one by one. Each key is stopped once and has one entry.
func TestBatchTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var keys []keyring.Key
	for i := range 30 {
		keys = append(keys, w.issue(t, w.ada, fmt.Sprintf("key %d", i)).Key)
	}
	id := w.choose(t, w.ada, keyring.BatchDeactivate, keyring.Filter{})
	var work sync.WaitGroup
	for range 6 {
		work.Go(func() {
			if _, err := w.keys.Advance(context.Background(), w.ada, id, keyring.Press{}); err != nil {
				t.Error(err)
			}
		})
	}
	work.Go(func() {
		for i := len(keys) - 1; i >= 0; i-- {
			if _, err := w.keys.Deactivate(context.Background(), w.ada, keys[i].ID, ""); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
	for _, key := range keys {
		if got := w.entriesOf(t, key.ID); len(got) != 1 {
			t.Errorf("%s has %d entries, want 1", key.Name, len(got))
		}
	}
	if r := w.report(t, w.ada, id); r.Left() != 0 || r.Outcomes[keyring.Done]+r.Outcomes[keyring.Unchanged] != 30 {
		t.Errorf("outcomes: %v, want 30 done or unchanged", r.Outcomes)
	}
	w.chainHolds(t)
}

// TestExportIsRecorded: the trail tells what was asked for and how much it was.
func TestExportIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issue(t, w.ada, "feed of parcels")
	w.issue(t, w.ada, "b")
	if n, err := w.keys.RecordExport(t.Context(), w.ada, keyring.Filter{Claim: keyring.IsNeverUsed, Search: "feed of"}, "csv"); err != nil || n != 1 {
		t.Fatalf("RecordExport = %d, %v; want 1 key", n, err)
	}
	entries, err := audit.NewStore(w.Console()).Of(t.Context(), w.ada.Chain(), w.ada.WorkspaceID.String(), 1)
	if err != nil || len(entries) != 1 || entries[0].Action != audit.KeysExported || entries[0].After != `{"format":"csv","keys":1,"search":"feed of","status":"never-used"}` {
		t.Errorf("the trail says %+v, %v", entries, err)
	}
}
