package ingest

import "sync/atomic"

// A budget bounds the memory of the bodies that are held at a time.
type budget struct {
	limit int64 // bytes
	held  atomic.Int64
}

// take reserves room for a body of a size, or for the largest one if its size is
// not told. It does not wait: a sender that is told to come back keeps its body.
func (b *budget) take(size, most int64) (held int64, ok bool) {
	if size < 0 {
		size = most
	}
	size = min(size, most)
	if b.held.Add(size) > b.limit {
		b.held.Add(-size)
		return 0, false
	}
	return size, true
}

func (b *budget) give(held int64) { b.held.Add(-held) }
