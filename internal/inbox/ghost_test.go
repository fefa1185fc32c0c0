package inbox_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// TestGhosts: a use of a stopped credential counts by key, generation and reason,
// with who it was; what proved nothing, is older or another workspace's does not.
func TestGhosts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	now := time.Now()
	add := func(key, generation int, reason inbox.Reason, ago time.Duration, address string) {
		t.Helper()
		a := p.refused(key, "x")
		a.Generation, a.Reason, a.Address, a.UserAgent = generation, reason, address, "old/1"
		a.ReceivedAt = now.Add(-ago).UTC().Truncate(time.Microsecond)
		a.ID = idAt(a.ReceivedAt, a.ID)
		p.add(a)
	}
	add(0, 1, inbox.KeyInactive, 3*24*time.Hour, "192.0.2.1")
	add(0, 1, inbox.KeyInactive, 2*time.Hour, "192.0.2.1")
	add(0, 2, inbox.CredentialExpired, time.Hour, "192.0.2.2")
	add(0, 0, inbox.KeyInactive, time.Minute, "203.0.113.9")    // proved nothing
	add(0, 1, inbox.SignatureWrong, time.Minute, "203.0.113.9") // never held
	add(0, 1, inbox.KeyInactive, 8*24*time.Hour, "192.0.2.3")   // too long ago
	add(1, 1, inbox.KeyExpired, 30*time.Minute, "192.0.2.4")
	for range 2 { // before the roll-up and after it
		ghosts, err := p.events.Ghosts(t.Context(), p.workspace, p.keys[0], now)
		if err != nil || len(ghosts) != 2 {
			t.Fatalf("Ghosts of a key = %+v, %v; want 2", ghosts, err)
		}
		if g := ghosts[0]; g.Reason != inbox.CredentialExpired || g.Generation != 2 || g.Week != 1 || g.Day != 1 {
			t.Errorf("the latest = %+v, want generation 2, once", g)
		}
		if g := ghosts[1]; g.Reason != inbox.KeyInactive || g.Generation != 1 || g.Week != 2 || g.Day != 1 || !g.LastAt.Equal(now.Add(-2*time.Hour).Truncate(time.Microsecond)) {
			t.Errorf("the earlier = %+v, want generation 1, twice in a week and once in a day", g)
		}
		for workspace, want := range map[uuid.UUID]int{p.workspace: 3, uuid.Nil: 3, uuid.Must(uuid.NewV7()): 0} {
			if all, err := p.events.Ghosts(t.Context(), workspace, uuid.Nil, now); err != nil || len(all) != want {
				t.Errorf("Ghosts of workspace %s = %+v, %v; want %d", workspace, all, err, want)
			}
		}
		senders, err := p.events.GhostSenders(t.Context(), p.workspace, p.keys[0], ghosts[0].LastAt, now, 1000)
		if err != nil || len(senders) != 2 || senders[0].Address != "192.0.2.2" || senders[1].Requests != 2 || senders[1].UserAgent != "old/1" {
			t.Errorf("GhostSenders = %+v, %v; want 192.0.2.2, then 192.0.2.1 twice", senders, err)
		}
		if others, err := p.events.GhostSenders(t.Context(), uuid.Must(uuid.NewV7()), p.keys[0], ghosts[0].LastAt, now, 1000); err != nil || len(others) != 0 {
			t.Errorf("GhostSenders of another workspace = %+v, %v", others, err)
		}
		p.rollUp()
	}
	for _, tt := range []struct {
		reason inbox.Reason
		works  bool
		want   bool
	}{{inbox.KeyInactive, true, true}, {inbox.KeyExpired, true, true}, {inbox.KeyInactive, false, false}, {inbox.CredentialEnded, true, false}} {
		if got := (inbox.Ghost{Reason: tt.reason}).Over(tt.works); got != tt.want {
			t.Errorf("Over(%v) of %s = %v, want %v", tt.works, tt.reason, got, tt.want)
		}
	}
	if inbox.SignatureWrong.Ghost() || !inbox.KeyInactive.Ghost() || len(inbox.GhostReasons()) < 4 {
		t.Error("the reasons of ghost use are not those of credentials that held once")
	}
}

// TestOldUses: of each rotation the uses of its old credentials since it began.
func TestOldUses(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	at := time.Now().Add(-2 * time.Hour).UTC()
	for i, generation := range []int{1, 1, 2, 1} {
		a := p.arrival(i%2, "", "x")
		a.Generation, a.ReceivedAt = generation, time.Now().UTC().Truncate(time.Microsecond)
		p.add(a)
	}
	ended := p.refused(0, "x")
	ended.Generation, ended.Reason = 1, inbox.CredentialEnded
	p.add(ended)
	rotations := []inbox.RotatedKey{
		{WorkspaceID: p.workspace, KeyID: p.keys[0], Rotation: inbox.Rotation{At: at, Old: []int{1}}},
		{WorkspaceID: p.workspace, KeyID: p.keys[1], Rotation: inbox.Rotation{At: at, Old: []int{1, 7}, Before: 1}},
		{WorkspaceID: p.workspace, KeyID: p.keys[0], Rotation: inbox.Rotation{At: at, Old: []int{9}}},
	}
	uses, err := p.events.OldUses(t.Context(), rotations)
	if err != nil || len(uses) != 3 || uses[0].Requests != 1 || uses[0].LastAt == nil || uses[1].Requests != 1 || uses[2] != (inbox.OldUse{}) {
		t.Errorf("OldUses = %+v, %v; want 1, 2 without the 1 of before, and none", uses, err)
	}
	if now := time.Now(); !uses[0].InUse(now) || uses[0].Safe || uses[2].InUse(now) || uses[0].InUse(now.Add(25*time.Hour)) {
		t.Errorf("the first is not in use, or the last is: %+v", uses)
	}
	if none, err := p.events.OldUses(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("OldUses of nothing = %v, %v", none, err)
	}
}
