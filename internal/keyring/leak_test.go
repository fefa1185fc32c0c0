package keyring_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

const leaked = keyring.CredentialLeaked

func (w *world) reportLeak(t *testing.T, id uuid.UUID) {
	t.Helper()
	if changed, err := w.keys.ReportLeaked(t.Context(), w.ada, id, 0); err != nil || !changed {
		t.Fatalf("ReportLeaked = %v, %v", changed, err)
	}
}

func (w *world) find(t *testing.T, id uuid.UUID) keyring.Key {
	t.Helper()
	key, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, id)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestReportLeaked: all that works stops, inside an overlap too; the secrets are
// erased, the hashes and fingerprints stay; it is recorded once.
func TestReportLeaked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	w.rotate(t, id, keyring.Rotation{Overlap: day})
	before := w.find(t, id)
	if before.Leaked() || before.Held != 4 || before.LeakedAt != nil {
		t.Errorf("before the report: leaked %v, %d held, at %v", before.Leaked(), before.Held, before.LeakedAt)
	}
	w.reportLeak(t, id)
	w.wantStates(t, id, "after the report", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked, "api_key 2": leaked, "secret 2": leaked})
	if changed, err := w.keys.ReportLeaked(t.Context(), w.ada, id, 0); err != nil || changed {
		t.Errorf("reported twice = %v, %v", changed, err)
	}
	var left struct{ Sealed, Hashes, Fingerprints, Moments int }
	if err := w.Raw().Get(&left, `SELECT count(sealed) AS sealed, count(hash) AS hashes, count(fingerprint) AS fingerprints,
		count(DISTINCT ended_at) FILTER (WHERE ended_at = leaked_at) AS moments FROM webhook_key_credentials WHERE webhook_key_id = $1`, id); err != nil || left != (struct{ Sealed, Hashes, Fingerprints, Moments int }{0, 2, 2, 1}) {
		t.Errorf("left in the table: %+v, %v; want no sealed secret, two hashes and two fingerprints", left, err)
	}
	after := w.find(t, id)
	if !after.Leaked() || !after.Active || after.StatusAt(time.Now()) != keyring.LeakedOut || after.Version <= before.Version {
		t.Errorf("the key: leaked %v, active %v, %s", after.Leaked(), after.Active, after.StatusAt(time.Now()))
	}
	for name, err := range map[string]error{
		"undo of the rotation":       w.keys.UndoRotation(t.Context(), w.ada, id, keyring.Both),
		"another end of the overlap": w.keys.MoveOverlapEnd(t.Context(), w.ada, id, keyring.Both, time.Now().Add(day)),
	} {
		if kindOf(err) != fault.Conflict {
			t.Errorf("%s after the report = %v, want Conflict", name, err)
		}
	}
	if _, err := w.keys.Rotate(t.Context(), w.ada, id, keyring.Rotation{Overlap: day}); kindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "reported as leaked") {
		t.Errorf("Rotate after the report = %v", err)
	}
	w.wantStates(t, id, "after all that", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked, "api_key 2": leaked, "secret 2": leaked})
	if diff := cmp.Diff([]audit.Action{
		audit.KeyCreated, audit.CredentialsShown, audit.KeyRotated, audit.CredentialsShown, audit.KeyLeaked,
	}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	var entry struct{ Before, After string }
	if err := w.Raw().Get(&entry, `SELECT before::text, after::text FROM audit_log WHERE action = 'key.leaked'`); err != nil ||
		!strings.Contains(entry.Before, before.Hint) || !strings.Contains(entry.Before, before.Fingerprint) || !strings.Contains(entry.After, "erased") {
		t.Errorf("the entry says %+v, %v", entry, err)
	}
}

// TestReportWhatIsThere: of others' keys and of none there is nothing to report; a
// key that was stopped before can have leaked too.
func TestReportWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	eve, member := w.newOwner(t, "Eve"), w.newPerson(t, w.ada.WorkspaceID, "Mel", "member")
	key := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	empty := w.issueDraft(t, keyring.Draft{Name: "stripe", Scheme: signature.Stripe}).Key.ID
	for name, tt := range map[string]struct {
		by   audit.Actor
		id   uuid.UUID
		seen int
		kind fault.Kind
	}{
		"another workspace's key": {eve, key, 0, fault.NotFound},
		"a key of nobody":         {w.ada, uuid.New(), 0, fault.NotFound},
		"somebody else's key":     {member, key, 0, fault.Forbidden},
		"a key before its secret": {w.ada, empty, 0, fault.Conflict},
		"a form of another time":  {w.ada, key, 4, fault.Conflict},
	} {
		if changed, err := w.keys.ReportLeaked(t.Context(), tt.by, tt.id, tt.seen); kindOf(err) != tt.kind || changed {
			t.Errorf("%s = %v, %v; want kind %v", name, changed, err, tt.kind)
		}
	}
	w.wantStates(t, key, "after what was refused", map[string]keyring.State{"api_key 1": valid, "secret 1": valid})

	if _, err := w.keys.Deactivate(t.Context(), w.ada, key, ""); err != nil {
		t.Fatal(err)
	}
	w.reportLeak(t, key)
	w.wantStates(t, key, "a deactivated key", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked})
	if status := w.find(t, key).StatusAt(time.Now()); status != keyring.Inactive {
		t.Errorf("the status of a deactivated key that leaked = %s", status)
	}
	if _, err := w.keys.Reactivate(t.Context(), w.ada, key); err != nil {
		t.Fatal(err)
	}
	w.wantStates(t, key, "reactivated", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked})
	if status := w.find(t, key).StatusAt(time.Now()); status != keyring.LeakedOut {
		t.Errorf("its status once reactivated = %s", status)
	}
	past := w.issueDraft(t, keyring.Draft{Name: "past"}).Key.ID
	w.Raw().MustExec(`UPDATE webhook_keys SET expires_at = now() - interval '1 hour' WHERE id = $1`, past)
	w.reportLeak(t, past)
	w.wantStates(t, past, "an expired key", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked})
}

// TestRenew: new credentials once the old ones leaked, once for each form, and
// never the leaked secret again. A form of the report that is sent again later
// stops none of them.
func TestRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.issueDraft(t, keyring.Draft{Name: "orders"})
	id := first.Key.ID
	if _, err := w.keys.Rotate(t.Context(), w.ada, id, keyring.Rotation{Renew: true}); kindOf(err) != fault.Conflict {
		t.Errorf("renewed without a leak = %v, want Conflict", err)
	}
	w.reportLeak(t, id)
	if _, _, err := w.keys.PasteSecret(t.Context(), w.ada, id, "a secret alone would leave it without an API key"); kindOf(err) != fault.Conflict {
		t.Errorf("a secret alone = %v, want Conflict", err)
	}
	done := w.rotate(t, id, keyring.Rotation{Renew: true, Nonce: "form", Seen: 2})
	if !done.Renewed || done.What != keyring.Both || !done.Shows() || done.Until != nil || done.Key.Leaked() || done.Key.LeakedAt == nil || done.Key.Hint == first.Key.Hint {
		t.Errorf("the new pair = %+v", done)
	}
	w.wantStates(t, id, "renewed", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked, "api_key 2": valid, "secret 2": valid})
	for name, r := range map[string]keyring.Rotation{"the form again": {Renew: true, Nonce: "form", Seen: 2}, "another form": {Renew: true, Nonce: "other", Seen: 2}} {
		if _, err := w.keys.Rotate(t.Context(), w.ada, id, r); err == nil {
			t.Errorf("%s made another pair", name)
		}
	}
	if changed, err := w.keys.ReportLeaked(t.Context(), w.ada, id, 2); err != nil || changed {
		t.Errorf("the old form of the report = %v, %v; want nothing stopped", changed, err)
	}
	w.wantStates(t, id, "after the old form", map[string]keyring.State{"api_key 1": leaked, "secret 1": leaked, "api_key 2": valid, "secret 2": valid})
	if _, err := w.keys.Rotate(t.Context(), w.ada, id, keyring.Rotation{What: keyring.SecretOnly, Secret: first.Secret.Reveal()}); kindOf(err) != fault.Invalid {
		t.Errorf("the leaked secret again = %v, want Invalid", err)
	}
	if _, err := w.keys.IssueWith(t.Context(), w.ada, keyring.Draft{Name: "another"}, first.Secret.Reveal(), ""); kindOf(err) != fault.Invalid {
		t.Errorf("the leaked secret for another key = %v, want Invalid", err)
	}
	w.rotate(t, id, keyring.Rotation{What: keyring.APIKeyOnly, Overlap: day})
	w.reportLeak(t, id)
	w.wantStates(t, id, "leaked again", map[string]keyring.State{
		"api_key 1": leaked, "secret 1": leaked, "api_key 2": leaked, "secret 2": leaked, "api_key 3": leaked,
	})
	leaks, err := w.keys.LeaksOf(t.Context(), w.ada.WorkspaceID, id)
	if err != nil || len(leaks.Reports) != 2 || len(leaks.Reports[0].Credentials) != 3 || len(leaks.Reports[1].Credentials) != 2 || leaks.Seen != 5 ||
		!leaks.Reports[0].At.After(leaks.Reports[1].At) || leaks.Reports[0].Last <= leaks.Reports[1].Last {
		t.Errorf("LeaksOf = %+v, %v", leaks, err)
	}
	if _, err := w.keys.LeaksOf(t.Context(), w.newOwner(t, "Eve").WorkspaceID, id); kindOf(err) != fault.NotFound {
		t.Errorf("LeaksOf from another workspace = %v", err)
	}
	if diff := cmp.Diff([]audit.Action{
		audit.KeyCreated, audit.CredentialsShown, audit.KeyLeaked, audit.KeyRenewed, audit.CredentialsShown,
		audit.KeyRotated, audit.CredentialsShown, audit.KeyLeaked,
	}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

// TestRenewProvider: a provider's key gets the secret that was made there, and the
// keys that share the leaked one are named.
func TestRenewProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paste := func(name string) uuid.UUID {
		t.Helper()
		issued, err := w.keys.IssueWith(t.Context(), w.ada, keyring.Draft{Name: name, Scheme: signature.Stripe}, stripeSecret, "")
		if err != nil {
			t.Fatal(err)
		}
		return issued.Key.ID
	}
	id, other := paste("one"), paste("other")
	w.reportLeak(t, id)
	leaks, err := w.keys.LeaksOf(t.Context(), w.ada.WorkspaceID, id)
	if err != nil || len(leaks.Others) != 1 || leaks.Others[0] != "other" {
		t.Errorf("LeaksOf = %+v, %v; want the other key named", leaks, err)
	}
	for name, secret := range map[string]string{"none": "", "the leaked one": stripeSecret} {
		if _, err := w.keys.Rotate(t.Context(), w.ada, id, keyring.Rotation{Renew: true, Secret: secret}); kindOf(err) != fault.Invalid {
			t.Errorf("renewed with %s = %v, want Invalid", name, err)
		}
	}
	done := w.rotate(t, id, keyring.Rotation{Renew: true, Secret: "whsec_" + strings.Repeat("n", 32)})
	if done.What != keyring.SecretOnly || done.Shows() || done.Key.Leaked() {
		t.Errorf("renewed = %+v", done)
	}
	w.wantStates(t, id, "renewed", map[string]keyring.State{"secret 1": leaked, "secret 2": valid})
	w.wantStates(t, other, "the key that shares it", map[string]keyring.State{"secret 1": valid})
}

// TestLeakedWhileRotating: whichever comes first of a rotation and a report from
// two people each, nothing of before works afterwards, and each is recorded once.
func TestLeakedWhileRotating(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for round := range 20 {
		id := w.issueDraft(t, keyring.Draft{Name: "key " + string(rune('a'+round))}).Key.ID
		var reports, rotations atomic.Int32
		var people sync.WaitGroup
		for range 2 {
			people.Go(func() {
				changed, err := w.keys.ReportLeaked(t.Context(), w.ada, id, 2)
				if kindOf(err) == fault.Conflict { // a rotation came first: asked again
					changed, err = w.keys.ReportLeaked(t.Context(), w.ada, id, 4)
				}
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				if changed {
					reports.Add(1)
				}
			})
			people.Go(func() {
				_, err := w.keys.Rotate(t.Context(), w.ada, id, keyring.Rotation{Overlap: day, Seen: 2})
				if err != nil && kindOf(err) != fault.Conflict {
					t.Errorf("round %d: %v", round, err)
				}
				if err == nil {
					rotations.Add(1)
				}
			})
		}
		people.Wait()
		if reports.Load() != 1 || rotations.Load() > 1 || !w.find(t, id).Leaked() {
			t.Errorf("round %d: %d reports and %d rotations went through; leaked %v", round, reports.Load(), rotations.Load(), w.find(t, id).Leaked())
		}
		for name, state := range w.states(t, id) {
			if state != leaked {
				t.Errorf("round %d: %s is %s", round, name, state)
			}
		}
	}
	var entries int
	if err := w.Raw().Get(&entries, `SELECT count(*) FROM audit_log WHERE action = 'key.leaked'`); err != nil || entries != 20 {
		t.Errorf("%d reports are recorded, %v; want 20", entries, err)
	}
}
