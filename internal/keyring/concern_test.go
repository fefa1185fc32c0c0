package keyring_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/keyring"
)

// TestConcerns: each key is named where it should be, and nowhere else; one that
// does not work, and another workspace's, are of no concern.
func TestConcerns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.Raw()
	other := w.newOwner(t, "Mallory")
	left := w.newPerson(t, w.ada.WorkspaceID, "Left", "member")
	db.MustExec(`DELETE FROM memberships WHERE user_id = $1`, left.UserID)
	disabled := w.newPerson(t, w.ada.WorkspaceID, "Disabled", "member")
	db.MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, disabled.UserID)
	make := func(name, set string, args ...any) {
		t.Helper()
		for _, by := range []struct {
			name  string
			actor int
		}{{name, 0}, {name + " elsewhere", 1}} {
			actor := w.ada
			if by.actor == 1 {
				actor = other
			}
			issued, err := w.keys.Issue(t.Context(), actor, keyring.Draft{Name: by.name, OwnerID: &actor.UserID}, "")
			if err != nil {
				t.Fatal(err)
			}
			db.MustExec(`UPDATE webhook_keys SET expires_at = now() + interval '300 days', last_used_at = now() WHERE id = $1`, issued.Key.ID)
			if by.actor == 0 && set != "" {
				db.MustExec(`UPDATE webhook_keys SET `+set+` WHERE id = $1`, append([]any{issued.Key.ID}, args...)...)
			}
		}
	}
	make("well", "")
	make("ends in 29 days", "expires_at = now() + interval '29 days'")
	make("ends tomorrow", "expires_at = now() + interval '1 day'")
	make("ends in 31 days", "expires_at = now() + interval '31 days'")
	make("unused", "last_used_at = NULL")
	make("idle", "last_used_at = now() - interval '31 days'")
	make("long idle", "last_used_at = now() - interval '91 days'")
	make("old and unused", "last_used_at = NULL, created_at = now() - interval '92 days'")
	make("endless", "expires_at = NULL")
	make("ownerless", "owner_id = NULL")
	make("owner left", "owner_id = $2", left.UserID)
	make("owner disabled", "owner_id = $2", disabled.UserID)
	make("inactive", "is_active = false, owner_id = NULL, expires_at = NULL, last_used_at = NULL")
	make("expired", "expires_at = now() - interval '1 second', owner_id = NULL, last_used_at = now() - interval '1 year'")

	c, err := w.keys.Concerns(t.Context(), w.ada.WorkspaceID, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		got   keyring.Concern
		count int
		first []string
	}{
		"expiring":      {c.Expiring, 2, []string{"ends tomorrow", "ends in 29 days"}},
		"never used":    {c.NeverUsed, 2, []string{"old and unused", "unused"}},
		"idle":          {c.Idle, 3, []string{"old and unused", "long idle"}},
		"long idle":     {c.LongIdle, 2, []string{"old and unused", "long idle"}},
		"never expires": {c.NeverExpires, 1, []string{"endless"}},
		"owner gone":    {c.OwnerGone, 3, []string{"ownerless", "owner left"}},
	} {
		var names []string
		for _, m := range tt.got.First {
			names = append(names, m.Name)
		}
		if tt.got.Count != tt.count || len(names) != len(tt.first) || names[0] != tt.first[0] || names[len(names)-1] != tt.first[len(tt.first)-1] {
			t.Errorf("%s = %d keys, %v; want %d, %v", name, tt.got.Count, names, tt.count, tt.first)
		}
	}
	if c.WithinWeek != 1 {
		t.Errorf("%d keys end within a week, want 1", c.WithinWeek)
	}
	if day, week, month, err := w.keys.Expiring(t.Context()); err != nil || day+week+month != 1+1+2 {
		t.Errorf("Expiring = %d, %d, %d, %v; want 1, 1, 2", day, week, month, err)
	}
	if none, err := w.keys.Concerns(t.Context(), uuid.Must(uuid.NewV7()), 2); err != nil || none.Expiring.Count+none.OwnerGone.Count+none.NeverUsed.Count != 0 {
		t.Errorf("Concerns of no workspace = %+v, %v", none, err)
	}
}

// TestEndingOverlaps: overlaps that end within a day, of keys that work.
func TestEndingOverlaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.newOwner(t, "Mallory")
	rotate := func(name string, overlap time.Duration) keyring.Key {
		t.Helper()
		issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: name}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.keys.Rotate(t.Context(), w.ada, issued.Key.ID, keyring.Rotation{Overlap: overlap}); err != nil {
			t.Fatal(err)
		}
		return issued.Key
	}
	later := rotate("in 20 h", 20*time.Hour)
	soon := rotate("in an hour", time.Hour)
	rotate("in a week", 7*24*time.Hour)
	rotate("at once", 0)
	off := rotate("deactivated", time.Hour)
	if _, err := w.keys.Deactivate(t.Context(), w.ada, off.ID, ""); err != nil {
		t.Fatal(err)
	}
	for workspace, want := range map[uuid.UUID]int{w.ada.WorkspaceID: 2, uuid.Nil: 2, other.WorkspaceID: 0} {
		ending, err := w.keys.EndingOverlaps(t.Context(), workspace)
		if err != nil || len(ending) != want {
			t.Fatalf("EndingOverlaps of %s = %+v, %v; want %d", workspace, ending, err, want)
		}
		if want > 0 && (ending[0].KeyID != soon.ID || ending[1].Name != later.Name || len(ending[0].CountedAs) != 1 || ending[0].What != keyring.Both) {
			t.Errorf("EndingOverlaps = %+v, want the soonest first, each with what requests with the old ones count as", ending)
		}
	}
	ids := []uuid.UUID{soon.ID, off.ID}
	works, err := w.keys.Working(t.Context(), ids)
	if err != nil || !works[soon.ID] || works[off.ID] {
		t.Errorf("Working = %v, %v; want %s alone", works, err, soon.ID)
	}
	if some, err := w.keys.Some(t.Context(), w.ada.WorkspaceID, ids); err != nil || len(some) != 2 || some[soon.ID].Name != soon.Name || some[off.ID].Works(time.Now()) {
		t.Errorf("Some = %+v, %v; want both", some, err)
	}
	if some, err := w.keys.Some(t.Context(), other.WorkspaceID, ids); err != nil || len(some) != 0 {
		t.Errorf("Some of another workspace = %+v, %v", some, err)
	}
}
