package keyring_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// TestOneFormWithASource: a form that asks for a source or a name clashes with the
// key that it has made itself, and is told so, at once and later.
func TestOneFormWithASource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var made, already atomic.Int32
	send := func(draft keyring.Draft, nonce string) error {
		_, err := w.keys.Issue(t.Context(), w.ada, draft, nonce)
		if before, ok := errors.AsType[*keyring.AlreadyIssued](err); ok && before.Key.Source == "desk" && before.ShownTo == "Ada Okonkwo" {
			already.Add(1)
		} else if err == nil {
			made.Add(1)
		} else {
			return err
		}
		return nil
	}
	var senders sync.WaitGroup
	for range 20 {
		senders.Go(func() {
			if err := send(keyring.Draft{Name: "returns", Source: "desk"}, "nonce-1"); err != nil {
				t.Errorf("the same form = %v", err)
			}
		})
	}
	senders.Wait()
	for _, draft := range []keyring.Draft{{Name: "returns", Source: "desk"}, {Name: "another", Source: "desk"}, {Name: "returns", Source: "other"}, {Name: "another"}} {
		if err := send(draft, "nonce-1"); err != nil {
			t.Errorf("the same form with %+v = %v", draft, err)
		}
	}
	if made.Load() != 1 || already.Load() != 23 {
		t.Errorf("%d keys were made and %d were told so, want 1 and 23", made.Load(), already.Load())
	}
	if f, _ := fault.Of(send(keyring.Draft{Name: "another", Source: "desk"}, "nonce-2")); f.Field != "source" || f.Kind != fault.Conflict {
		t.Errorf("the same source from another form = %v, want a conflict on it", f)
	}
	for _, nonce := range []string{"a\x00b", "a\xffb", strings.Repeat("n", 201)} {
		if f, _ := fault.Of(send(keyring.Draft{Name: "damaged"}, nonce)); f.Kind != fault.Invalid {
			t.Errorf("the nonce %.5q = %v, want a fault", nonce, f)
		}
	}
}

// TestConfirmSavedOnce: only whoever was shown the credentials says, once, that
// they are saved.
func TestConfirmSavedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "shown"}, "nonce-1")
	if err != nil {
		t.Fatal(err)
	}
	command := audit.Actor{WorkspaceID: w.ada.WorkspaceID, Kind: audit.CLI, Label: w.ada.Label}
	for _, by := range []audit.Actor{w.newPerson(t, w.ada.WorkspaceID, w.ada.Label, "admin"), command} {
		if f, _ := fault.Of(w.keys.ConfirmSaved(t.Context(), by, issued.Key.ID)); f.Kind != fault.Forbidden {
			t.Errorf("%s, who was not shown them, = %v, want Forbidden", by.Kind, f)
		}
	}
	var confirmed, told atomic.Int32
	var senders sync.WaitGroup
	for range 10 {
		senders.Go(func() {
			err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID)
			if f, _ := fault.Of(err); err == nil {
				confirmed.Add(1)
			} else if f.Kind == fault.Conflict {
				told.Add(1)
			}
		})
	}
	senders.Wait()
	if confirmed.Load() != 1 || told.Load() != 9 {
		t.Errorf("%d confirmed and %d were told so, want 1 and 9", confirmed.Load(), told.Load())
	}
	want := []audit.Action{audit.KeyCreated, audit.CredentialsShown, audit.CredentialsSaved}
	if diff := cmp.Diff(want, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
	byCommand := w.issue(t, w.ada, "without a form").Key
	if f, _ := fault.Of(w.keys.ConfirmSaved(t.Context(), w.ada, byCommand.ID)); f.Kind != fault.Forbidden {
		t.Errorf("of a key that no form made = %v, want Forbidden", f)
	}
}
