package inbox_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

const aDay = 24 * time.Hour

// addOld stores an event that was received some days ago, in a transaction of its own.
func (p *place) addOld(days int) inbox.Position {
	p.t.Helper()
	ref := fmt.Sprint(days, " days ago")
	a := p.arrival(0, ref, "body of "+ref)
	at := time.Now().Add(-time.Duration(days)*aDay - time.Hour)
	millis := uint64(at.UnixMilli())
	for i := range 6 {
		a.ID[i] = byte(millis >> (40 - 8*i))
	}
	a.ReceivedAt = at.UTC().Truncate(time.Microsecond)
	p.add(a)
	again := a
	again.ID[15]++
	p.add(again) // a duplicate, as old
	var position inbox.Position
	if err := p.Raw().Get(&position, `SELECT epoch, commit_xid, id AS signal_id FROM signals WHERE id = $1`, a.ID); err != nil {
		p.t.Fatal(err)
	}
	return position
}

// settle waits until what is stored may be read: other tests write in the same
// cluster.
func (p *place) settle() {
	p.t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		if held, err := p.events.HeldBack(p.t.Context(), p.workspace); err != nil || held.Signals == 0 {
			return
		}
	}
}

// addReader makes a token that has read up to a position.
func (p *place) addReader(name string, until inbox.Position) uuid.UUID {
	p.t.Helper()
	id := newID(p.t)
	p.exec(`INSERT INTO tokens (id, workspace_id, name, scopes, hash, hint) VALUES ($1, $2, $3::text, '{read-signals}', sha256(convert_to($3::text, 'UTF8')), '')`, id, p.workspace, name)
	p.moveReader(id, until)
	return id
}

func (p *place) moveReader(id uuid.UUID, until inbox.Position) {
	p.t.Helper()
	err := p.Console().InTx(p.t.Context(), func(tx *sqlx.Tx) error {
		return inbox.MarkRead(p.t.Context(), tx, []inbox.Reading{{TokenID: id, WorkspaceID: p.workspace, Until: until, At: time.Now()}})
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestSignalRetention: signals go once they are old and every reader has read them, and
// when they are older still; their bodies go with them and no sooner, and a cursor
// that missed some is told.
func TestSignalRetention(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.exec(`SELECT ensure_delivery_weeks(now() - interval '130 days', now())`)
	ages := []int{120, 100, 85, 60, 40, 31, 29, 1}
	at := map[int]inbox.Position{}
	for _, days := range ages {
		at[days] = p.addOld(days)
	}
	fast, slow := p.addReader("fast", at[29]), p.addReader("slow", at[100])
	p.exec(`INSERT INTO tokens (id, workspace_id, name, scopes, hash, hint) VALUES (gen_random_uuid(), $1, 'never', '{read-signals}', sha256('never'), '')`, p.workspace)
	keeper := inbox.NewStore(p.Maintenance(), p.box)
	rule := inbox.Rule{Workspace: p.workspace, Keep: 30 * aDay, KeepUnread: 110 * aDay, Log: inbox.KeptFor, Payloads: 30 * aDay, Readers: []uuid.UUID{fast, slow}}
	for _, step := range []struct {
		name   string
		before func()
		kept   int // signals
		unread int // entries in the trail
		oldest int // days of the oldest one that is kept
	}{
		{"the slow reader holds the rest", func() {}, 6, 0, 85},
		{"it comes further", func() { p.moveReader(slow, at[60]) }, 4, 0, 40},
		{"it began anew: nothing more goes", func() { p.moveReader(slow, inbox.Position{}) }, 4, 0, 40},
		{"the hard limit does not wait", func() { rule.KeepUnread = 35 * aDay }, 3, 1, 31},
		{"without it what is read goes", func() { rule.Readers = rule.Readers[:1] }, 2, 1, 29},
		{"there is nothing more to do", func() {}, 2, 1, 29},
	} {
		step.before()
		p.settle()
		if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{rule}); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var places []inbox.Position
		_, err := p.events.Read(t.Context(), p.workspace, nil, 100, func(signal *inbox.Signal) {
			places = append(places, signal.Position)
			if string(signal.Body) != "body of "+*signal.SourceRef {
				t.Errorf("%s: the signal of %s has the body %q", step.name, *signal.SourceRef, signal.Body)
			}
		})
		if err != nil || len(places) != step.kept || places[0] != at[step.oldest] {
			t.Fatalf("%s: %d signals are kept, %v, want %d", step.name, len(places), err, step.kept)
		}
		if n := p.count(`SELECT count(*) FROM audit_log WHERE action = 'signals.deleted_unread'`); n != step.unread {
			t.Errorf("%s: %d entries say that signals went unread, want %d", step.name, n, step.unread)
		}
		for _, days := range ages {
			position := at[days]
			n := 0
			count := func(*inbox.Signal) { n++ }
			_, err := p.events.Read(t.Context(), p.workspace, &position, 100, count)
			old, expired := errors.AsType[*inbox.ExpiredError](err)
			missed := p.count(`SELECT count(*) FROM unnest($1::integer[]) AS a WHERE a < $2 AND a > $3`, fmt.Sprintf("{%s}", joined(ages)), days, step.oldest) > 0
			if expired != missed || err != nil && !expired {
				t.Errorf("%s: a cursor at %d days = %d signals, %v; want expired %v", step.name, days, n, err, missed)
			}
			if expired {
				n = 0
				if _, err := p.events.Read(t.Context(), p.workspace, &old.Oldest, 100, count); err != nil || n != step.kept {
					t.Errorf("%s: behind the oldest cursor are %d signals, %v", step.name, n, err)
				}
			}
		}
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM deliveries WHERE outcome = 'duplicate' AND body IS NOT NULL`:  2, // of 29 days and of one
		`SELECT count(*) FROM deliveries WHERE outcome = 'accepted' AND body IS NOT NULL`:   2,
		`SELECT count(*) FROM deliveries WHERE id < uuid_floor(now() - interval '99 days')`: 0, // weeks that nothing needs are gone
		`SELECT count(*) FROM deliveries WHERE id > uuid_floor(now() - interval '87 days')`: 12,
	} {
		if n := p.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
}

func joined(numbers []int) (text string) {
	for i, n := range numbers {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprint(n)
	}
	return text
}

// TestRetentionKeepsWeeks: a week whose signal a slow reader still needs stays,
// however old.
func TestRetentionKeepsWeeks(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.exec(`SELECT ensure_delivery_weeks(now() - interval '210 days', now())`)
	kept := p.addOld(200)
	p.addOld(150)
	reader := p.addReader("slow", inbox.Position{})
	p.settle()
	keeper := inbox.NewStore(p.Maintenance(), p.box)
	rule := inbox.Rule{Workspace: p.workspace, Keep: 30 * aDay, KeepUnread: 365 * aDay, Log: inbox.KeptFor, Payloads: 30 * aDay, Readers: []uuid.UUID{reader}}
	if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{rule}); err != nil {
		t.Fatal(err)
	}
	var places []inbox.Position
	var bodies []string
	_, err := p.events.Read(t.Context(), p.workspace, nil, 10, func(signal *inbox.Signal) {
		places, bodies = append(places, signal.Position), append(bodies, string(signal.Body))
	})
	if err != nil || len(places) != 2 || places[0] != kept || bodies[0] != "body of 200 days ago" {
		t.Errorf("Read = %v with the bodies %q, %v; want both with their bodies", places, bodies, err)
	}
	p.moveReader(reader, kept)
	if err := keeper.Forget(t.Context(), time.Now(), []inbox.Rule{rule}); err != nil {
		t.Fatal(err)
	}
	if n := p.count(`SELECT count(*) FROM deliveries WHERE id < uuid_floor(now() - interval '190 days')`); n != 0 {
		t.Errorf("%d deliveries of a week that nothing needs are left", n)
	}
}

// TestReaders: how far each token has read, and how far it is behind.
func TestReaders(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.addOld(3)
	last := p.addOld(2)
	p.add(p.arrival(0, "now", "x"))
	none, some := p.addReader("none", inbox.Position{}), p.addReader("some", last)
	p.settle()
	readers, err := p.events.Readers(t.Context(), p.workspace)
	if err != nil || len(readers) != 2 {
		t.Fatalf("Readers = %+v, %v", readers, err)
	}
	if r := readers[0]; r.TokenID != none || r.Behind != 3 || r.ReadUntil != nil || r.OldestUnread == nil || time.Since(*r.OldestUnread) < 3*aDay {
		t.Errorf("the one that has nothing = %+v", r)
	}
	if r := readers[1]; r.TokenID != some || r.Behind != 1 || r.ReadUntil == nil || time.Since(*r.ReadUntil) > 3*aDay || r.OldestUnread == nil {
		t.Errorf("the one that has all but one = %+v", r)
	}
	p.moveReader(some, first)
	if readers, err = p.events.Readers(t.Context(), p.workspace); err != nil || readers[1].Behind != 2 {
		t.Errorf("one that began anew = %+v, %v", readers[1], err)
	}
}
