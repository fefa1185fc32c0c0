package ingest

import (
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// How many refused requests leave a row in the log in a minute, on one instance.
// Those beyond are counted, and the counts say how many they were.
const (
	rowsOfKey     = 120
	rowsOfAddress = 60  // of an address, where no key can be told
	rowsOfStrays  = 600 // of all those
)

// caps keep a flood of refused requests from filling the disk.
type caps struct {
	now func() time.Time
	log *slog.Logger

	mu       sync.Mutex
	minute   time.Time
	rows     map[string]int
	strays   int
	overKey  int
	overNone int
}

func newCaps(now func() time.Time, log *slog.Logger) *caps {
	return &caps{now: now, log: log, rows: map[string]int{}}
}

// take reports whether a refused request may leave a row.
func (c *caps) take(a inbox.Arrival) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if a.KeyID != uuid.Nil {
		return c.spend("key "+a.KeyID.String(), rowsOfKey, &c.overKey)
	}
	if c.strays >= rowsOfStrays {
		c.overNone++
		return false
	}
	if !c.spend("address "+a.Address, rowsOfAddress, &c.overNone) {
		return false
	}
	c.strays++
	return true
}

// spend takes one of a subject's rows. There are at most as many subjects as
// keys that exist and rows of strays.
func (c *caps) spend(subject string, limit int, over *int) bool {
	if c.rows[subject] >= limit {
		*over++
		return false
	}
	c.rows[subject]++
	return true
}

// turn begins a new minute, and says what the last one left out.
func (c *caps) turn() {
	minute := c.now().Truncate(time.Minute)
	if minute.Equal(c.minute) {
		return
	}
	if c.overKey+c.overNone > 0 {
		c.log.Warn("refused webhooks were counted and left no row", "minute", c.minute.UTC(), "with_key", c.overKey, "without_key", c.overNone)
	}
	c.minute, c.rows, c.strays, c.overKey, c.overNone = minute, map[string]int{}, 0, 0, 0
}
