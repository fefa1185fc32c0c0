package inbox_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/postgres"
)

// A read is what a page, or a program, asks for.
type read struct {
	name string
	rows int64 // that it looks at however many there are
	run  func(*inbox.Store, *postgres.DB) error
}

// grows is the rows of a control: of a read that the measure must see growing.
const grows = -1

// TestPagesStayFlat: what a page reads does not grow with the tables. It counts the
// blocks of the tables and indexes that each read touches, which no load on the
// machine changes, with few rows and with twenty-five times as many.
func TestPagesStayFlat(t *testing.T) {
	t.Parallel()
	m := newMeadow(t)
	m.fill(2_000, 160)
	few := m.blocks()
	m.fill(50_000, 4_000)
	many := m.blocks()
	for _, r := range m.reads() {
		before, after := few[r.name], many[r.name]
		bound := before + before/4 + 100 + r.rows/16 // the rows of a key share blocks
		switch {
		case r.rows == grows && after <= 4*bound:
			t.Errorf("%s: %d blocks, then %d: the measure does not see what grows", r.name, before, after)
		case r.rows != grows && after > bound:
			t.Errorf("%s: %d blocks, then %d with twenty-five times the rows, want %d at most", r.name, before, after, bound)
		default:
			t.Logf("%s: %d blocks, then %d", r.name, before, after)
		}
	}
}

// rareAddress is that of the three oldest requests; 192.0.2.1 is that of a fifth of all.
const rareAddress = "198.51.100.7"

// A meadow is a place with keys of each sort: one whose requests are accepted, one
// that is flooded with what it refuses, one that was flooded so before its first
// accepted request, and one that is sent one event again and again.
type meadow struct {
	*place
	raw                           *sqlx.DB
	busy, flooded, late, repeated uuid.UUID
}

func newMeadow(t *testing.T) *meadow {
	p := newPlace(t)
	m := &meadow{place: p, raw: p.Raw(), busy: p.keys[0], flooded: p.keys[1], late: p.addKey(p.workspace), repeated: p.addKey(p.workspace)}
	m.raw.SetMaxOpenConns(1)
	m.raw.MustExec(`SELECT ensure_delivery_weeks(now() - interval '14 days', now())`)
	m.addToken()
	for _, table := range append(m.weeks(), "signals", "delivery_counts") { // its blocks would be counted too
		m.raw.MustExec(`ALTER TABLE ` + table + ` SET (autovacuum_enabled = off)`)
	}
	return m
}

// addToken adds a reader that has read nothing yet.
func (m *meadow) addToken() {
	id := newID(m.t)
	m.raw.MustExec(`INSERT INTO tokens (id, workspace_id, name, scopes, hash, hint) VALUES ($1, $2, 'reader', '{read}', sha256('reader'), 'x')`, id, m.workspace)
	m.raw.MustExec(`INSERT INTO signal_readers VALUES ($1, $2, 0, '0', $1, now())`, id, m.workspace)
}

func (m *meadow) weeks() (names []string) {
	err := m.raw.Select(&names, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'deliveries'::regclass`)
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

// fill stores requests of the last week in the order of their arrival, so many for
// each key, with their signals and counts, in place of those that are there.
func (m *meadow) fill(accepted, flood int) {
	const rows = `
		WITH r AS MATERIALIZED (
			SELECT f.*, at, row_number() OVER (ORDER BY at) AS place,
				overlay(uuid_floor(at)::text PLACING substr(gen_random_uuid()::text, 20) FROM 20)::uuid AS id
			FROM unnest($2::uuid[], $3::text[], $4::text[], $5::integer[], $6::interval[]) AS f (key, outcome, reason, n, ago)
			CROSS JOIN generate_series(1, f.n) AS i, LATERAL (SELECT now() - ago - interval '6 days 20 hours' * (1 - i::float8 / f.n) AS at) AS t
		), s AS (
			INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch, commit_xid)
			SELECT id, $1, key, 'webhook', 'ref-' || place, at, 0, (place / 30)::text::xid8 FROM r WHERE outcome = 'accepted' ORDER BY place
		), c AS (
			INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at)
			SELECT key, date_trunc('hour', at, 'UTC'), 1, outcome, reason, $1, count(*), max(at) FROM r GROUP BY 1, 2, 3, 4, 5
		)
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status, endpoint, address,
			user_agent, source, source_ref, signal_id, body, body_size, received_at)
		SELECT id, $1, key, 1, 'api_key', outcome, reason, 200, '/hooks/{key id}', '192.0.2.' || place % 5, 'test', 'webhook', 'ref-' || place, id, 'x', 1, at
		FROM r ORDER BY place`
	m.t.Helper()
	m.raw.MustExec(`TRUNCATE deliveries, signals, delivery_counts, delivery_days, outcome_counts`)
	_, err := m.raw.Exec(rows, m.workspace,
		pq.Array([]uuid.UUID{m.busy, m.flooded, m.late, m.late, m.repeated, m.repeated}),
		pq.Array([]string{"accepted", "refused", "refused", "accepted", "accepted", "duplicate"}),
		pq.Array([]string{"", "signature_wrong", "signature_wrong", "", "", ""}),
		pq.Array([]int{accepted, flood, flood, 1, 1, flood}),
		pq.Array([]string{"1 hour", "1 hour", "1 hour", "1 minute", "7 days", "1 hour"}))
	if err != nil {
		m.t.Fatal(err)
	}
	m.raw.MustExec(`UPDATE deliveries SET address = $1 WHERE id IN (SELECT id FROM deliveries ORDER BY id LIMIT 3)`, rareAddress)
	m.raw.MustExec(`VACUUM (ANALYZE) deliveries, signals, delivery_counts, delivery_days`)
	place := m.middle() // of the reader
	m.raw.MustExec(`UPDATE signal_readers SET epoch = $1, commit_xid = $2, signal_id = $3`, place.Epoch, fmt.Sprint(place.XID), place.ID)
	m.raw.MustExec(`SELECT pg_stat_force_next_flush()`) // else what this touched is told of later
}

// blocks returns how many blocks each read touches.
func (m *meadow) blocks() map[string]int64 {
	blocks := map[string]int64{}
	for _, r := range m.reads() {
		before := m.touched()
		m.alone(r)
		blocks[r.name] = m.touched() - before
	}
	return blocks
}

// alone runs a read on a connection of its own, and waits for its end: it has told
// what it touched then.
func (m *meadow) alone(r read) {
	m.t.Helper()
	db, err := postgres.Open(postgres.InWorkspace(m.t.Context(), m.workspace), m.URL, postgres.Console)
	if err != nil {
		m.t.Fatal(err)
	}
	var pid int
	if err := db.Read(m.t.Context(), func(tx *sqlx.Tx) error { return tx.Get(&pid, `SELECT pg_backend_pid()`) }); err != nil {
		m.t.Fatal(err)
	}
	if err := r.run(inbox.NewStore(db, m.box), db); err != nil {
		m.t.Fatalf("%s: %v", r.name, err)
	}
	db.Close()
	deadline := time.Now().Add(10 * time.Second)
	for there := true; there; {
		if err := m.raw.Get(&there, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, pid); err != nil {
			m.t.Fatal(err)
		}
		if there && time.Now().After(deadline) {
			m.t.Fatalf("%s: its connection does not end", r.name)
		}
	}
}

func (m *meadow) touched() (blocks int64) {
	const query = `
		SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0) + coalesce(toast_blks_read + toast_blks_hit, 0))
		FROM pg_statio_user_tables`
	m.t.Helper()
	if err := m.raw.Get(&blocks, query); err != nil {
		m.t.Fatal(err)
	}
	return blocks
}

// reads are all that the console's pages and the API ask of what arrived, and two
// controls.
func (m *meadow) reads() []read {
	ctx, w := m.t.Context(), m.workspace
	since, place := time.Now().Add(-30*24*time.Hour), m.middle()
	middle := place.ID
	rotation := inbox.Rotation{At: time.Now().Add(-6 * 24 * time.Hour), Old: []int{1}, New: 2}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	hours, months := []time.Time{today.Add(-time.Hour), today.Add(24 * time.Hour)}, []time.Time{today.AddDate(0, -13, 0), today.AddDate(0, 0, 1)}
	reads := []read{
		{"control: every delivery counted", grows, func(_ *inbox.Store, db *postgres.DB) error {
			return m.get(db, `SELECT count(*) FROM deliveries WHERE body_size > 0`)
		}},
		{"control: an accepted one looked for in a flood", grows, func(_ *inbox.Store, db *postgres.DB) error {
			return m.get(db, `SELECT count(*) FROM (
				SELECT FROM deliveries WHERE webhook_key_id = $1 AND outcome = 'accepted' ORDER BY id LIMIT 1) AS first`, m.flooded)
		}},
		{"Hourly", 0, func(s *inbox.Store, _ *postgres.DB) error {
			return last(s.Hourly(ctx, w, []uuid.UUID{m.busy, m.flooded}, since))
		}},
		{"HeldBack", 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.HeldBack(ctx, w)) }},
		{"Readers", 10_001, func(s *inbox.Store, _ *postgres.DB) error { return last(s.Readers(ctx, w)) }},
		{"Newest", 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.Newest(ctx, w)) }},
		{"Read behind a place", 0, func(s *inbox.Store, _ *postgres.DB) error {
			return last(s.Read(ctx, w, &place, 26, func(*inbox.Signal) {}))
		}},
		{"WithNews", 0, func(s *inbox.Store, _ *postgres.DB) error {
			return last(s.WithNews(ctx, []inbox.Head{{Workspace: w, Position: place}}))
		}},
		{"Read", 32_000, func(s *inbox.Store, _ *postgres.DB) error {
			return last(s.Read(ctx, w, nil, 500, func(*inbox.Signal) {}))
		}},
		{"Describe", 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.Describe(ctx, w, middle)) }},
		{"Open", 0, func(s *inbox.Store, _ *postgres.DB) error {
			return last(s.Open(ctx, audit.Actor{WorkspaceID: w, Kind: audit.CLI, Label: "test"}, middle))
		}},
		{"KeptOf", 0, func(s *inbox.Store, _ *postgres.DB) error { _, _, err := s.KeptOf(ctx, w, middle); return err }},
	}
	for name, f := range map[string]inbox.DeliveryFilter{
		"a rare address": {Address: netip.MustParsePrefix(rareAddress + "/32")}, "an address": {Address: netip.MustParsePrefix("192.0.2.1/32")},
		"a rare address and a key": {Address: netip.MustParsePrefix(rareAddress + "/32"), Key: m.busy},
		"all":                      {},
	} {
		// What shares 65 seconds with the newest ones is looked at as well.
		reads = append(reads, read{"Deliveries of " + name, 4_000, func(s *inbox.Store, _ *postgres.DB) error {
			return last(s.Deliveries(ctx, w, inbox.Search{DeliveryFilter: f, Limit: 50}))
		}})
	}
	for name, window := range map[string]inbox.Window{
		"": {}, " before": {Before: &middle}, " after": {After: &middle}, " of a key": {Key: &m.busy}, " of a key before": {Key: &m.busy, Before: &middle},
		" of a key after": {Key: &m.busy, After: &middle}, " of a flooded key": {Key: &m.flooded}, " of a late key": {Key: &m.late}, " of a repeated key": {Key: &m.repeated},
	} {
		window.Limit, window.Payloads = 26, true
		reads = append(reads, read{"List" + name, 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.List(ctx, w, window)) }})
	}
	for name, key := range map[string]uuid.UUID{"": m.busy, " of a flooded key": m.flooded, " of a late key": m.late, " of a repeated key": m.repeated} {
		reads = append(reads,
			read{"RecentOf" + name, 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.RecentOf(ctx, w, key, 20)) }},
			read{"Usage by hour" + name, 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.Usage(ctx, w, &key, hours)) }},
			read{"Usage by day" + name, 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.Usage(ctx, w, &key, months)) }},
			read{"FirstOf" + name, 0, func(s *inbox.Store, _ *postgres.DB) error { _, _, err := s.FirstOf(ctx, w, key); return err }})
	}
	week := inbox.DeliveryFilter{From: today.AddDate(0, 0, -7), Until: today.AddDate(0, 0, 1)}
	reads = append(reads,
		read{"HistogramOf a week", 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.HistogramOf(ctx, w, week, 4*time.Hour)) }},
		read{"Usage of all keys", 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.Usage(ctx, w, nil, months)) }},
		read{"SendersOf", 20_000, func(s *inbox.Store, _ *postgres.DB) error { return last(s.SendersOf(ctx, w, m.busy, since)) }},
		read{"SendersOf of a flooded key", 0, func(s *inbox.Store, _ *postgres.DB) error { return last(s.SendersOf(ctx, w, m.flooded, since)) }},
		read{"UseSince", 20_000, func(s *inbox.Store, _ *postgres.DB) error { return last(s.UseSince(ctx, w, m.busy, rotation)) }})
	return reads
}

// middle returns the place of a signal with many on either side.
func (m *meadow) middle() (place inbox.Position) {
	m.t.Helper()
	const query = `
		SELECT epoch, commit_xid, id AS signal_id FROM signals
		WHERE webhook_key_id = $1 AND id < uuid_floor(now() - interval '3 days') ORDER BY id DESC LIMIT 1`
	if err := m.raw.Get(&place, query, m.busy); err != nil {
		m.t.Fatal(err)
	}
	return place
}

func (m *meadow) get(db *postgres.DB, query string, args ...any) error {
	var n int
	return db.Read(m.t.Context(), func(tx *sqlx.Tx) error { return tx.Get(&n, query, args...) })
}

func last[T any](_ T, err error) error { return err }
