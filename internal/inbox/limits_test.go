package inbox_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// limit sets what the log keeps of a key, as its form does.
func (p *place) limit(key int, limit inbox.Limit) {
	p.t.Helper()
	p.exec(`UPDATE webhook_keys SET log = $2 WHERE id = $1 AND log <> $2`, p.keys[key], limit)
}

// TestRepetitionsAreLimitedAtOnce: what no signal needs is never stored where the
// log does not keep it; what a signal needs is.
func TestRepetitionsAreLimitedAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		log                   inbox.Limit
		bodies, headers, sums int // of an accepted, a duplicate and a refused request
		sealed                int
	}{{inbox.KeepsAll, 3, 3, 3, 1}, {inbox.KeepsHeaders, 1, 3, 3, 0}, {inbox.KeepsNothing, 1, 1, 1, 0}} {
		p := newPlace(t)
		p.limit(0, tt.log)
		version := p.count(`SELECT version FROM webhook_keys WHERE id = $1`, p.keys[0])
		for _, a := range []inbox.Arrival{p.arrival(0, "a", "body"), p.arrival(0, "a", "body"), p.refused(0, "body")} {
			a.Log, a.KeyVersion, a.Headers = tt.log, int64(version), `{"x-test": "1"}`
			p.add(a)
		}
		if tt.log == inbox.KeepsAll {
			tt.bodies-- // a refused one's is kept apart
		}
		for query, want := range map[string]int{
			`SELECT count(*) FROM deliveries`:                                                 3,
			`SELECT count(*) FROM deliveries WHERE outcome = 'accepted' AND body = 'body'`:    1,
			`SELECT count(*) FROM deliveries WHERE length(body) > 0 AND outcome <> 'refused'`: tt.bodies,
			`SELECT count(*) FROM deliveries WHERE headers <> '{}'`:                           tt.headers,
			`SELECT count(*) FROM deliveries WHERE body_sha256 IS NOT NULL`:                   tt.sums,
			`SELECT count(*) FROM refused_requests`:                                           tt.sealed,
			`SELECT sum(requests - not_kept) FROM delivery_totals`:                            3,
		} {
			if n := p.count(query); n != want {
				t.Errorf("%s: %s = %d, want %d", tt.log, query, n, want)
			}
		}
	}
}

// A history is what a workspace should have, by hand.
type history struct {
	*place
	raw    *sqlx.DB // one pool: each of place's is another
	now    time.Time
	rule   inbox.Rule
	limits [2]inbox.Limit
	random *rand.Rand
	n      int
	sent   []modelled
	reader []uuid.UUID
	taken  map[uuid.UUID]bool // signals whose limit worked, since all had read them: one that begins anew finds no body
}

type modelled struct {
	id      uuid.UUID
	key     int
	first   bool // accepted
	refused bool
}

// TestRetentionModel plays random histories of senders, readers, rules and limits
// while time goes by, and looks after each run that nothing is missing that
// somebody may still want, that what is past its rule is gone, and that the counts
// agree with the rows.
func TestRetentionModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &history{place: newPlace(t), random: rand.New(rand.NewPCG(seed, 25)), now: time.Now().Add(-400 * aDay).Truncate(time.Millisecond), taken: map[uuid.UUID]bool{}, limits: [2]inbox.Limit{inbox.KeepsAll, inbox.KeepsAll}}
			m.raw = m.Raw()
			m.exec(`SELECT ensure_delivery_weeks(now() - interval '410 days', now())`)
			other := m.addWorkspace() // keeps its weeks for long, so rows go one by one
			m.exec(`UPDATE workspaces SET keep_deliveries_days = 800 WHERE id = $1`, other)
			m.change()
			keeper := inbox.NewStore(m.Maintenance(), m.box)
			for range 25 {
				m.now = m.now.Add(time.Duration(1+m.random.IntN(15)) * aDay)
				m.act()
				m.settle()
				m.rollUp()
				rules := []inbox.Rule{m.rule}
				if seed%2 == 0 {
					rules = append(rules, inbox.Rule{Workspace: other, Keep: aDay, KeepUnread: aDay, Log: 800 * aDay, Payloads: aDay})
				}
				if err := keeper.Forget(t.Context(), m.now, rules); err != nil {
					t.Fatal(err)
				}
				m.check()
			}
		})
	}
}

func (m *history) exec(query string, args ...any) {
	m.t.Helper()
	if _, err := m.raw.Exec(query, args...); err != nil {
		m.t.Fatal(err)
	}
}

func (m *history) count(query string, args ...any) (n int) {
	m.t.Helper()
	if err := m.raw.Get(&n, query, args...); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// act sends, reads on and changes rules.
func (m *history) act() {
	m.t.Helper()
	for range 1 + m.random.IntN(8) {
		m.send()
	}
	m.settle()
	switch m.random.IntN(6) {
	case 0:
		m.change()
	case 1:
		key := m.random.IntN(2)
		m.limits[key] = []inbox.Limit{inbox.KeepsAll, inbox.KeepsHeaders, inbox.KeepsNothing}[m.random.IntN(3)]
		m.exec(`UPDATE webhook_keys SET log = $2 WHERE id = $1 AND log <> $2`, m.keys[key], m.limits[key])
	case 2:
		id := newID(m.t)
		m.exec(`INSERT INTO tokens (id, workspace_id, name, scopes, hash, hint) VALUES ($1, $2, $3::text, '{read-signals}', sha256(convert_to($3::text, 'UTF8')), '')`, id, m.workspace, fmt.Sprint("reader ", m.n))
		m.moveTo(id, m.somewhere(inbox.Position{}))
		m.reader = append(m.reader, id)
	case 3:
		if len(m.reader) > 0 {
			m.reader = m.reader[1:]
		}
	}
	for _, reader := range m.reader {
		var at inbox.Position
		if err := m.raw.Get(&at, `SELECT epoch, commit_xid, signal_id FROM signal_readers WHERE token_id = $1`, reader); err != nil {
			m.t.Fatal(err)
		}
		m.moveTo(reader, m.somewhere(at))
	}
	m.rule.Readers = m.reader
}

// moveTo notes how far a reader has come.
func (m *history) moveTo(reader uuid.UUID, at inbox.Position) {
	m.t.Helper()
	m.exec(`INSERT INTO signal_readers (token_id, workspace_id, epoch, commit_xid, signal_id, read_at) VALUES ($1, $2, $3, $4, $5, now())
		ON CONFLICT (token_id) DO UPDATE SET epoch = excluded.epoch, commit_xid = excluded.commit_xid, signal_id = excluded.signal_id`,
		reader, m.workspace, at.Epoch, fmt.Sprint(at.XID), at.ID)
}

func (m *history) send() {
	m.t.Helper()
	m.n++
	key := m.random.IntN(2)
	a := m.arrival(key, fmt.Sprint(m.random.IntN(m.n+3)), fmt.Sprint("body ", m.n))
	if refuse := m.random.IntN(5) == 0; refuse {
		a = m.refused(key, "body")
	}
	id := floorAt(m.now, m.n)
	a.ID, a.ReceivedAt, a.Log, a.Headers = id, m.now.UTC().Truncate(time.Microsecond), m.limits[key], `{"x-test": "1"}`
	a.KeyVersion = int64(m.count(`SELECT version FROM webhook_keys WHERE id = $1`, m.keys[key]))
	result := m.add(a)[0]
	m.sent = append(m.sent, modelled{id: id, key: key, first: result.Outcome == inbox.Accepted, refused: result.Outcome == inbox.Refused})
}

func floorAt(at time.Time, n int) (id uuid.UUID) {
	millis := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	id[6], id[8], id[14], id[15] = 0x70, 0x80, byte(n>>8), byte(n)
	return id
}

// change draws another rule, and stores it as its form does.
func (m *history) change() {
	keep := 1 + m.random.IntN(40)
	payloads := 1 + m.random.IntN(60)
	unread, log := keep+m.random.IntN(100), payloads+m.random.IntN(100)
	m.rule = inbox.Rule{
		Workspace: m.workspace, Keep: time.Duration(keep) * aDay, KeepUnread: time.Duration(unread) * aDay,
		Log: time.Duration(log) * aDay, Payloads: time.Duration(payloads) * aDay, Readers: m.reader,
	}
	m.exec(`UPDATE workspaces SET keep_signals_days = $2, keep_unread_days = $3, keep_deliveries_days = $4, keep_payloads_days = $5 WHERE id = $1`,
		m.workspace, keep, unread, log, payloads)
}

// somewhere reads some signals behind a position, each of which must have its body.
func (m *history) somewhere(after inbox.Position) inbox.Position {
	m.t.Helper()
	from := &after
	if after == (inbox.Position{}) {
		from = nil
	}
	end, err := m.events.Read(m.t.Context(), m.workspace, from, 1+m.random.IntN(6), func(s *inbox.Signal) {
		if len(s.Body) == 0 && !m.taken[s.ID] {
			m.t.Errorf("a reader finds the signal %s without its body", s.ID)
		}
	})
	if err != nil { // it was too slow: it goes on from the front
		return inbox.Position{}
	}
	return end
}

// slowest is what every reader has read.
func (m *history) slowest() (at inbox.Position, held bool) {
	for _, reader := range m.reader {
		var p inbox.Position
		if err := m.raw.Get(&p, `SELECT epoch, commit_xid, signal_id FROM signal_readers WHERE token_id = $1`, reader); err != nil {
			m.t.Fatal(err)
		}
		if !held || p.Compare(at) < 0 {
			at, held = p, true
		}
	}
	return at, held
}

func (m *history) check() {
	m.t.Helper()
	slowest, held := m.slowest()
	monday := func(at time.Time) time.Time {
		for at = at.UTC().Truncate(aDay); at.Weekday() != time.Monday; {
			at = at.Add(-aDay)
		}
		return at
	}
	for _, s := range m.sent {
		var row struct {
			Position inbox.Position `db:"place"`
			Kept     bool           `db:"kept"`
			There    bool           `db:"there"`
			Body     bool           `db:"body"`
			Headers  bool           `db:"headers"`
			Sum      bool           `db:"sum"`
		}
		const query = `
			SELECT s.id IS NOT NULL AS kept, d.id IS NOT NULL AS there, d.body IS NOT NULL AND d.outcome <> 'refused' AS body, coalesce(d.headers, '{}') <> '{}' AS headers,
				d.body_sha256 IS NOT NULL AS sum, coalesce(s.epoch, 0) AS "place.epoch", coalesce(s.commit_xid, '0') AS "place.commit_xid", i AS "place.signal_id"
			FROM (SELECT $1::uuid AS i) AS one LEFT JOIN signals AS s ON s.id = i LEFT JOIN deliveries AS d ON d.id = i`
		if err := m.raw.Get(&row, query, s.id); err != nil {
			m.t.Fatal(err)
		}
		limit := m.limits[s.key]
		at := time.UnixMilli(int64(uint64(s.id[0])<<40 | uint64(s.id[1])<<32 | uint64(s.id[2])<<24 | uint64(s.id[3])<<16 | uint64(s.id[4])<<8 | uint64(s.id[5])))
		read := held && row.Position.Compare(slowest) <= 0
		past, over := at.Before(m.now.Add(-m.rule.Payloads)), at.Before(monday(m.now.Add(-m.rule.Log)))
		tell := func(what string) {
			m.t.Fatalf("%s of %s (%s, limit %s, kept %v, read %v, past %v, over %v): %+v", what, s.id, at, limit, row.Kept, read, past, over, row)
		}
		m.taken[s.id] = m.taken[s.id] || row.Kept && read && limit != inbox.KeepsAll
		switch {
		case row.Kept && !row.There:
			tell("a kept signal lacks its row,")
		case row.Kept && !row.Body && !m.taken[s.id]:
			tell("a kept signal that somebody may want lacks its body,")
		case row.Kept && row.Body && limit != inbox.KeepsAll && read:
			tell("everybody has read it and the limit does not work,")
		case row.Kept:
		case row.There && over:
			tell("a row is past its time,")
		case (row.Body || row.Headers) && past:
			tell("a body or headers are past their time,")
		case row.Body && limit != inbox.KeepsAll, (row.Headers || row.Sum) && limit == inbox.KeepsNothing:
			tell("more than the limit is kept")
		}
	}
	if n := m.count(`SELECT sum(requests - not_kept) - (SELECT count(*) FROM deliveries) FROM delivery_totals`); n != 0 {
		m.t.Fatalf("the counts tell of %d more rows than there are", n)
	}
	if n := m.count(`SELECT count(*) FROM refused_requests AS r WHERE NOT EXISTS (SELECT FROM deliveries AS d WHERE d.id = r.delivery_id)`); n != 0 {
		m.t.Fatalf("%d refused bodies have no row", n)
	}
}
