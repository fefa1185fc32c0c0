package inbox_test

import (
	"testing"
	"time"

	"keyhook/internal/inbox"
)

// TestFromOf: each address with each user agent and generation apart, outcomes
// apart, of this key and range alone; addresses by counts that outlive the rows.
func TestFromOf(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	one, two, repeated, refused, otherKey := p.arrival(0, "a", "a"), p.arrival(0, "b", "b"), p.arrival(0, "a", "a"), p.refused(0, "c"), p.arrival(1, "d", "d")
	two.Generation, two.UserAgent = 2, "<script>"
	p.add(one, two, refused, otherKey)
	p.add(repeated)
	p.rollUp()
	from, err := p.events.FromOf(t.Context(), p.workspace, p.keys[0], time.Now().Add(-time.Hour))
	if err != nil || from.Looked != 4 || len(from.Callers) != 3 || from.Oldest.IsZero() {
		t.Fatalf("FromOf = %+v, %v; want 3 callers of 4 requests", from, err)
	}
	for _, c := range from.Callers {
		want := map[int]inbox.Caller{0: {Refused: 1}, 1: {Accepted: 1, Duplicate: 1}, 2: {Accepted: 1}}[c.Generation]
		if c.Accepted != want.Accepted || c.Duplicate != want.Duplicate || c.Refused != want.Refused || c.FirstAt.IsZero() || c.LastAt.Before(c.FirstAt) || c.Generation == 2 && c.UserAgent != "<script>" {
			t.Errorf("generation %d is %+v, want %+v", c.Generation, c, want)
		}
	}
	p.exec(`DELETE FROM deliveries`)
	from, err = p.events.FromOf(t.Context(), p.workspace, p.keys[0], time.Now().Add(-time.Hour))
	if err != nil || len(from.Callers) != 0 || len(from.Addresses) != 1 || from.Addresses[0].Accepted != 3 || from.Addresses[0].Refused != 1 {
		t.Errorf("without rows FromOf = %+v, %v; want the address alone", from, err)
	}
	if from, err := p.events.FromOf(t.Context(), p.addWorkspace(), p.keys[0], time.Now().Add(-time.Hour)); err != nil || len(from.Addresses)+len(from.Callers) != 0 {
		t.Errorf("for another workspace FromOf = %+v, %v", from, err)
	}
}
