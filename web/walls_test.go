package web_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/account"
	"keyhook/internal/pgtest"
)

// TestFirstWallAlone: the routes and their statements keep the workspaces apart by
// themselves, without the database's help.
func TestFirstWallAlone(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	if n := pgtest.DropWalls(m.Raw()); n < 25 {
		t.Fatalf("%d tables had a wall", n)
	}
	m.callers = m.callers[:6] // who is signed in: the others never come so far
	inside, _ := m.patterns()
	for _, pattern := range inside {
		m.refuses(pattern, false)
	}
	for _, pattern := range inside {
		m.mixes(pattern)
		m.allows(pattern)
	}
}

// TestSecondWallAlone: where the gate mistakes one workspace for another, and each
// handler is told to work in the wrong one, the database gives nothing of that out
// and changes nothing in it.
func TestSecondWallAlone(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.web.Mistake(func(member account.Member) account.Member {
		member.Workspace.ID = m.stage.foreign.id
		return member
	})
	inside, _ := m.patterns()
	owner := m.signIn(m.stage.home.owner)
	before := m.rows()
	for _, pattern := range inside {
		got := m.ask(pattern, m.callers[0], m.foreign.at(m.stage.home.slug), m.foreign, false)
		m.unmarked(pattern, m.callers[0], got)
		if strings.HasPrefix(pattern, "POST ") {
			if diff := cmp.Diff(before, m.rows()); diff != "" {
				t.Errorf("%s = %d, and changed something:\n%s", pattern, got.StatusCode, diff)
			}
		}
	}
	ofAddress := func() bool { // the search that is let over the wall, see DeliveryFilter
		got := owner.get("/w/" + m.stage.home.slug + "/deliveries?address=192.0.2.1")
		if got.StatusCode != 200 {
			t.Errorf("an address's deliveries = %d", got.StatusCode)
		}
		return strings.Contains(got.body, marker)
	}
	if ofAddress() {
		t.Error("an address's deliveries are those of another workspace too")
	}
	if diff := cmp.Diff(before, m.rows()); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}

	// The same without the second wall: this test sees what it holds back.
	pgtest.DropWalls(m.Raw())
	if !ofAddress() {
		t.Error("without any wall an address's deliveries show nothing of the other workspace: the test does not see enough")
	}
	shown := 0
	for _, pattern := range inside {
		if got := m.ask(pattern, m.callers[0], m.foreign.at(m.stage.home.slug), m.foreign, false); strings.Contains(got.body, marker) {
			shown++
		}
	}
	if shown < 10 || cmp.Equal(before, m.rows()) {
		t.Errorf("without any wall %d routes show something of the other workspace, and nothing may have changed: the test does not see enough", shown)
	}
}
