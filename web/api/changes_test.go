package api_test

import (
	"testing"
	"time"

	"keyhook/internal/inbox"
)

// TestMarksAndErasures: readers see a mark on what they read, learn of one made
// later, and get an erased signal without its body. Answers hold to openapi.json.
func TestMarksAndErasures(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	began := time.Now().Add(-time.Minute)
	s.addMany(s.home, "a", 3)
	before := s.get("/api/v1/signals")
	if _, err := s.events.MarkSuspect(t.Context(), s.home.by, inbox.Mark{KeyID: s.home.key.ID, From: began, Until: time.Now(), Reason: `"why" <b>`}); err != nil {
		t.Fatal(err)
	}
	s.addMany(s.home, "b", 2)
	type marked struct {
		Signals []struct {
			ID      string
			Body    any
			Suspect *struct {
				Reason   string
				MarkedAt time.Time
			}
			Erased *struct{ Reason string }
		}
		Cursor string
	}
	var old, now, only, rest marked
	before.json(t, &old)
	s.get("/api/v1/signals").json(t, &now)
	s.get("/api/v1/signals?suspect=true").json(t, &only)
	s.get("/api/v1/signals?suspect=false").json(t, &rest)
	if len(now.Signals) != 5 || len(only.Signals) != 3 || len(rest.Signals) != 2 || only.Cursor != now.Cursor || old.Signals[0].Suspect != nil {
		t.Fatalf("%d signals, %d suspect, %d others, want 5, 3 and 2", len(now.Signals), len(only.Signals), len(rest.Signals))
	}
	for i, signal := range now.Signals {
		if (signal.Suspect != nil) != (i < 3) || i < 3 && (signal.Suspect.Reason != `"why" <b>` || signal.Suspect.MarkedAt.IsZero()) {
			t.Errorf("signal %d is marked %+v", i, signal.Suspect)
		}
	}
	if a := s.get("/api/v1/signals?suspect=maybe"); a.StatusCode != 400 {
		t.Errorf("suspect=maybe = %d, want 400", a.StatusCode)
	}
	var list struct {
		Changes []struct {
			Change string
			Mark   *struct{ ID, Key string }
		}
		Cursor string
	}
	s.get("/api/v1/changes").json(t, &list)
	if len(list.Changes) != 1 || list.Changes[0].Change != "marked" || list.Changes[0].Mark.Key != s.home.key.ID.String() {
		t.Fatalf("the changes are %+v", list)
	}
	var ids struct{ IDs []string }
	s.get("/api/v1/marks/"+list.Changes[0].Mark.ID+"/signals").json(t, &ids)
	if len(ids.IDs) != 3 || ids.IDs[0] != now.Signals[0].ID {
		t.Errorf("the mark is about %v", ids.IDs)
	}
	for path, want := range map[string]int{"/api/v1/changes?after=x": 400, "/api/v1/changes?after=" + s.home.key.ID.String(): 400, "/api/v1/marks/" + s.home.key.ID.String() + "/signals": 404, "/api/v1/changes?limit=0": 400} {
		if a := s.get(path); a.StatusCode != want {
			t.Errorf("%s = %d, want %d", path, a.StatusCode, want)
		}
	}
	if _, err := s.events.AskToErase(t.Context(), s.home.by, inbox.Erasure{SourceRef: "a0", Reason: "asked"}); err != nil {
		t.Fatal(err)
	}
	upkeep := inbox.NewStore(s.Maintenance(), s.box)
	for since := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err := upkeep.Erase(t.Context()); err != nil {
			t.Fatal(err)
		}
		var later struct{ Changes []struct{ Change string } }
		if s.get("/api/v1/changes?after="+list.Cursor).json(t, &later); len(later.Changes) == 1 && later.Changes[0].Change == "erased" {
			break
		}
		if time.Since(since) > time.Minute {
			t.Fatal("readers don't learn of the erasure")
		}
	}
	var gone marked
	s.get("/api/v1/signals?limit=1").json(t, &gone)
	if signal := gone.Signals[0]; signal.Body != nil || signal.Erased == nil || signal.Erased.Reason != "asked" {
		t.Errorf("the erased signal is %+v", signal)
	}
	if a := s.get("/api/v1/signals/" + now.Signals[0].ID); a.StatusCode != 200 {
		t.Errorf("one erased signal = %d", a.StatusCode)
	}
	if a := s.get("/api/v1/signals/" + now.Signals[0].ID + "/body"); a.StatusCode != 410 || s.problem(a).Code != "ERASED" {
		t.Errorf("its body = %d %s, want 410", a.StatusCode, a.body)
	}
}

// TestMarkedOnNewStreams: what was marked after it was read for those who follow is so
// on a stream that begins then, though another one keeps it in memory.
func TestMarkedOnNewStreams(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	start := s.list("").Cursor
	open := s.listen(s.server.URL, s.home.token, "?after=latest", "")
	s.addMany(s.home, "a", 300) // more than a stream reads at once from the database
	open.signals(300)
	if _, err := s.events.MarkSuspect(t.Context(), s.home.by, inbox.Mark{KeyID: s.home.key.ID, From: time.Now().Add(-time.Hour), Until: time.Now(), Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	s.listen(s.server.URL, s.home.token, "?suspect=true&after="+start, "").signals(300)
}
