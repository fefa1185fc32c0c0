package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/pgtest"
)

// TestDeletionGoesOn: a deletion that is cut off again and again takes all that is
// the workspace's, in small transactions, and nothing of another; what arrives
// meanwhile too.
func TestDeletionGoesOn(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stays := p.addWorkspace()
	for n := range 40 {
		if _, err := p.try(p.arrival(n%2, fmt.Sprint(n), fmt.Sprint("body ", n)), p.refused(n%2, "y")); err != nil {
			t.Fatal(err)
		}
	}
	const rows = 3_000
	for _, workspace := range []any{p.workspace, stays} {
		p.exec(`INSERT INTO deliveries (id, workspace_id, auth_method, outcome, status, endpoint, address, received_at)
			SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n), 3, '0') || substr(md5($1::uuid::text || n), 1, 16))::uuid,
				$1::uuid, 'none', 'refused', 401, '/hooks/{key id}', '', now() FROM generate_series(1, $2::integer) AS n`, workspace, rows)
	}
	accounts := account.NewStore(p.Console(), pgtest.Box(t), pgtest.Log(t))
	var slug string
	if err := p.Raw().Get(&slug, `SELECT slug FROM workspaces WHERE id = $1`, p.workspace); err != nil {
		t.Fatal(err)
	}
	if err := accounts.DeleteWorkspace(t.Context(), audit.Actor{Kind: audit.CLI}, slug); err != nil {
		t.Fatal(err)
	}
	left := func() int { return p.count(`SELECT count(*) FROM deliveries WHERE workspace_id = $1`, p.workspace) }
	before, cut := left(), 0
	for ; left() > 0 && cut < 200; cut++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(60*(cut+1))*time.Millisecond)
		err := accounts.EraseDeleted(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			t.Fatal(err)
		}
		if now := left(); now > before {
			t.Fatalf("%d rows, %d before", now, before)
		}
	}
	if cut < 2 {
		t.Errorf("the deletion was cut off %d times: the test shows nothing", cut)
	}
	if err := accounts.EraseDeleted(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"signals", "deliveries", "refused_requests", "delivery_totals", "delivery_days", "workspace_counts", "webhook_keys"} {
		if n := p.count(`SELECT count(*) FROM `+table+` WHERE workspace_id = $1`, p.workspace); n != 0 {
			t.Errorf("%d rows in %s outlived their workspace", n, table)
		}
	}
	if n := p.count(`SELECT count(*) FROM first_bodies AS f WHERE NOT EXISTS (SELECT FROM deliveries AS d WHERE d.id = f.delivery_id)`); n != 0 {
		t.Errorf("%d bodies are known of deliveries that are gone", n)
	}
	if n := p.count(`SELECT count(*) FROM deliveries WHERE workspace_id = $1`, stays); n != rows {
		t.Errorf("%d rows of the other workspace, want %d", n, rows)
	}
	if n := p.count(`SELECT count(*) FROM workspaces WHERE id = $1`, p.workspace); n != 0 {
		t.Error("the workspace is still there")
	}
}
