package inbox_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
)

func (p *place) by() audit.Actor {
	return audit.Actor{WorkspaceID: p.workspace, Kind: audit.CLI, Label: "test"}
}

func (p *place) entries(action audit.Action) int {
	p.t.Helper()
	return p.count(`SELECT count(*) FROM audit_log WHERE action = $1`, action)
}

// TestMarkSuspect: a mark is about the signals of its key, range, address and
// generation and about no others, readers see it, and it can be taken back.
func TestMarkSuspect(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	in, elsewhere, newer, otherKey, repeated := p.arrival(0, "in", "a"), p.arrival(0, "address", "b"), p.arrival(0, "generation", "c"), p.arrival(1, "key", "d"), p.arrival(0, "in", "a")
	elsewhere.Address, newer.Generation = "192.0.2.9", 2
	p.add(in, elsewhere, newer, otherKey)
	p.add(repeated, p.refused(0, "e"))
	generation := 1
	mark := inbox.Mark{KeyID: p.keys[0], Address: in.Address, Generation: &generation, From: in.ReceivedAt.Add(-time.Minute), Until: time.Now(), Reason: "leaked <b>"}
	preview, err := p.events.PreviewMark(t.Context(), p.workspace, mark, true)
	if err != nil || preview.Signals != 1 || len(preview.Newest) != 1 || preview.Newest[0].ID != in.ID {
		t.Fatalf("PreviewMark = %+v, %v; want the one signal", preview, err)
	}
	made, err := p.events.MarkSuspect(t.Context(), p.by(), mark)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.entries(audit.SignalsMarked); got != 1 {
		t.Errorf("%d entries of the mark, want 1", got)
	}
	check := func(want bool) {
		t.Helper()
		p.settle()
		seen := 0
		if _, err := p.events.Read(t.Context(), p.workspace, nil, 100, func(s *inbox.Signal) {
			seen++
			if marked := s.Suspect != nil; marked != (want && s.ID == in.ID) || marked && (s.Suspect.Reason != mark.Reason || s.Suspect.MarkedAt.IsZero()) {
				t.Errorf("Read: %s is marked %v", *s.SourceRef, s.Suspect)
			}
		}); err != nil || seen != 4 {
			t.Fatalf("Read: %d signals, %v", seen, err)
		}
		for _, w := range []inbox.Window{{Limit: 9}, {Limit: 9, Key: &p.keys[0]}} {
			listed, err := p.events.List(t.Context(), p.workspace, w)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range listed {
				if l.Suspect != (want && l.ID == in.ID) {
					t.Errorf("List: %s is marked %v", *l.SourceRef, l.Suspect)
				}
			}
		}
		one, _, err := p.events.Signal(t.Context(), p.workspace, in.ID)
		if err != nil || (one.Suspect != nil) != want {
			t.Errorf("Signal = %v, %v; want marked %v", one.Suspect, err, want)
		}
		alone, err := p.events.List(t.Context(), p.workspace, inbox.Window{Limit: 9, Suspect: true})
		if err != nil || (len(alone) == 1 && alone[0].Suspect) != want || len(alone) > 1 {
			t.Errorf("List of suspect ones = %+v, %v; want marked %v", alone, err, want)
		}
	}
	check(true)
	ids, err := p.events.MarkedSignals(t.Context(), p.workspace, made.ID, uuid.Nil, 10)
	if err != nil || len(ids) != 1 || ids[0] != in.ID {
		t.Errorf("MarkedSignals = %v, %v", ids, err)
	}
	if _, err := p.events.MarkedSignals(t.Context(), p.addWorkspace(), made.ID, uuid.Nil, 10); faultKind(err) != fault.NotFound {
		t.Errorf("another workspace's mark: %v, want not found", err)
	}
	if _, err := p.events.Unmark(t.Context(), p.by().In(p.addWorkspace()), p.keys[0], made.ID); faultKind(err) != fault.NotFound {
		t.Errorf("taking back another workspace's mark: %v, want not found", err)
	}
	for i, want := range []bool{true, false} {
		if changed, err := p.events.Unmark(t.Context(), p.by(), p.keys[0], made.ID); err != nil || changed != want {
			t.Errorf("Unmark, time %d = %v, %v", i, changed, err)
		}
	}
	if got := p.entries(audit.SignalsUnmarked); got != 1 {
		t.Errorf("%d entries of taking it back, want 1", got)
	}
	check(false)
}

func faultKind(err error) fault.Kind {
	if f, ok := fault.Of(err); ok {
		return f.Kind
	}
	return 0
}

func TestMarkRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	now := time.Now()
	good := inbox.Mark{KeyID: p.keys[0], From: now.Add(-time.Hour), Until: now, Reason: "why"}
	zero := 0
	for name, change := range map[string]func(*inbox.Mark){
		"no beginning": func(m *inbox.Mark) { m.From = time.Time{} }, "no end": func(m *inbox.Mark) { m.Until = time.Time{} },
		"the future": func(m *inbox.Mark) { m.Until = now.Add(time.Hour) }, "backwards": func(m *inbox.Mark) { m.From = now },
		"no reason": func(m *inbox.Mark) { m.Reason = "" }, "a NUL": func(m *inbox.Mark) { m.Reason = "a\x00" }, "a generation 0": func(m *inbox.Mark) { m.Generation = &zero },
	} {
		m := good
		change(&m)
		if _, err := p.events.MarkSuspect(t.Context(), p.by(), m); faultKind(err) != fault.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	foreign := p.addWorkspace()
	if _, err := p.events.MarkSuspect(t.Context(), p.by().In(foreign), good); faultKind(err) != fault.NotFound {
		t.Errorf("another workspace's key: %v, want not found", err)
	}
	if got := p.count(`SELECT count(*) FROM suspect_ranges`) + p.count(`SELECT count(*) FROM signal_changes`); got != 0 {
		t.Errorf("%d rows of what was refused", got)
	}
}

// TestChanges: a reader of the list gets each change once and in order, by a cursor
// that no other workspace's list takes.
func TestChanges(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	mark := inbox.Mark{KeyID: p.keys[0], From: time.Now().Add(-time.Hour), Until: time.Now(), Reason: "why"}
	done := make(chan error)
	for range 8 {
		go func() {
			_, err := p.events.MarkSuspect(t.Context(), p.by(), mark)
			done <- err
		}()
	}
	seen, cursor := map[uuid.UUID]bool{}, uuid.Nil
	read := func() {
		changes, err := p.events.Changes(t.Context(), p.workspace, cursor, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if seen[c.ID] || c.Mark == nil || c.Mark.KeyID != p.keys[0] || c.Kind != inbox.Marked {
				t.Errorf("a change comes twice or wrong: %+v", c)
			}
			seen[c.ID], cursor = true, c.ID
		}
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		read()
	}
	for range 3 {
		read()
	}
	if len(seen) != 8 {
		t.Errorf("a reader sees %d changes, want 8", len(seen))
	}
	if _, err := p.events.Changes(t.Context(), p.addWorkspace(), cursor, 3); faultKind(err) != fault.Invalid {
		t.Errorf("another workspace's cursor: %v, want invalid", err)
	}
}
