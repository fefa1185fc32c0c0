package inbox_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhook/internal/inbox"
)

// TestWeeksGo: past weeks go while senders append and somebody reads, and nobody
// is held up; what is younger stays.
func TestWeeksGo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	keeper := inbox.NewStore(p.Maintenance(), p.box)
	p.exec(`SELECT ensure_delivery_weeks(now() - interval '120 days', now())`)
	const old = `
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, auth_method, outcome, status, endpoint, address, signal_id, received_at)
		SELECT i, $1, $2, 'none', 'accepted', 200, '/hooks/{key id}', '', i, now() FROM (
			SELECT (left(uuid_floor(now() - n * interval '1 day')::text, 34) || '00')::uuid AS i FROM generate_series(1, 120) AS n) AS r`
	p.exec(old, p.workspace, p.keys[0])
	p.exec(`INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
		SELECT id, workspace_id, webhook_key_id, 'old', id::text, received_at, 1 FROM deliveries`)
	p.exec(`INSERT INTO first_bodies SELECT row_number() OVER (), id FROM deliveries`)
	p.settle()
	rules := []inbox.Rule{{Workspace: p.workspace, Keep: inbox.KeptFor, KeepUnread: inbox.KeptFor, Log: inbox.KeptFor, Payloads: inbox.KeptFor}}
	weeks := p.count(`SELECT count(*) FROM pg_inherits WHERE inhparent = 'deliveries'::regclass`)

	reader := p.Raw().MustBegin()
	defer reader.Rollback()
	reader.MustExec(`SELECT count(*) FROM deliveries`)
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	var slowest atomic.Int64
	working.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			began := time.Now()
			if _, err := p.try(p.arrival(0, fmt.Sprint("new ", n), "x")); err != nil {
				t.Error(err)
				return
			}
			slowest.Store(max(slowest.Load(), int64(time.Since(began))))
		}
	})
	forgotten := make(chan error, 2)
	for range 2 { // two instances
		go func() { forgotten <- keeper.Forget(context.WithoutCancel(ctx), time.Now(), rules) }()
	}
	time.Sleep(time.Second) // the reader is still there
	reader.Rollback()
	for range 2 {
		if err := <-forgotten; err != nil {
			t.Error(err)
		}
	}
	stop()
	working.Wait()
	if err := keeper.Forget(t.Context(), time.Now(), rules); err != nil {
		t.Error(err)
	}
	if took := time.Duration(slowest.Load()); took > time.Second {
		t.Errorf("an append took %s while weeks went", took)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM signals WHERE source = 'old' AND id < uuid_floor(now() - interval '90 days')`:             0,
		`SELECT count(*) FROM signals WHERE source = 'old'`:                                                             89,
		`SELECT count(*) FROM first_bodies AS f WHERE NOT EXISTS (SELECT FROM signals AS s WHERE s.id = f.delivery_id)`: 0,
		`SELECT count(*) FROM signals AS s WHERE NOT EXISTS (SELECT FROM deliveries AS d WHERE d.id = s.id)`:            0,
		`SELECT count(*) FROM deliveries WHERE id < uuid_floor(date_trunc('week', now() - interval '90 days', 'UTC'))`:  0,
		`SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^deliveries_' AND NOT relispartition`:         0,
		`SELECT count(*) FROM pg_inherits WHERE inhparent = 'deliveries'::regclass AND inhdetachpending`:                0,
	} {
		if n := p.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
	if now := p.count(`SELECT count(*) FROM pg_inherits WHERE inhparent = 'deliveries'::regclass`); now < weeks-6 || now > weeks-3 {
		t.Errorf("%d of %d weeks are left, want four or five fewer", now, weeks)
	}
}

// TestWeeksMadeAtOnce: instances that make the same weeks don't fail for it.
func TestWeeksMadeAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for range 3 {
		p.exec(`DROP TABLE ` + p.lastWeek())
		var making sync.WaitGroup
		for range 4 {
			making.Go(func() {
				if err := inbox.NewStore(p.Maintenance(), p.box).EnsureWeeks(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		making.Wait()
	}
}
