package instance_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/instance"
	"keyhook/internal/pgtest"
)

// TestKeepOrder: the epoch is raised where transactions may be counted anew, and
// nowhere else.
func TestKeepOrder(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	db, raw := database.Maintenance(), database.Raw()
	workspace := uuid.Must(uuid.NewV7())
	raw.MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'w', 'w')`, workspace)
	epoch := 1
	for _, tt := range []struct {
		name   string
		change string
		raised bool
	}{
		{"the first start", ``, false},
		{"the next start", ``, false},
		{"signals", `INSERT INTO signals (id, workspace_id, source, received_at, epoch) SELECT gen_random_uuid(), id, 's', now(), 1 FROM workspaces`, false},
		{"another cluster", `UPDATE instance SET system_identifier = '7'`, true},
		{"the start after it", ``, false},
		{"an earlier moment of the same cluster", `UPDATE instance SET timeline = '0000002A'`, true},
		{"rows of the present epoch that are ahead", `INSERT INTO signals (id, workspace_id, source, received_at, epoch, commit_xid)
			SELECT gen_random_uuid(), id, 's', now(), 3, (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000)::text::xid8 FROM workspaces`, true},
		{"rows of an earlier epoch that are ahead", ``, false},
		{"a database from before this was looked at", `UPDATE instance SET system_identifier = NULL, timeline = NULL`, false},
	} {
		if tt.change != "" {
			raw.MustExec(tt.change)
		}
		raised, err := instance.KeepOrder(t.Context(), db)
		if err != nil || raised != tt.raised {
			t.Errorf("%s: KeepOrder = %v, %v, want %v", tt.name, raised, err, tt.raised)
		}
		if tt.raised {
			epoch++
		}
		var now int
		if err := raw.Get(&now, `SELECT epoch FROM instance WHERE system_identifier ~ '^[0-9]{10,}$' AND timeline ~ '^[0-9A-F]{8}$'`); err != nil || now != epoch {
			t.Errorf("%s: the epoch is %d, %v, want %d, and the cluster noted", tt.name, now, err, epoch)
		}
	}
}

// TestKeepOrderWaits: the epoch is not raised past a batch that runs.
func TestKeepOrderWaits(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	db, raw := database.Maintenance(), database.Raw()
	raw.MustExec(`INSERT INTO workspaces (id, name, slug) VALUES (gen_random_uuid(), 'w', 'w')`)
	raw.MustExec(`UPDATE instance SET system_identifier = '7'`)
	const insert = `INSERT INTO signals (id, workspace_id, source, received_at, epoch) SELECT gen_random_uuid(), id, 's', now(), (SELECT epoch FROM instance) FROM workspaces`
	batch := raw.MustBegin()
	var epoch int
	if err := batch.Get(&epoch, `SELECT epoch FROM instance`); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		if raised, err := instance.KeepOrder(t.Context(), db); err != nil || !raised {
			t.Errorf("KeepOrder = %v, %v", raised, err)
		}
	})
	waits := func() (n int) {
		if err := raw.Get(&n, `SELECT count(*) FROM pg_locks WHERE relation = 'instance'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for began := time.Now(); waits() == 0; {
		if time.Since(began) > 10*time.Second {
			t.Fatal("it does not wait")
		}
	}
	later := make(chan struct{})
	go func() {
		raw.MustExec(insert) // waits behind it, and then sees the new epoch
		close(later)
	}()
	batch.MustExec(`INSERT INTO signals (id, workspace_id, source, received_at, epoch) SELECT gen_random_uuid(), id, 's', now(), $1 FROM workspaces`, epoch)
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	<-later
	var epochs []int
	if err := raw.Select(&epochs, `SELECT epoch FROM signals ORDER BY commit_xid`); err != nil || len(epochs) != 2 || epochs[0] != 1 {
		t.Errorf("epochs of the signals in order: %v, %v", epochs, err)
	}
	if err := raw.Select(&epochs, `SELECT epoch FROM signals ORDER BY epoch`); err != nil || epochs[1] != 2 {
		t.Errorf("the batch that waited has the epoch %d, want 2", epochs[1])
	}
}
