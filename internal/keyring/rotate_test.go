package keyring_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

const day = 24 * time.Hour

func (w *world) issueDraft(t *testing.T, draft keyring.Draft) keyring.Issued {
	t.Helper()
	issued, err := w.keys.Issue(t.Context(), w.ada, draft, "")
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (w *world) rotate(t *testing.T, id uuid.UUID, r keyring.Rotation) keyring.Rotated {
	t.Helper()
	done, err := w.keys.Rotate(t.Context(), w.ada, id, r)
	if err != nil {
		t.Fatalf("Rotate %+v: %v", r, err)
	}
	return done
}

// states are the states of a key's credentials, by kind and generation.
func (w *world) states(t *testing.T, id uuid.UUID) map[string]keyring.State {
	t.Helper()
	_, found, err := keyring.NewCache(w.keys).View(true).ByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]keyring.State{}
	for _, f := range found {
		states[f.Kind+" "+string(rune('0'+f.Generation))] = f.State
	}
	return states
}

func (w *world) wantStates(t *testing.T, id uuid.UUID, when string, want map[string]keyring.State) {
	t.Helper()
	if diff := cmp.Diff(want, w.states(t, id)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func (w *world) overlaps(t *testing.T, id uuid.UUID) []keyring.Overlap {
	t.Helper()
	o, err := w.keys.OverlapsOf(t.Context(), w.ada.WorkspaceID, id)
	if err != nil {
		t.Fatal(err)
	}
	return o.Overlaps
}

const valid, ended, expired = keyring.Valid, keyring.CredentialEnded, keyring.CredentialExpired

func TestRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.issueDraft(t, keyring.Draft{Name: "orders"})
	id := first.Key.ID
	done := w.rotate(t, id, keyring.Rotation{Overlap: day})
	if done.What != keyring.Both || done.APIKey.Reveal() == first.APIKey.Reveal() || done.Secret.Reveal() == first.Secret.Reveal() || !done.Shows() ||
		done.Key.Hint == first.Key.Hint || done.Key.Fingerprint == first.Key.Fingerprint || done.Key.Version <= first.Key.Version || done.Ended != 0 {
		t.Errorf("Rotate = %+v, want new credentials that are shown", done)
	}
	if left := time.Until(*done.Until); left < day-time.Minute || left > day+time.Minute {
		t.Errorf("the overlap ends in %v, want 24 h", left)
	}
	w.wantStates(t, id, "inside the overlap", map[string]keyring.State{"api_key 1": valid, "secret 1": valid, "api_key 2": valid, "secret 2": valid})

	w.Raw().MustExec(`UPDATE webhook_key_credentials SET expires_at = statement_timestamp() WHERE generation = 1`)
	w.wantStates(t, id, "at the end to the microsecond", map[string]keyring.State{"api_key 1": expired, "secret 1": expired, "api_key 2": valid, "secret 2": valid})
	if o := w.overlaps(t, id); len(o) != 0 {
		t.Errorf("an overlap that is over is listed: %+v", o)
	}
	for name, err := range map[string]error{
		"move": w.keys.MoveOverlapEnd(t.Context(), w.ada, id, keyring.Both, time.Now().Add(day)),
		"end":  w.keys.EndOverlap(t.Context(), w.ada, id, keyring.Both),
		"undo": w.keys.UndoRotation(t.Context(), w.ada, id, keyring.Both),
	} {
		if kindOf(err) != fault.Conflict {
			t.Errorf("%s after the end = %v, want Conflict", name, err)
		}
	}

	done = w.rotate(t, id, keyring.Rotation{What: keyring.SecretOnly})
	if done.Until != nil || done.APIKey.Reveal() != "" || done.Secret.Reveal() == "" || done.Ended != 0 {
		t.Errorf("a secret that is replaced now = %+v", done)
	}
	w.wantStates(t, id, "after a rotation without an overlap", map[string]keyring.State{
		"api_key 1": expired, "secret 1": expired, "api_key 2": valid, "secret 2": ended, "secret 3": valid,
	})
	if diff := cmp.Diff([]audit.Action{
		audit.KeyCreated, audit.CredentialsShown, audit.KeyRotated, audit.CredentialsShown, audit.KeyRotated, audit.CredentialsShown,
	}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

// TestRotateWhatIsThere: what is asked for must be there, and what only the
// provider makes must be given.
func TestRotateWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	eve := w.newOwner(t, "Eve")
	generic := w.issueDraft(t, keyring.Draft{Name: "generic"}).Key.ID
	stripe := w.issueDraft(t, keyring.Draft{Name: "stripe", Scheme: signature.Stripe}).Key.ID
	github := w.issueDraft(t, keyring.Draft{Name: "github", Scheme: signature.GitHub}).Key.ID
	imported, _, err := w.keys.Import(t.Context(), w.ada, keyring.Draft{Name: "imported"}, keyring.Imported{APIKey: "wk_of-the-origin-0123456789"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Rotate(t.Context(), w.ada, stripe, keyring.Rotation{Secret: stripeSecret}); kindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "nothing to rotate") {
		t.Errorf("a key before its secret = %v", err)
	}
	if _, _, err := w.keys.PasteSecret(t.Context(), w.ada, stripe, stripeSecret); err != nil {
		t.Fatal(err)
	}
	past, far := time.Now().Add(-time.Second), time.Now().Add(keyring.MaxOverlap+time.Hour)
	for name, tt := range map[string]struct {
		by    audit.Actor
		id    uuid.UUID
		r     keyring.Rotation
		kind  fault.Kind
		field string
	}{
		"another workspace's key":          {eve, generic, keyring.Rotation{}, fault.NotFound, ""},
		"a key of nobody":                  {w.ada, uuid.New(), keyring.Rotation{}, fault.NotFound, ""},
		"a provider's without a secret":    {w.ada, stripe, keyring.Rotation{}, fault.Invalid, "secret"},
		"the secret it has":                {w.ada, stripe, keyring.Rotation{Secret: stripeSecret}, fault.Invalid, "secret"},
		"a short secret":                   {w.ada, stripe, keyring.Rotation{Secret: "short"}, fault.Invalid, "secret"},
		"a provider's API key":             {w.ada, github, keyring.Rotation{What: keyring.APIKeyOnly}, fault.Invalid, "what"},
		"both of a provider's":             {w.ada, github, keyring.Rotation{What: keyring.Both}, fault.Invalid, "what"},
		"a secret that is not there":       {w.ada, imported.ID, keyring.Rotation{What: keyring.SecretOnly}, fault.Invalid, "what"},
		"something else":                   {w.ada, generic, keyring.Rotation{What: "all"}, fault.Invalid, "what"},
		"a secret for the API key":         {w.ada, generic, keyring.Rotation{What: keyring.APIKeyOnly, Secret: stripeSecret}, fault.Invalid, "secret"},
		"an end that has passed":           {w.ada, generic, keyring.Rotation{Until: &past}, fault.Invalid, "overlap"},
		"an end that is far away":          {w.ada, generic, keyring.Rotation{Until: &far}, fault.Invalid, "overlap"},
		"a negative overlap":               {w.ada, generic, keyring.Rotation{Overlap: -1}, fault.Invalid, "overlap"},
		"a form that saw less credentials": {w.ada, generic, keyring.Rotation{Seen: 1}, fault.Conflict, ""},
		"a damaged form":                   {w.ada, generic, keyring.Rotation{Nonce: "\xff"}, fault.Invalid, ""},
		"another member's key":             {w.newPerson(t, w.ada.WorkspaceID, "Mem", "member"), generic, keyring.Rotation{}, fault.Forbidden, ""},
	} {
		_, err := w.keys.Rotate(t.Context(), tt.by, tt.id, tt.r)
		if f, _ := fault.Of(err); kindOf(err) != tt.kind || f.Field != tt.field {
			t.Errorf("%s = %v, want kind %v on %q", name, err, tt.kind, tt.field)
		}
	}
	if done := w.rotate(t, stripe, keyring.Rotation{Secret: stripeSecret + "x", Overlap: time.Hour}); !done.Pasted || done.Shows() || done.What != keyring.SecretOnly {
		t.Errorf("a pasted secret = %+v, want nothing to show", done)
	}
	if done := w.rotate(t, github, keyring.Rotation{}); done.Secret.Reveal() == "" || done.APIKey.Reveal() != "" {
		t.Errorf("GitHub's = %+v, want a secret alone", done)
	}
	if done := w.rotate(t, imported.ID, keyring.Rotation{}); done.What != keyring.APIKeyOnly {
		t.Errorf("an imported key without a secret: %s is rotated, want the API key", done.What)
	}
	var text string
	if err := w.Raw().Get(&text, `SELECT string_agg(audit_log::text, ' ') FROM audit_log`); err != nil || strings.Contains(text, stripeSecret) {
		t.Errorf("the audit log holds a secret: %v", err)
	}
}

func (w *world) lastEntry(t *testing.T) audit.Entry {
	t.Helper()
	var entry audit.Entry
	err := w.Raw().QueryRow(`SELECT action, coalesce(before::text, ''), coalesce(after::text, '') FROM audit_log WHERE chain = $1 ORDER BY seq DESC LIMIT 1`,
		audit.ChainOf(w.ada.WorkspaceID)).Scan(&entry.Action, &entry.Before, &entry.After)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}
