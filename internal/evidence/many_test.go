package evidence_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"keyhook/internal/evidence"
	"keyhook/internal/keyring"
)

// TestReviewOfManyKeys: more keys than are read or written at a time.
func TestReviewOfManyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 6000
	var table strings.Builder
	table.WriteString("name,sha256\n")
	for i := range n {
		fmt.Fprintf(&table, "Key %04d,%064x\n", i, i+1)
	}
	file, err := keyring.ReadImport([]byte(table.String()), time.Now())
	if err == nil {
		_, err = w.keys.ImportAll(t.Context(), w.ada, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	id, review := w.review(w.ada, until())
	t.Logf("a review of %d keys took %v and %d bytes", n, time.Since(began), len(review))
	w.verify("many keys", review, fmt.Sprintf("ok, %d keys", n))
	place, seen := 0, 0
	for {
		lines, more, err := w.evidence.Lines(t.Context(), w.workspace.ID, id, evidence.Part{Show: "open", After: place, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if line.Name != fmt.Sprintf("Key %04d", seen) {
				t.Fatalf("line %d is of %s", seen, line.Name)
			}
			seen, place = seen+1, line.Place
		}
		if !more {
			break
		}
	}
	if seen != n {
		t.Errorf("paging shows %d of %d lines", seen, n)
	}
}
