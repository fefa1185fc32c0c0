package inbox_test

import (
	"testing"

	"keyhook/internal/inbox"
)

// TestPercentiles by nearest rank, of few requests and of very many.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		took       inbox.Took
		half, most int
	}{
		{inbox.Took{}, -1, -1},
		{inbox.Took{3: 1}, 3, 3},
		{inbox.Took{0: 1, 11: 1}, 0, 11},
		{inbox.Took{0: 99, 5: 1}, 0, 0},
		{inbox.Took{0: 98, 5: 2}, 0, 5},
		{inbox.Took{1: 1 << 61, 2: 1}, 1, 1},
	} {
		if half, most := tt.took.Within(50), tt.took.Within(99); half != tt.half || most != tt.most {
			t.Errorf("%v: p50 in bucket %d and p99 in %d, want %d and %d", tt.took, half, most, tt.half, tt.most)
		}
	}
}
