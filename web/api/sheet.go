package api

import (
	"bytes"
	"sync"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// An item is a signal as it is sent, on one line, with its place.
type item struct {
	at      inbox.Position
	suspect bool
	json    []byte
}

// A sheet is a page as it is sent: signals are written into it one by one, while
// the database still sends the rest. Its memory is used again, so that a reader of
// a million signals does not make a thousand times a page of garbage.
type sheet struct {
	workspace uuid.UUID
	only      *bool          // of suspect signals, or of others; nil: all
	end       inbox.Position // of the last that was looked at, also if it was left out
	text      []byte
	lines     []line
}

// A line is where a signal stands in a sheet.
type line struct {
	at       inbox.Position
	suspect  bool
	from, to int
}

const (
	sheetBegin = `{"signals":[`
	keptSheet  = 4 << 20 // a sheet that grew longer is not used again
)

var sheets = sync.Pool{New: func() any { return &sheet{text: make([]byte, 0, 256<<10)} }}

// newSheet returns an empty sheet; release it when nothing needs it any more.
func newSheet(workspace uuid.UUID) *sheet {
	s := sheets.Get().(*sheet)
	s.workspace, s.only, s.end = workspace, nil, inbox.Position{}
	s.text, s.lines = append(s.text[:0], sheetBegin...), s.lines[:0]
	return s
}

func (s *sheet) release() {
	if cap(s.text) <= keptSheet {
		sheets.Put(s)
	}
}

// add writes a signal.
func (s *sheet) add(signal *inbox.Signal) {
	s.end = signal.Position
	if !wanted(s.only, signal.Suspect != nil) {
		return
	}
	from := s.next()
	var cursor [inbox.CursorLen]byte
	s.text = appendSignal(s.text, signal, string(signal.Position.AppendCursor(cursor[:0], s.workspace)))
	s.lines = append(s.lines, line{signal.Position, signal.Suspect != nil, from, len(s.text)})
}

// wanted tells whether a signal passes a filter.
func wanted(only *bool, suspect bool) bool { return only == nil || *only == suspect }

// take adds what was written elsewhere.
func (s *sheet) take(items []item) {
	for _, item := range items {
		s.end = item.at
		from := s.next()
		s.text = append(s.text, item.json...)
		s.lines = append(s.lines, line{item.at, item.suspect, from, len(s.text)})
	}
}

// next makes place for another signal and returns where it begins.
func (s *sheet) next() int {
	if len(s.lines) > 0 {
		s.text = append(s.text, ',')
	}
	return len(s.text)
}

// items returns the signals in memory of their own.
func (s *sheet) items() []item {
	text, items := bytes.Clone(s.text), make([]item, len(s.lines))
	for i, line := range s.lines {
		items[i] = item{line.at, line.suspect, text[line.from:line.to:line.to]}
	}
	return items
}

// finish completes the answer. An empty page ends where it began.
func (s *sheet) finish(end inbox.Position) (text []byte, cursor string) {
	if s.end.Compare(end) > 0 {
		end = s.end
	}
	cursor = end.Cursor(s.workspace)
	s.text = append(append(append(s.text, `],"cursor":"`...), cursor...), `"}`...)
	return s.text, cursor
}
