package inbox_test

import (
	"encoding/binary"
	"testing"
	"time"

	"keyhook/internal/inbox"
)

// TestSafeToRetire: an hour without an old credential tells only with about as
// much traffic as usual.
func TestSafeToRetire(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	now := time.Now()
	since := now.Add(-5 * time.Hour)
	add := func(n, generation int, at time.Time) {
		var batch []inbox.Arrival
		for range n {
			a := p.arrival(0, "", "x")
			a.Generation, a.ReceivedAt = generation, at.UTC().Truncate(time.Microsecond)
			var ms [8]byte
			binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
			copy(a.ID[:6], ms[2:]) // an id tells when it was made
			batch = append(batch, a)
		}
		p.add(batch...)
	}
	use := func(old ...int) inbox.OverlapUse {
		t.Helper()
		use, err := p.events.UseSince(t.Context(), p.workspace, p.keys[0], inbox.Rotation{At: since, Old: old, New: 2})
		if err != nil {
			t.Fatal(err)
		}
		return use
	}
	if u := use(1); u.Safe || !u.Quiet || u.LastOldAt != nil || u.Old+u.New != 0 {
		t.Errorf("without any traffic: %+v", u)
	}
	for h := range 10 { // 4 an hour are usual
		add(4, 1, since.Add(-time.Duration(h+1)*time.Hour))
	}
	add(1, 1, now.Add(-90*time.Minute))
	add(1, 2, now.Add(-10*time.Minute))
	if u := use(1); u.Safe || !u.Quiet || u.Old != 1 || u.New != 1 || u.LastOldAt == nil {
		t.Errorf("with less traffic than usual: %+v", u)
	}
	add(3, 2, now.Add(-5*time.Minute))
	if u := use(1); !u.Safe || u.Quiet || len(u.Senders) != 1 {
		t.Errorf("with usual traffic: %+v", u)
	}
	rotated := []inbox.RotatedKey{{WorkspaceID: p.workspace, KeyID: p.keys[0], Rotation: inbox.Rotation{At: since, Old: []int{1}, New: 2}}}
	if uses, err := p.events.OldUses(t.Context(), rotated); err != nil || !uses[0].Safe || uses[0].Requests != 1 || uses[0].InUse(now) {
		t.Errorf("OldUses says otherwise: %+v, %v", uses, err)
	}
	add(1, 1, now.Add(-59*time.Minute))
	if u := use(1); u.Safe || u.Quiet {
		t.Errorf("with an old one within the hour: %+v", u)
	}
	other, err := p.events.UseSince(t.Context(), p.addWorkspace(), p.keys[0], inbox.Rotation{At: since, Old: []int{1}, New: 2})
	if err != nil || other.Old+other.New != 0 || len(other.Senders) != 0 {
		t.Errorf("another workspace's = %+v, %v", other, err)
	}
}
