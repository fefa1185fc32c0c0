package ingest

import (
	"errors"
	"io"
	"sync/atomic"
)

// firstRoom is what a body may take, in bytes, before anything of it has arrived.
const firstRoom = 4 << 10

// A budget bounds the memory of the bodies that are held at a time.
type budget struct {
	limit int64 // bytes
	held  atomic.Int64
}

// take reserves room. It does not wait: a sender that is told to come back keeps its
// body.
func (b *budget) take(room int64) bool {
	if b.held.Add(room) > b.limit {
		b.held.Add(-room)
		return false
	}
	return true
}

func (b *budget) give(room int64) { b.held.Add(-room) }

var errOverBudget = errors.New("too much of bodies is held")

// read reads a body of a size, or, where that is below 0, of most bytes and one more at
// most. What it takes of the budget grows with what has arrived, so that who only
// announces a body takes nothing from others; it is the body's capacity, and to be
// given back.
func (b *budget) read(r io.Reader, size, most int64) (body []byte, err error) {
	end := size
	if size < 0 {
		end = most + 1
	}
	body = []byte{}
	for {
		if len(body) == cap(body) {
			if int64(len(body)) == end {
				return body, nil
			}
			room := min(max(firstRoom, 2*int64(cap(body))), end)
			if !b.take(room - int64(cap(body))) {
				return body, errOverBudget
			}
			body = append(make([]byte, 0, room), body...)
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF) && int64(len(body)) < size:
			return body, io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return body, err
		}
	}
}
