package inbox_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// TestPagePlan: a page follows the index and reads little more than it hands out,
// however much is behind the cursor.
func TestPagePlan(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.exec(`INSERT INTO signals (id, workspace_id, received_at, commit_xid, epoch, source)
		SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, now(), (n / 50 + 3)::text::xid8, 1, 'webhook' FROM generate_series(1, 20000) AS n`, p.workspace)
	p.exec(`ANALYZE signals`)
	var plan []string
	err := p.Console().Read(t.Context(), func(tx *sqlx.Tx) error {
		return tx.SelectContext(t.Context(), &plan, `EXPLAIN `+inbox.PageQuery, p.workspace, 1, "5", p.workspace, 1000, 2000)
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(plan, "\n")
	if !strings.Contains(text, "Incremental Sort") || !strings.Contains(text, "Index Scan using signals_cursor") || strings.Contains(text, "Bitmap") {
		t.Errorf("a page is read so:\n%s", text)
	}
}

// TestPageBodies: bodies that come with their rows and those that are fetched are
// handed on in one order; the page ends at its size, and in front of a signal that
// was forgotten in between.
func TestPageBodies(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	body := func(name string, size int) string { return name + strings.Repeat(".", size-len(name)) }
	small, large, huge := 100, 30<<10, 1<<20
	for _, event := range []struct {
		ref  string
		size int
	}{{"a", small}, {"b", large}, {"c", small}, {"d", huge}, {"e", small}, {"f", huge}, {"g", small}, {"h", large}, {"i", small}} {
		p.add(p.arrival(0, event.ref, body(event.ref, event.size)))
	}
	p.settle()
	var refs string
	each := func(signal *inbox.Signal) {
		refs += *signal.SourceRef
		if want := body(*signal.SourceRef, int(signal.BodySize)); string(signal.Body) != want {
			t.Errorf("the body of %s is %.20q, %d bytes, want %.20q, %d", *signal.SourceRef, signal.Body, len(signal.Body), want, len(want))
		}
	}
	var pages []string
	var after *inbox.Position
	for len(pages) < 10 {
		refs = ""
		end, err := p.events.Read(t.Context(), p.workspace, after, 100, each)
		if err != nil {
			t.Fatal(err)
		}
		if refs == "" {
			break
		}
		pages, after = append(pages, refs), &end
	}
	if want := []string{"abcdef", "ghi"}; !cmp.Equal(pages, want) {
		t.Errorf("the pages are %q, want %q", pages, want)
	}

	refs = ""
	end, err := p.events.Read(t.Context(), p.workspace, nil, 100, func(signal *inbox.Signal) {
		if refs == "" {
			p.exec(`DELETE FROM deliveries WHERE source_ref = 'd'`)
		}
		each(signal)
	})
	if err != nil || refs != "abc" {
		t.Errorf("with one forgotten meanwhile a page is %q, %v, want abc", refs, err)
	}
	var last inbox.Position
	if err := p.Raw().Get(&last, `SELECT epoch, commit_xid, id AS signal_id FROM signals WHERE source_ref = 'c'`); err != nil || end != last {
		t.Errorf("it ends at %v, %v, want %v", end, err, last)
	}
}
