package audit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/pgtest"
)

// BenchmarkVerifyChain verifies a real chain of a million entries in the database, as
// the audit page has it verified.
func BenchmarkVerifyChain(b *testing.B) {
	const entries, together = 1_000_000, 5_000
	db := pgtest.New(b)
	workspace := uuid.Must(uuid.NewV7())
	db.Raw().MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'Large', 'large')`, workspace)
	by := audit.Actor{Kind: audit.CLI, Label: "command line", WorkspaceID: workspace}
	pool := db.Maintenance()
	began := time.Now()
	for n := 0; n < entries; n += together {
		changes := make([]audit.Change, together)
		for i := range changes {
			name := fmt.Sprintf("Key %07d", n+i)
			changes[i] = audit.Change{
				Action: audit.KeyEdited, Target: audit.Target{Kind: "key", ID: uuid.NewString(), Label: name},
				Before: audit.Fields{"name": name, "daily_quota": "none"}, After: audit.Fields{"name": name + " of the warehouse", "daily_quota": "10000"},
			}
		}
		err := pool.InTx(b.Context(), func(tx *sqlx.Tx) error { return audit.RecordAll(b.Context(), tx, by, changes) })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d entries written in %s", entries, time.Since(began).Round(time.Second))
	store, before := audit.NewStore(pool), heap()
	var most uint64
	b.ResetTimer()
	for range b.N {
		read := 0
		verdict, err := store.VerifyChain(b.Context(), by.Chain(), audit.NewCheckpoints(nil), func(int64, int64) error {
			if read++; read%100_000 == 0 {
				most = max(most, heap())
			}
			return nil
		})
		if err != nil || !verdict.OK() || read != entries {
			b.Fatalf("after %d entries: %+v, %v", read, verdict, err)
		}
	}
	b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(most-min(most, before))/1e6, "MB-more")
}
