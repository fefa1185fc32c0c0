package demo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const chunk = 1000 // rows a statement

// A request is a delivery of the past.
type request struct {
	id, key       uuid.UUID
	signal        *uuid.UUID
	at            time.Time
	generation    int
	outcome       string
	reason        string
	status        int
	method        string
	event, ref    string
	address       string
	source        string
	body          []byte
	took          int64
	firstOfSignal bool
}

// addTraffic writes the requests of the last days, oldest first, and the counts
// that follow from them.
func (f *filler) addTraffic(ctx context.Context, senders []sender) error {
	requests := f.requests(senders)
	return f.db.InTx(ctx, func(tx *sqlx.Tx) error {
		const weeks = `SELECT ensure_delivery_weeks($1, $2)`
		if _, err := tx.ExecContext(ctx, weeks, f.now.AddDate(0, 0, -days-1), f.now); err != nil {
			return err
		}
		for part := range slices.Chunk(requests, chunk) {
			if err := f.insert(ctx, tx, part); err != nil {
				return err
			}
		}
		return f.count(ctx, tx)
	})
}

// requests draws 50,000 requests in order of time.
func (f *filler) requests(senders []sender) []request {
	total, usual := 0.0, deliveries
	for _, s := range senders {
		total, usual = total+s.weight, usual-s.ghosts
	}
	var all []request
	for _, s := range senders {
		n := int(s.weight / total * float64(usual))
		var last *request
		for i := range n {
			r := f.draw(s, last)
			if s.rotated > 0 && i < 3 && r.outcome == "accepted" { // the old ones are in use at this moment
				r.at, r.generation = f.ago(float64(7*i+7)/(24*60)).Truncate(time.Millisecond), 1
			}
			if r.outcome == "accepted" {
				last = &r
			}
			all = append(all, r)
		}
		for range s.ghosts {
			all = append(all, f.drawGhost(s))
		}
	}
	for len(all) < deliveries { // what rounding left
		all = append(all, f.draw(senders[1], nil))
	}
	slices.SortFunc(all, func(a, b request) int { return a.at.Compare(b.at) })
	for i := range all {
		all[i].id = idAt(all[i].at, f.random.Uint64())
		if all[i].firstOfSignal {
			*all[i].signal = all[i].id
		}
	}
	return all
}

// drawGhost makes a request with credentials of s that were stopped.
func (f *filler) drawGhost(s sender) request {
	span := 6.0
	if s.expired > 0 {
		span = s.expired
	}
	at := f.ago(f.random.Float64() * span).Truncate(time.Millisecond)
	r := request{
		key: s.key.ID, source: s.key.Source, at: at, address: s.addresses[0], generation: 1, method: "api_key",
		outcome: "refused", reason: "key_inactive", status: 401, took: int64(26_000 + f.random.IntN(4000)), event: s.events[0], ref: fmt.Sprintf("evt_%016x", f.random.Uint64()),
	}
	if s.expired > 0 {
		r.reason = "key_expired"
	}
	r.body = fmt.Appendf(nil, `{"event":%q,"id":%q}`, r.event, r.ref)
	return r
}

// draw makes one request of s; previous is one that it may repeat.
func (f *filler) draw(s sender, previous *request) request {
	r := request{
		key: s.key.ID, source: s.key.Source, at: f.moment(s), address: s.addresses[f.random.IntN(len(s.addresses))],
		generation: 1, outcome: "accepted", status: 200, method: "api_key", took: int64(1500 + f.random.ExpFloat64()*2500),
		event: s.events[f.random.IntN(len(s.events))], ref: fmt.Sprintf("evt_%016x", f.random.Uint64()),
	}
	if s.signed {
		r.method = "signature"
	}
	if s.rotated > 0 && r.at.After(f.ago(s.rotated/24)) && f.random.Float64() < 0.4 { // the others still use the old ones
		r.generation = 2
	}
	chance := f.random.Float64()
	switch {
	case chance < s.refused:
		r.refuse(f.random.IntN(4))
	case previous != nil && chance < s.refused+s.repeated:
		r.outcome, r.ref, r.event, r.signal = "duplicate", previous.ref, previous.event, previous.signal
		r.at = previous.at.Add(time.Duration(5+f.random.IntN(600)) * time.Second)
		if r.at.After(f.now) {
			r.at = f.now
		}
	default:
		r.signal, r.firstOfSignal = new(uuid.UUID), true
	}
	r.body = fmt.Appendf(nil, `{"event":%q,"id":%q,"amount":%d,"currency":"EUR"}`, r.event, r.ref, 100+f.random.IntN(90_000))
	return r
}

func (r *request) refuse(kind int) {
	r.outcome = "refused"
	switch kind {
	case 0, 1:
		r.status, r.reason, r.method = 401, "signature_wrong", "signature"
	case 2:
		r.status, r.reason = 403, "address_forbidden"
	default:
		r.status, r.reason = 400, "invalid_json"
	}
}

// moment draws when a request of s came: more by day than by night, and for some
// senders in office hours only.
func (f *filler) moment(s sender) time.Time {
	span := min(float64(days), s.age) - s.silent
	for {
		at := f.now.Add(-time.Duration((s.silent + f.random.Float64()*span) * 24 * float64(time.Hour)))
		hour, weekend := at.Hour(), at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
		busy := 0.25
		if hour >= 7 && hour < 19 {
			busy = 1
		}
		if s.office && (weekend || busy < 1) {
			busy = 0.04
		}
		if f.random.Float64() < busy {
			return at.Truncate(time.Millisecond)
		}
	}
}

// idAt makes a UUIDv7 of a moment of the past.
func idAt(at time.Time, random uint64) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|0x7000|random>>52)
	binary.BigEndian.PutUint64(id[8:], random&(1<<62-1)|1<<63)
	return id
}

func (f *filler) insert(ctx context.Context, tx *sqlx.Tx, part []request) error {
	const delivery = `
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, reason, status,
			scheme, endpoint, address, user_agent, content_type, event_type, source, source_ref, signal_id,
			body, body_size, body_sha256, received_at, took_us)
		SELECT id, $1, key, generation, method, outcome, reason, status, 'generic', '/hooks/{key}', address, 'demo/1.0', 'application/json',
			event, source, ref, nullif(signal, ''::text)::uuid,
			CASE WHEN outcome <> 'refused' THEN body END, octet_length(body), sum, at, took
		FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[], $9::text[], $10::text[],
			$11::text[], $12::text[], $13::bytea[], $14::bytea[], $15::timestamptz[], $16::bigint[], $17::integer[])
			AS r (id, key, method, outcome, reason, status, address, event, source, ref, signal, body, sum, at, took, generation)`
	const signal = `
		INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
		SELECT id, workspace_id, webhook_key_id, source, source_ref, received_at, 1
		FROM deliveries WHERE outcome = 'accepted' AND id BETWEEN $1 AND $2
		ON CONFLICT DO NOTHING`

	var c columnsOf
	for _, r := range part {
		c.add(r)
	}
	_, err := tx.ExecContext(ctx, delivery, f.by.WorkspaceID, pq.Array(c.ids), pq.Array(c.keys), pq.Array(c.methods), pq.Array(c.outcomes),
		pq.Array(c.reasons), pq.Array(c.statuses), pq.Array(c.addresses), pq.Array(c.events), pq.Array(c.sources), pq.Array(c.refs),
		pq.Array(c.signals), pq.Array(c.bodies), pq.Array(c.sums), pq.Array(c.times), pq.Array(c.tooks), pq.Array(c.generations))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, signal, part[0].id, part[len(part)-1].id)
	return err
}

// columnsOf are requests turned by a quarter, as unnest takes them.
type columnsOf struct {
	ids, keys, methods, outcomes, reasons, addresses, events, sources, refs, signals, times []string
	statuses, tooks, generations                                                            []int64
	bodies, sums                                                                            [][]byte
}

func (c *columnsOf) add(r request) {
	sum, signal := sha256.Sum256(r.body), ""
	if r.signal != nil {
		signal = r.signal.String()
	}
	c.ids, c.keys = append(c.ids, r.id.String()), append(c.keys, r.key.String())
	c.methods, c.outcomes = append(c.methods, r.method), append(c.outcomes, r.outcome)
	c.reasons, c.statuses = append(c.reasons, r.reason), append(c.statuses, int64(r.status))
	c.addresses, c.events = append(c.addresses, r.address), append(c.events, r.event)
	c.sources, c.refs = append(c.sources, r.source), append(c.refs, r.ref)
	c.signals, c.times = append(c.signals, signal), append(c.times, r.at.Format(time.RFC3339Nano))
	c.tooks, c.generations = append(c.tooks, r.took), append(c.generations, int64(r.generation))
	c.bodies, c.sums = append(c.bodies, r.body), append(c.sums, sum[:])
}

// count derives the hourly counts and the keys' last uses from the rows.
func (f *filler) count(ctx context.Context, tx *sqlx.Tx) error {
	const counts = `
		INSERT INTO delivery_counts (webhook_key_id, hour, credential_generation, outcome, reason, workspace_id, requests, last_at)
		SELECT webhook_key_id, date_trunc('hour', received_at), credential_generation, outcome, reason, workspace_id, count(*), max(received_at)
		FROM deliveries WHERE workspace_id = $1 AND webhook_key_id IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5, 6`
	const used = `
		UPDATE webhook_keys AS k SET last_used_at = c.used, last_refused_at = c.refused
		FROM (SELECT webhook_key_id, max(last_at) FILTER (WHERE outcome <> 'refused') AS used,
				max(last_at) FILTER (WHERE outcome = 'refused') AS refused
			FROM delivery_counts WHERE workspace_id = $1 GROUP BY 1) AS c
		WHERE c.webhook_key_id = k.id`
	if _, err := tx.ExecContext(ctx, counts, f.by.WorkspaceID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, used, f.by.WorkspaceID)
	return err
}
