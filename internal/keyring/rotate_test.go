package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
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

// TestRotatedOnce: a form rotates once, however often it is sent.
func TestRotatedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	results := make(chan error, 20)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := w.keys.Rotate(context.WithoutCancel(t.Context()), w.ada, id, keyring.Rotation{Overlap: day, Nonce: "the form", Seen: 2})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	made := 0
	for err := range results {
		already, ok := errors.AsType[*keyring.AlreadyIssued](err)
		switch {
		case err == nil:
			made++
		case !ok || already.Rotated != keyring.Both || already.ShownTo != "Ada Okonkwo" || already.Key.ID != id:
			t.Errorf("a repeated form = %v, %+v", err, already)
		}
	}
	if made != 1 {
		t.Errorf("a form rotated %d times, want once", made)
	}
}

// TestManyRotations: of many at once, each in a form of its own, one is taken, for
// the others were told of another state; and commands leave two at most.
func TestManyRotations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	for _, seen := range []int{2, 0} {
		var mu sync.Mutex
		var wg sync.WaitGroup
		made, refused := 0, 0
		for range 20 {
			wg.Go(func() {
				_, err := w.keys.Rotate(context.WithoutCancel(t.Context()), w.ada, id, keyring.Rotation{Overlap: day, Nonce: uuid.NewString(), Seen: seen})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					made++
				case kindOf(err) == fault.Conflict:
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if want := map[int]int{2: 1, 0: 20}[seen]; made != want || made+refused != 20 {
			t.Errorf("having seen %d credentials: %d rotated and %d were refused, want %d to rotate", seen, made, refused, want)
		}
	}
	var works, current int
	err := w.Raw().QueryRow(`SELECT count(*) FILTER (WHERE coalesce(expires_at > now(), true)), count(*) FILTER (WHERE expires_at IS NULL)
		FROM webhook_key_credentials WHERE ended_at IS NULL`).Scan(&works, &current)
	if err != nil || works != 4 || current != 2 {
		t.Errorf("%d credentials work and %d are current, %v; want 4 and 2", works, current, err)
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

// TestSavedAfterRotation: each that was shown credentials says so of the latest.
func TestSavedAfterRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "orders"}, "first")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID); err != nil {
		t.Fatal(err)
	}
	w.rotate(t, issued.Key.ID, keyring.Rotation{Nonce: "second"})
	if err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID); err != nil {
		t.Errorf("having saved what a rotation showed = %v", err)
	}
	if err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID); kindOf(err) != fault.Conflict {
		t.Errorf("said twice = %v, want Conflict", err)
	}
	var before, after map[string]any
	var rows []string
	if err := w.Raw().Select(&rows, `SELECT before::text || '|' || after::text FROM audit_log WHERE action = 'key.rotated'`); err != nil || len(rows) != 1 {
		t.Fatalf("%d records of the rotation, %v", len(rows), err)
	}
	was, is, _ := strings.Cut(rows[0], "|")
	if json.Unmarshal([]byte(was), &before) != nil || json.Unmarshal([]byte(is), &after) != nil || before["api_key"] != issued.Key.Hint || after["overlap_ends"] != "now" {
		t.Errorf("the record says %s and %s", was, is)
	}
}
