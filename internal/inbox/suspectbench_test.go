package inbox_test

import (
	"fmt"
	"testing"
	"time"

	"keyhook/internal/inbox"
)

// BenchmarkIncident marks a million signals suspect, and erases 100,000 payloads of
// 1 kB of one subject while requests come in. It says how long each took and for how
// long a request waited at most.
func BenchmarkIncident(b *testing.B) {
	const signals, payloads = 1_000_000, 100_000
	p := newPlace(b)
	const rows = `
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, status, scheme, endpoint, address, user_agent,
			content_type, headers, event_type, source, source_ref, body, body_size, body_sha256, signal_id, received_at, took_us)
		SELECT id, $1, $2, 1, 'api_key', $3, 200, 'generic', '/hooks/{key id}', '203.0.113.9', 'sender/1.0', 'application/json', '{"user-agent": "sender/1.0"}',
			'order.created', 'webhook', CASE $3::text WHEN 'accepted' THEN 'ref-' || n ELSE 'subject' END, convert_to(repeat('x', $4), 'UTF8'), $4, sha256('x'),
			CASE $3::text WHEN 'accepted' THEN id END, now() - interval '40 minutes' + n * interval '1 ms', 1500
		FROM (SELECT n, (left(uuid_floor(now() - interval '40 minutes' + n * interval '1 ms')::text, 24) || lpad(to_hex(n), 12, '0'))::uuid AS id
			FROM generate_series(1, $5::integer) AS n) AS r`
	p.exec(rows, p.workspace, p.keys[0], inbox.Accepted, 200, signals)
	p.exec(rows, p.workspace, p.keys[0], inbox.Duplicate, 1024, payloads)
	p.exec(`INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
		SELECT id, workspace_id, webhook_key_id, source, source_ref, received_at, 1 FROM deliveries WHERE outcome = 'accepted'`)
	p.exec(`ANALYZE deliveries, signals`)
	mark := inbox.Mark{KeyID: p.keys[0], From: time.Now().Add(-2 * time.Hour), Until: time.Now(), Reason: "why"}
	step := func(name string, do func() error) {
		began := time.Now()
		if err := do(); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, name+"-ms")
	}
	for b.Loop() {
		step("preview", func() error { _, err := p.events.PreviewMark(b.Context(), p.workspace, mark, true); return err })
		step("mark", func() error { _, err := p.events.MarkSuspect(b.Context(), p.by(), mark); return err })
		alone := p.slowest(2*time.Second, "alone")
		if _, err := p.events.AskToErase(b.Context(), p.by(), inbox.Erasure{SourceRef: "subject", Reason: "asked"}); err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		step("erase", func() error {
			go func() { defer close(done); p.eraseAll() }()
			b.ReportMetric(float64(p.slowestUntil(done, "beside").Microseconds())/1000, "append-max-beside-ms")
			return nil
		})
		b.ReportMetric(float64(alone.Microseconds())/1000, "append-max-alone-ms")
	}
}

// slowest sends one request after another for a time, and returns for how long one
// waited at most.
func (p *place) slowest(long time.Duration, ref string) time.Duration {
	done := make(chan struct{})
	time.AfterFunc(long, func() { close(done) })
	return p.slowestUntil(done, ref)
}

func (p *place) slowestUntil(done chan struct{}, ref string) (most time.Duration) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return most
		default:
		}
		began := time.Now()
		p.add(p.arrival(0, fmt.Sprint(ref, n), "x"))
		most = max(most, time.Since(began))
	}
}
