package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/web/api/client"
)

// behind waits until the home workspace's page says that a token is as far.
func (s *stage) behind(token keyring.IssuedToken, want int) {
	s.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		readers, err := s.events.Readers(s.t.Context(), s.home.id)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range readers {
			if r.TokenID == token.Token.ID && r.Behind == want {
				return
			}
		}
		if time.Since(began) > 20*time.Second {
			s.t.Fatalf("Readers = %+v, want one that is %d behind", readers, want)
		}
	}
}

// TestReadAhead: who asks for a page before the one in front of it was dealt with is
// not taken to have dealt with that, by the client and by the parameter; once it was,
// Keyhook learns so though nothing new comes.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addMany(s.home, "a", 20)
	reader := client.New(s.server.URL, s.home.token.Text.Reveal())
	reader.Limit, reader.Wait = 5, time.Second
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	pages, dealt := 0, make(chan struct{})
	go func() {
		ended <- reader.Follow(ctx, "", func(context.Context, client.Page) error {
			switch pages++; pages {
			case 2:
				s.behind(s.home.token, 15)
				time.Sleep(2 * noteEvery)
				s.behind(s.home.token, 15)
			case 4:
				close(dealt)
			}
			return nil
		})
	}()
	<-dealt
	s.behind(s.home.token, 0)
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) || pages != 4 {
		t.Errorf("Follow = %v after %d pages", err, pages)
	}

	other := s.issue(s.home, "by hand")
	first := s.list("limit=5")
	second := s.list("limit=5&after=" + first.Cursor)
	as := func(query string) answer {
		return s.ask("GET", "/api/v1/signals?limit=5&"+query, "Bearer "+other.Text.Reveal())
	}
	for _, ask := range []string{"after=" + first.Cursor, "after=" + second.Cursor + "&read=" + first.Cursor, "after=" + second.Cursor + "&read="} {
		if a := as(ask); a.StatusCode != 200 {
			t.Errorf("%s = %d %s", ask, a.StatusCode, a.body)
		}
		time.Sleep(2 * noteEvery)
		s.behind(other, 15)
	}
	for ask, want := range map[string]string{
		"read=" + first.Cursor: "VALIDATION_ERROR", "after=" + first.Cursor + "&read=" + second.Cursor: "VALIDATION_ERROR",
		"after=" + first.Cursor + "&read=latest": "INVALID_CURSOR", "after=" + first.Cursor + "&read=x": "INVALID_CURSOR",
	} {
		if a := as(ask); a.StatusCode != 400 || s.problem(a).Code != want {
			t.Errorf("%s = %d %s, want 400 %s", ask, a.StatusCode, a.body, want)
		}
	}
}

// noteEvery is how often it is noted how far a token has read.
const noteEvery = time.Second

// TestKept: how far a token has read is noted, also on a stream; a cursor that
// missed something gets 410 with the oldest one, in a list, on a new stream and on
// one that is open.
func TestKept(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	start := s.list("").Cursor
	s.addMany(s.home, "a", 20)
	first := s.list("limit=5")
	s.list("limit=5&after=" + first.Cursor)
	s.behind(s.home.token, 15)
	streaming := s.issue(s.home, "streaming")
	open := s.listen(s.server.URL, streaming, "", "")
	open.signals(20)
	s.behind(streaming, 0)
	token, err := s.keys.FindToken(t.Context(), s.home.id, streaming.Token.ID)
	if err != nil || token.LastUsedAt == nil || time.Since(*token.LastUsedAt) > time.Minute {
		t.Errorf("the token was last used at %v, %v", token.LastUsedAt, err)
	}

	keeper := inbox.NewStore(s.Maintenance(), s.box)
	rule := inbox.Rule{Workspace: s.home.id, Keep: time.Millisecond, KeepUnread: time.Hour, Log: time.Hour, Payloads: time.Hour, Readers: []uuid.UUID{s.home.token.Token.ID, streaming.Token.ID}}
	if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{rule}); err != nil {
		t.Fatal(err)
	}
	if p := s.list(""); len(p.Signals) != 15 {
		t.Errorf("%d signals are kept, want the 15 that the slow reader has not read", len(p.Signals))
	}
	for _, path := range []string{"/api/v1/signals?after=" + start, "/api/v1/signals/stream?after=" + start} {
		a := s.get(path)
		p := s.problem(a)
		if a.StatusCode != 410 || p.Code != "CURSOR_EXPIRED" || p.OldestCursor != first.Cursor {
			t.Errorf("%s = %d %s, want 410 and the cursor %s", path, a.StatusCode, a.body, first.Cursor)
		}
		if rest := s.list("after=" + p.OldestCursor); len(rest.Signals) != 15 {
			t.Errorf("behind the oldest cursor are %d signals, want 15", len(rest.Signals))
		}
	}
	rule.KeepUnread = time.Millisecond
	s.addMany(s.home, "b", 3)
	open.signals(3)
	if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{rule}); err != nil {
		t.Fatal(err)
	}
	if a := s.get("/api/v1/signals?after=" + first.Cursor); a.StatusCode != 410 {
		t.Errorf("after the hard limit = %d, want 410", a.StatusCode)
	}
	s.addMany(s.home, "c", 2)
	if refs, _ := open.signals(2); refs[1] == "" {
		t.Error("a stream that had everything does not go on")
	}
}

// TestBodyNotKept: a reader that begins anew after all had read a signal of a key
// whose log keeps no bodies gets it without one and is told, in a list, alone
// and by the client; an empty body is not such a case.
func TestBodyNotKept(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	start := s.list("").Cursor
	s.add(s.arrival(s.home, "full", "application/json", `{"n":1}`), s.arrival(s.home, "empty", "text/plain", ""))
	end := s.list("").Cursor
	s.list("after=" + end) // so far it has come
	s.Raw().MustExec(`UPDATE webhook_keys SET log = 'headers' WHERE id = $1`, s.home.key.ID)
	keeper, rule := inbox.NewStore(s.Maintenance(), s.box), inbox.Rule{Workspace: s.home.id, Keep: time.Hour, KeepUnread: time.Hour, Log: time.Hour, Payloads: time.Hour}
	reader := client.New(s.server.URL, s.home.token.Text.Reveal())
	told := func(want string) {
		t.Helper()
		var p struct {
			Signals []struct {
				ID, SourceRef, SHA256 string
				Body                  json.RawMessage
				BodyKept              *bool
			}
		}
		s.get("/api/v1/signals?after="+start).json(t, &p)
		for _, signal := range p.Signals {
			text, wanted := string(signal.Body), want
			if signal.SourceRef == "empty" {
				wanted = `""`
			}
			if gone := signal.BodyKept != nil && !*signal.BodyKept; text != wanted || gone != (wanted == "null") || signal.SHA256 == "" {
				t.Errorf("%s has the body %s, kept %v, hash %q; want %s", signal.SourceRef, text, signal.BodyKept, signal.SHA256, wanted)
			}
			alone := s.get("/api/v1/signals/" + signal.ID)
			var one struct{ BodyKept *bool }
			if alone.json(t, &one); (one.BodyKept != nil) != (wanted == "null") {
				t.Errorf("%s alone = %s", signal.SourceRef, alone.body)
			}
			raw := s.get("/api/v1/signals/" + signal.ID + "/body")
			if gone := raw.StatusCode == 410 && s.problem(raw).Code == "BODY_NOT_KEPT"; gone != (wanted == "null") || !gone && raw.StatusCode != 200 {
				t.Errorf("the body of %s alone = %d %s", signal.SourceRef, raw.StatusCode, raw.body)
			}
			if one, err := reader.Signal(t.Context(), signal.ID); err != nil || one.BodyGone != (wanted == "null") || one.BodyGone && one.Body != nil {
				t.Errorf("%s for the client = %+v, %v", signal.SourceRef, one, err)
			}
		}
		if len(p.Signals) != 2 {
			t.Errorf("%d signals, want 2", len(p.Signals))
		}
	}
	forget := func() {
		t.Helper()
		if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{rule}); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	told(`{"n":1}`) // nobody is named
	rule.Readers = []uuid.UUID{s.home.token.Token.ID}
	for began, gone := time.Now(), 0; gone < 2; time.Sleep(50 * time.Millisecond) {
		if err := s.Raw().Get(&gone, `SELECT count(*) FROM deliveries WHERE body IS NULL`); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the limit does not work")
		}
		s.list("after=" + end) // begun anew it had not come so far
		forget()
	}
	told("null")
}
