package inbox_test

import (
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/pgtest"
)

// BenchmarkExport exports a million rows with bodies of 200 bytes stored, and says
// how many came in a second and how much memory this process had at most.
func BenchmarkExport(b *testing.B) {
	const rows = 1_000_000
	db := pgtest.New(b)
	raw, events := db.Raw(), inbox.NewStore(db.Console(), pgtest.Box(b))
	workspace, key := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	if _, err := raw.Exec(`INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, status, scheme, endpoint, address, user_agent,
			content_type, headers, event_type, source, source_ref, body, body_size, body_sha256, received_at, took_us)
		SELECT (left(uuid_floor(now() - interval '1 hour' + n * interval '1 ms')::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, $1, $2, 1, 'api_key', 'accepted', 200,
			'generic', '/hooks/{key id}', '203.0.113.9', 'sender/1.0', 'application/json', '{"user-agent": "sender/1.0"}', 'order.created', 'webhook', 'ref-' || n,
			convert_to(repeat('x', 200), 'UTF8'), 200, sha256('x'), now(), 1500
		FROM generate_series(1, $3::integer) AS n`, workspace, key, rows); err != nil {
		b.Fatal(err)
	}
	if _, err := raw.Exec(`ANALYZE deliveries`); err != nil {
		b.Fatal(err)
	}
	by := audit.Actor{WorkspaceID: workspace, Kind: audit.CLI, ID: uuid.NewString()}
	for _, e := range []inbox.Export{
		{Format: inbox.NDJSON},
		{Format: inbox.CSV},
		{Format: inbox.NDJSON, Payloads: true},
		{Format: inbox.NDJSON, Filter: inbox.DeliveryFilter{Source: "webhook", Method: inbox.ByAPIKey}},
	} {
		name := e.Format
		if e.Payloads {
			name += "-payloads"
		}
		if e.Filter.Source != "" {
			name += "-filtered"
		}
		b.Run(name, func(b *testing.B) {
			debug.FreeOSMemory()
			for range b.N {
				done, err := events.Export(b.Context(), by, e, writer(func([]byte) {}))
				if err != nil || done.Rows != rows {
					b.Fatalf("Export = %+v, %v", done, err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(peak(b), "peak-MB")
		})
	}
}

// peak is the most resident memory that this process has had.
func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	kilobytes, err := strconv.ParseFloat(string(regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}
