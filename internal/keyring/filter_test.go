package keyring_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/keyring"
)

// TestClaims finds keys by what is true of them, one moment on each side of every
// bound, and counts them likewise.
func TestClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mateo := w.newPerson(t, w.ada.WorkspaceID, "Mateo", "member")
	gone := w.newPerson(t, w.ada.WorkspaceID, "Gone", "member")
	off := w.newPerson(t, w.ada.WorkspaceID, "Off", "member")
	db := w.Raw()
	db.MustExec(`DELETE FROM memberships WHERE user_id = $1`, gone.UserID)
	db.MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, off.UserID)
	at := time.Now().UTC().Truncate(time.Second)
	day := func(n float64) time.Time { return at.Add(time.Duration(n * 24 * float64(time.Hour))) }
	const second = 1.0 / (24 * 60 * 60)
	var ghost uuid.UUID
	for name, k := range map[string]struct {
		made          float64 // days from now
		used, expires *float64
		inactive      bool
		owner         *uuid.UUID
	}{
		"young, never used":      {made: -30, expires: new(30.0 + second)},
		"old, never used":        {made: -30 - second, expires: new(30.0)},
		"very old, never used":   {made: -91},
		"used 30 days ago":       {made: -200, used: new(-30.0)},
		"used before that":       {made: -200, used: new(-30.0 - second)},
		"used 91 days ago":       {made: -200, used: new(-91.0)},
		"expires now":            {made: -200, used: new(-91.0), expires: new(0.0)},
		"deactivated":            {made: -200, used: new(-91.0), inactive: true},
		"of nobody, deactivated": {made: -1, used: new(-.5), inactive: true, owner: &uuid.Nil},
		"of nobody":              {made: -1, used: new(-.5), owner: &uuid.Nil},
		"of one who left":        {made: -1, used: new(-.5), owner: &gone.UserID},
		"of one who is disabled": {made: -1, used: new(-.5), owner: &off.UserID},
		"of Mateo":               {made: -1, used: new(-.5), owner: &mateo.UserID},
	} {
		key := w.issue(t, w.ada, name).Key
		owner := &w.ada.UserID
		if k.owner != nil {
			owner = k.owner
		}
		if *owner == uuid.Nil {
			owner = nil
		}
		moment := func(n *float64) *time.Time {
			if n == nil {
				return nil
			}
			return new(day(*n))
		}
		db.MustExec(`UPDATE webhook_keys SET created_at = $2, last_used_at = $3, expires_at = $4, is_active = $5, owner_id = $6 WHERE id = $1`,
			key.ID, day(k.made), moment(k.used), moment(k.expires), !k.inactive, owner)
		if name == "deactivated" {
			ghost = key.ID
		}
	}
	want := map[keyring.Claim][]string{
		keyring.IsActive: {
			"of Mateo", "of nobody", "of one who is disabled", "of one who left", "old, never used", "used 30 days ago", "used 91 days ago",
			"used before that", "very old, never used", "young, never used",
		},
		keyring.IsExpiring:  {"old, never used"},
		keyring.IsNeverUsed: {"old, never used", "very old, never used", "young, never used"},
		keyring.IsIdle:      {"old, never used", "used 91 days ago", "used before that", "very old, never used"},
		keyring.IsIdle90:    {"used 91 days ago", "very old, never used"},
		keyring.NeverExpires: {
			"of Mateo", "of nobody", "of one who is disabled", "of one who left", "used 30 days ago", "used 91 days ago", "used before that",
			"very old, never used",
		},
		keyring.OwnerGone:  {"of nobody", "of one who is disabled", "of one who left"},
		keyring.IsInactive: {"deactivated", "expires now", "of nobody, deactivated"},
		keyring.GhostUse:   {"deactivated"},
	}
	counts, err := w.keys.CountAll(t.Context(), w.ada.WorkspaceID, at, []uuid.UUID{ghost})
	if err != nil {
		t.Fatal(err)
	}
	counted := map[keyring.Claim]int{
		keyring.IsActive: counts.Active, keyring.IsExpiring: counts.Expiring, keyring.IsNeverUsed: counts.NeverUsed, keyring.IsIdle: counts.Idle,
		keyring.IsIdle90: counts.Idle90, keyring.NeverExpires: counts.NeverExpires, keyring.OwnerGone: counts.OwnerGone,
		keyring.IsInactive: counts.Inactive, keyring.GhostUse: counts.GhostUse,
	}
	for _, claim := range keyring.Claims() {
		filter := keyring.Filter{At: at, Claim: claim, Ghosts: []uuid.UUID{ghost}}
		if diff := cmp.Diff(want[claim], w.namesOf(t, filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", claim, diff)
		}
		if counted[claim] != len(want[claim]) {
			t.Errorf("CountAll: %s = %d, want %d", claim, counted[claim], len(want[claim]))
		}
	}
	if counts.All != 13 || counts.NextExpiresAt == nil || !counts.NextExpiresAt.Equal(day(30)) {
		t.Errorf("CountAll = %d keys, the next expires at %v; want 13 and %v", counts.All, counts.NextExpiresAt, day(30))
	}
	w.checkStatuses(t, at)
	if other, err := w.keys.CountAll(t.Context(), w.newOwner(t, "Eve").WorkspaceID, at, []uuid.UUID{ghost}); err != nil || other != (keyring.Counts{}) {
		t.Errorf("CountAll of another workspace = %+v, %v; want nothing", other, err)
	}
}

// checkStatuses holds the one word for a key against the claims: where both say
// the same, they must agree.
func (w *world) checkStatuses(t *testing.T, at time.Time) {
	t.Helper()
	for status, claim := range map[keyring.Status]keyring.Claim{
		keyring.Expiring: keyring.IsExpiring, keyring.NeverUsed: keyring.IsNeverUsed, keyring.Idle: keyring.IsIdle,
		keyring.Inactive: keyring.IsInactive, keyring.Expired: keyring.IsInactive,
	} {
		meant := w.namesOf(t, keyring.Filter{At: at, Claim: claim})
		all, err := w.keys.List(t.Context(), w.ada.WorkspaceID)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range all {
			if key.StatusAt(at) == status && !slices.Contains(meant, key.Name) {
				t.Errorf("%s is called %s, and the filter %s leaves it out", key.Name, status, claim)
			}
		}
	}
}

func (w *world) namesOf(t *testing.T, filter keyring.Filter) (names []string) {
	t.Helper()
	keys, err := w.keys.Search(t.Context(), w.ada.WorkspaceID, filter)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		names = append(names, key.Name)
	}
	return names
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	priya := w.newPerson(t, w.ada.WorkspaceID, "Priya Raman", "member")
	labelled, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "100%_sure", Labels: []string{"Billing"}, OwnerID: &priya.UserID}, "")
	if err != nil {
		t.Fatal(err)
	}
	plain := w.issue(t, w.ada, "Éclair feed").Key
	for search, want := range map[string][]string{
		"": {"100%_sure", "Éclair feed"}, "  feed ": {"Éclair feed"}, "éCLAIR": {"Éclair feed"}, "%": {"100%_sure"}, "%_": {"100%_sure"},
		"billing": {"100%_sure"}, "PRIYA": {"100%_sure"}, plain.ID.String()[10:]: {"Éclair feed"}, labelled.Key.Hint[4:8]: {"100%_sure"},
		`\`: nil, "\x00\xff": {"100%_sure", "Éclair feed"}, "' OR true --": nil,
	} {
		if diff := cmp.Diff(want, w.namesOf(t, keyring.Filter{Search: search})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", search, diff)
		}
	}
	if got := w.namesOf(t, keyring.Filter{Owner: &priya.UserID}); len(got) != 1 {
		t.Errorf("of one owner: %v, want one key", got)
	}
}

// TestPages walks through each order, forward and back, and sees every key once.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var loads []keyring.Load
	for i := range 23 {
		key := w.issue(t, w.ada, fmt.Sprintf("%c key %d", 'a'+i%5, i)).Key
		if i%3 > 0 { // many of one rank
			loads = append(loads, keyring.Load{Key: key.ID, Requests: int64(i % 4)})
			w.Raw().MustExec(`UPDATE webhook_keys SET last_used_at = now() - make_interval(mins => $2) WHERE id = $1`, key.ID, i%4)
		}
	}
	for _, order := range []keyring.Order{keyring.ByUse, keyring.ByLastUsed, keyring.ByName, keyring.ByNewest} {
		window := keyring.Window{Order: order, Loads: loads, Limit: 100}
		whole := w.page(t, window)
		window.Limit = 7
		var forth, back []uuid.UUID
		var last keyring.Listing
		for pages := 0; pages < 5; pages++ {
			last = w.page(t, window)
			forth = append(forth, idsOf(last.Keys)...)
			if last.Total != 23 {
				t.Errorf("%q: Total = %d, want 23", order, last.Total)
			}
			if window.After = last.Next; last.Next == nil {
				break
			}
		}
		back = idsOf(last.Keys)
		window.After = nil
		for window.Until = last.Prev; window.Until != nil; {
			listing := w.page(t, window)
			back = append(idsOf(listing.Keys), back...)
			window.Until = listing.Prev
		}
		if diff := cmp.Diff(idsOf(whole.Keys), forth); diff != "" || len(forth) != 23 {
			t.Errorf("%q forward (-want +got):\n%s", order, diff)
		}
		if diff := cmp.Diff(forth, back); diff != "" {
			t.Errorf("%q back (-forth +back):\n%s", order, diff)
		}
	}
	if got := w.page(t, keyring.Window{After: &keyring.Place{Rank: 1, Key: uuid.New()}, Limit: 7}); len(got.Keys) != 7 {
		t.Errorf("behind a key that is not there: %d keys, want the first page", len(got.Keys))
	}
}

func (w *world) page(t *testing.T, window keyring.Window) keyring.Listing {
	t.Helper()
	listing, err := w.keys.Page(t.Context(), w.ada.WorkspaceID, keyring.Filter{}, window)
	if err != nil {
		t.Fatal(err)
	}
	return listing
}

func idsOf(keys []keyring.Key) (ids []uuid.UUID) {
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}
