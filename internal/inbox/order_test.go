package inbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// A follower reads signals in the order of their places, as far as it is final.
type follower struct {
	p    *place
	xid  string
	id   uuid.UUID
	seen map[uuid.UUID]int
}

// read goes on from where the follower stands. Signals of transactions that are
// still open, or began after an open one, are not final yet.
func (f *follower) read() {
	const next = `
		SELECT id, commit_xid::text AS xid FROM signals
		WHERE workspace_id = $1 AND epoch = 1 AND (commit_xid, id) > ($2::xid8, $3) AND commit_xid < pg_snapshot_xmin(pg_current_snapshot())
		ORDER BY commit_xid, id LIMIT 100`
	for {
		var rows []struct {
			ID  uuid.UUID `db:"id"`
			XID string    `db:"xid"`
		}
		if err := f.p.Raw().Select(&rows, next, f.p.workspace, f.xid, f.id); err != nil {
			f.p.t.Error(err)
			return
		}
		for _, row := range rows {
			f.seen[row.ID]++
			f.xid, f.id = row.XID, row.ID
		}
		if len(rows) < 100 {
			return
		}
	}
}

// TestOrder: whoever follows the places of signals sees each once and misses
// none, though batches commit in another order than they began in.
func TestOrder(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	follow := &follower{p: p, xid: "0", seen: map[uuid.UUID]int{}}
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() {
			for n := range 40 {
				err := p.ingestion.InTx(context.Background(), func(tx *sqlx.Tx) error {
					_, err := p.appender.Append(context.Background(), tx, []inbox.Arrival{
						p.arrival(w%2, fmt.Sprint(w, " ", n, " a"), "x"), p.arrival(w%2, fmt.Sprint(w, " ", n, " b"), "y"),
					})
					time.Sleep(time.Duration((w*7+n*3)%11) * time.Millisecond) // who began first commits last, now and then
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		follow.read()
	}
	// A transaction of another test's database in this cluster may hold the horizon back for a moment.
	for end := time.Now().Add(20 * time.Second); len(follow.seen) < 480 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		follow.read()
	}
	if len(follow.seen) != 480 {
		t.Errorf("the follower saw %d signals, want 480", len(follow.seen))
	}
	for id, times := range follow.seen {
		if times != 1 {
			t.Errorf("signal %s was seen %d times", id, times)
		}
	}
}
