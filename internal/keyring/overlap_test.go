package keyring_test

import (
	"strings"
	"testing"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// TestRotateInsideAnOverlap: of each kind at most two work.
func TestRotateInsideAnOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	w.rotate(t, id, keyring.Rotation{Overlap: day})
	if done := w.rotate(t, id, keyring.Rotation{What: keyring.SecretOnly, Overlap: time.Hour}); done.Ended != 1 {
		t.Errorf("a second rotation of the secret ended %d, want the oldest", done.Ended)
	}
	w.wantStates(t, id, "after it", map[string]keyring.State{"api_key 1": valid, "api_key 2": valid, "secret 1": ended, "secret 2": valid, "secret 3": valid})
	o := w.overlaps(t, id)
	if len(o) != 2 || o[0].What != keyring.SecretOnly || !o[0].Latest || o[1].What != keyring.APIKeyOnly || o[1].Latest {
		t.Fatalf("OverlapsOf = %+v, want the secret's and then the API key's", o)
	}
	if err := w.keys.UndoRotation(t.Context(), w.ada, id, keyring.APIKeyOnly); kindOf(err) != fault.Conflict {
		t.Errorf("undo of what is not the latest = %v, want Conflict", err)
	}
	until := time.Now().Add(3 * day).UTC().Truncate(time.Second)
	if err := w.keys.MoveOverlapEnd(t.Context(), w.ada, id, keyring.APIKeyOnly, until); err != nil {
		t.Fatal(err)
	}
	if o := w.overlaps(t, id); !o[1].Until.Equal(until) || o[0].Until.Equal(until) {
		t.Errorf("the ends are %v and %v, want the API key's alone to be %v", o[0].Until, o[1].Until, until)
	}
	if err := w.keys.EndOverlap(t.Context(), w.ada, id, keyring.APIKeyOnly); err != nil {
		t.Fatal(err)
	}
	if err := w.keys.UndoRotation(t.Context(), w.ada, id, keyring.SecretOnly); err != nil {
		t.Fatal(err)
	}
	w.wantStates(t, id, "after the end of one and the undoing of the other", map[string]keyring.State{
		"api_key 1": ended, "api_key 2": valid, "secret 1": ended, "secret 2": valid, "secret 3": ended,
	})
	entry := w.lastEntry(t)
	if entry.Action != audit.RotationUndone || !strings.Contains(entry.Before, "fingerprint") || entry.Before == entry.After {
		t.Errorf("the record of the undoing: %+v", entry)
	}
}

// TestUndo: while nothing has come with the new ones, a rotation can be taken back.
func TestUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.issueDraft(t, keyring.Draft{Name: "orders"})
	id := first.Key.ID
	done := w.rotate(t, id, keyring.Rotation{What: keyring.APIKeyOnly, Overlap: day})
	member := w.newPerson(t, w.ada.WorkspaceID, "Mem", "member")
	eve := w.newOwner(t, "Eve")
	for who, want := range map[*audit.Actor]fault.Kind{&member: fault.Forbidden, &eve: fault.NotFound} {
		for name, err := range map[string]error{
			"move": w.keys.MoveOverlapEnd(t.Context(), *who, id, keyring.APIKeyOnly, time.Now().Add(day)),
			"end":  w.keys.EndOverlap(t.Context(), *who, id, keyring.APIKeyOnly),
			"undo": w.keys.UndoRotation(t.Context(), *who, id, keyring.APIKeyOnly),
		} {
			if kindOf(err) != want {
				t.Errorf("%s by %s = %v, want %v", name, who.Label, err, want)
			}
		}
	}
	if _, err := w.keys.OverlapsOf(t.Context(), eve.WorkspaceID, id); kindOf(err) != fault.NotFound {
		t.Errorf("OverlapsOf another workspace's key = %v", err)
	}
	count := func(generation int) {
		w.Raw().MustExec(`INSERT INTO delivery_tallies VALUES ($1, $2, date_trunc('hour', now(), 'UTC'), $3, 'accepted', '', '192.0.2.1', 1, 0, 0, now(), now(), '{}')`,
			id, w.ada.WorkspaceID, generation)
	}
	o := w.overlaps(t, id)[0]
	count(o.CountedAs[0]) // the old API key
	count(o.New + 1)      // the secret, which stays
	if err := w.keys.UndoRotation(t.Context(), w.ada, id, keyring.APIKeyOnly); err != nil {
		t.Errorf("undo while the old one is used = %v", err)
	}
	if key, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, id); err != nil || key.Hint != first.Key.Hint || key.Hint == done.Key.Hint {
		t.Errorf("after undoing, the key's hint is %q, %v; want %q", key.Hint, err, first.Key.Hint)
	}
	w.wantStates(t, id, "after undoing", map[string]keyring.State{"api_key 1": valid, "api_key 2": ended, "secret 1": valid})
	w.rotate(t, id, keyring.Rotation{Overlap: day})
	count(w.overlaps(t, id)[0].New)
	if err := w.keys.UndoRotation(t.Context(), w.ada, id, keyring.Both); kindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "somebody has them") {
		t.Errorf("undo once the new one is used = %v, want Conflict", err)
	}
	for _, far := range []time.Duration{-time.Second, keyring.MaxOverlap + time.Hour} {
		if err := w.keys.MoveOverlapEnd(t.Context(), w.ada, id, keyring.Both, time.Now().Add(far)); kindOf(err) != fault.Invalid {
			t.Errorf("an end %v away = %v, want Invalid", far, err)
		}
	}
}

// TestRotating: while old credentials work, the key is called rotating, until the
// next of them ends.
func TestRotating(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	status := func() (keyring.Status, *time.Time) {
		t.Helper()
		keys, err := w.keys.List(t.Context(), w.ada.WorkspaceID)
		if err != nil || len(keys) != 1 {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		return keys[0].StatusAt(time.Now()), keys[0].RotatingUntil
	}
	secret := w.rotate(t, id, keyring.Rotation{What: keyring.SecretOnly, Overlap: 2 * day})
	apiKey := w.rotate(t, id, keyring.Rotation{What: keyring.APIKeyOnly, Overlap: day})
	for _, want := range []*time.Time{apiKey.Until, secret.Until, nil} {
		got, until := status()
		if want != nil && (got != keyring.Rotating || until == nil || until.Sub(*want).Abs() > time.Millisecond) {
			t.Errorf("%s until %v, want rotating until %v", got, until, want)
		}
		if want == nil && (got != keyring.NeverUsed || until != nil) {
			t.Errorf("with no overlap left: %s until %v", got, until)
		}
		for _, o := range w.overlaps(t, id) {
			if want != nil && o.Until.Sub(*want).Abs() < time.Millisecond {
				if err := w.keys.EndOverlap(t.Context(), w.ada, id, o.What); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	w.rotate(t, id, keyring.Rotation{Overlap: day})
	w.Raw().MustExec(`UPDATE webhook_key_credentials SET expires_at = statement_timestamp() WHERE expires_at IS NOT NULL`)
	if got, until := status(); got != keyring.NeverUsed || until != nil {
		t.Errorf("once the overlap is over: %s until %v", got, until)
	}
}

// TestNumbers: the number that requests are counted under tells old credentials
// from all others, whatever was rotated before.
func TestNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	for i, what := range []keyring.What{"api_key", "secret", "both", "secret", "api_key", "api_key", "both"} {
		w.rotate(t, id, keyring.Rotation{What: what, Overlap: day})
		if i%3 == 2 {
			if err := w.keys.UndoRotation(t.Context(), w.ada, id, what); err != nil {
				t.Fatal(err)
			}
			continue
		}
		_, found, err := keyring.NewCache(w.keys).View(true).ByID(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		o := w.overlaps(t, id)[0]
		for _, f := range found {
			old := f.Until != nil
			isNew := !old && (what == keyring.Both || string(what) == f.Kind)
			if f.State != keyring.Valid || old {
				continue
			}
			if (f.CountedAs == o.New) != isNew {
				t.Errorf("rotation %d of %s: a current %s is counted as %d, what is new as %d", i, what, f.Kind, f.CountedAs, o.New)
			}
			for _, other := range w.overlaps(t, id) {
				for _, n := range other.CountedAs {
					if n >= f.CountedAs {
						t.Errorf("rotation %d of %s: an old one is counted as %d, a current %s as %d", i, what, n, f.Kind, f.CountedAs)
					}
				}
			}
		}
	}
}
