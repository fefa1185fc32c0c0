package e2e_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCommandsAtOnce runs commands at random moments while no serve runs: one of
// them starts the database, and all work on it. A serve that comes then waits.
func TestCommandsAtOnce(t *testing.T) {
	t.Parallel()
	dir := migratedDataDir(t)
	for _, args := range [][]string{
		{"user", "create", "--email", ownerEmail, "--name", "Ada"}, {"workspace", "create", "--name", "Two", "--owner", ownerEmail},
	} {
		if got := command(t, dir, "", nil, args...); got.code != 0 {
			t.Fatalf("keyhook %v: %+v", args, got)
		}
	}
	const rounds, each = 4, 5
	for round := range rounds {
		var running sync.WaitGroup
		for i := range each {
			args := []string{"key", "create", "--workspace", "two", "--name", "k" + strconv.Itoa(round*each+i)}
			running.Go(func() {
				time.Sleep(rand.N(600 * time.Millisecond))
				if got := command(t, dir, "", nil, args...); got.code != 0 {
					t.Errorf("round %d: %+v", round, got)
				}
			})
		}
		running.Go(func() {
			if got := command(t, dir, "", nil, "export", "deliveries", "--workspace", "two"); got.code != 0 {
				t.Errorf("round %d, export: %+v", round, got)
			}
		})
		if round == rounds-1 {
			serve(t, dir)
		}
		running.Wait()
	}
	if got := command(t, dir, "", nil, "key", "list", "--workspace", "two", "--json"); strings.Count(got.out, `"id"`) != rounds*each {
		t.Errorf("%d keys are listed, want %d", strings.Count(got.out, `"id"`), rounds*each)
	}
}
