package inbox_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/pgtest"
)

// BenchmarkAppend is one writer with batches of new events; an operation is one event.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkAppend(b, size) })
	}
}

func benchmarkAppend(b *testing.B, size int) {
	db := pgtest.New(b)
	pool, raw, appender := db.Ingestion(), db.Raw(), inbox.NewAppender(pgtest.Box(b))
	workspace, key := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	raw.MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'Acme', 'acme')`, workspace)
	raw.MustExec(`INSERT INTO webhook_keys (id, workspace_id, name, scheme, source) VALUES ($1, $2, 'a', 'generic', 'a')`, key, workspace)
	filler := strings.Repeat("x", 1000)
	var pid int
	if err := pool.Read(context.Background(), func(tx *sqlx.Tx) error { return tx.Get(&pid, `SELECT pg_backend_pid()`) }); err != nil {
		b.Fatal(err)
	}
	ticks := func() (sum int) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		fields := strings.Fields(string(text))
		for _, f := range fields[13:15] {
			n, _ := strconv.Atoi(f)
			sum += n
		}
		return sum
	}
	before := ticks()
	batch := make([]inbox.Arrival, size)
	for n := 0; b.Loop(); n++ {
		if n%size != 0 {
			continue
		}
		for i := range batch {
			body := fmt.Appendf(nil, `{"n":%d,"data":"%s"}`, n+i, filler)
			batch[i] = inbox.Arrival{
				ID: uuid.Must(uuid.NewV7()), WorkspaceID: workspace, KeyID: key, KeyVersion: 1, Generation: 1, Method: inbox.ByAPIKey, Status: 200,
				Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "192.0.2.1", UserAgent: "bench", ContentType: "application/json",
				Source: "a", SourceRef: fmt.Sprint("ref-", n+i), WatchBody: true, Body: body, BodySize: int64(len(body)),
				ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Began: time.Now(),
			}
		}
		err := pool.InTx(context.Background(), func(tx *sqlx.Tx) error {
			_, err := appender.Append(context.Background(), tx, batch)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(ticks()-before)*1e4/float64(b.N), "db-µs/op")
}
