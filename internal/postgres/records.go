package postgres

import (
	"encoding/binary"
	"time"
)

// Records gathers rows of a composite type as an array of it, in binary form
// (record_recv: how many columns, then each one's type, length and value). One
// array of rows costs PostgreSQL less than an array for each column. Add starts a
// row; then its columns follow in their order. Reset makes it usable again.
type Records struct {
	columns []ElementType
	at      int // the next column
	count   int
	begin   int // of the last row's length in data
	data    []byte
}

// NewRecords returns an array of rows with the given columns and no rows.
func NewRecords(columns ...ElementType) *Records {
	r := &Records{columns: columns}
	r.Reset()
	return r
}

// Reset drops the rows and keeps their memory.
func (r *Records) Reset() {
	r.at, r.count, r.begin = 0, 0, 0
	r.data = append(r.data[:0], make([]byte, arrayHeader)...)
}

// Len is the number of rows.
func (r *Records) Len() int { return r.count }

// Size is how many bytes they take.
func (r *Records) Size() int { return len(r.data) }

// Add starts a row. The one before must be complete.
func (r *Records) Add() {
	r.end()
	r.count++
	r.at, r.begin = 0, len(r.data)
	r.data = binary.BigEndian.AppendUint32(r.data, 0) // the row's length comes at its end
	r.data = binary.BigEndian.AppendUint32(r.data, uint32(len(r.columns)))
}

// end notes how long the last row became.
func (r *Records) end() {
	if r.count > 0 {
		binary.BigEndian.PutUint32(r.data[r.begin:], uint32(len(r.data)-r.begin-4))
	}
}

// column begins the next column and returns its type.
func (r *Records) column() ElementType {
	kind := r.columns[r.at]
	r.at++
	r.data = binary.BigEndian.AppendUint32(r.data, uint32(kind))
	return kind
}

// Null adds a null.
func (r *Records) Null() {
	r.column()
	r.data = appendNull(r.data)
}

// Text adds a text, which must be UTF-8 without NUL.
func (r *Records) Text(text string) {
	r.column()
	r.data = appendText(r.data, text)
}

// TextOrNull adds a text, or a null if it is empty.
func (r *Records) TextOrNull(text string) {
	if text == "" {
		r.Null()
		return
	}
	r.Text(text)
}

// JSON adds a jsonb, or a null if it is empty.
func (r *Records) JSON(text string) {
	if text == "" {
		r.Null()
		return
	}
	r.column()
	r.data = binary.BigEndian.AppendUint32(r.data, uint32(1+len(text)))
	r.data = append(append(r.data, 1), text...) // the version of the form
}

// Bytes adds a bytea; nil adds a null.
func (r *Records) Bytes(value []byte) {
	if value == nil {
		r.Null()
		return
	}
	r.column()
	r.data = appendBytes(r.data, value)
}

// UUID adds a uuid; the zero one adds a null.
func (r *Records) UUID(id [16]byte) {
	if id == [16]byte{} {
		r.Null()
		return
	}
	r.column()
	r.data = appendBytes(r.data, id[:])
}

// Int adds a number of the column's type, whose range it must be in.
func (r *Records) Int(value int64) {
	kind := r.column()
	r.data = appendInt(r.data, kind, value)
}

// IntOrNull adds a number, or a null for 0.
func (r *Records) IntOrNull(value int64) {
	if value == 0 {
		r.Null()
		return
	}
	r.Int(value)
}

// Time adds a moment, to the microsecond; the zero one adds a null.
func (r *Records) Time(at time.Time) {
	if at.IsZero() {
		r.Null()
		return
	}
	r.column()
	r.data = appendTime(r.data, at)
}

// Integers adds an array of at least one number.
func (r *Records) Integers(values []int32) {
	r.column()
	begin := len(r.data)
	r.data = append(r.data, make([]byte, 4+arrayHeader)...)
	for _, value := range values {
		r.data = appendInt(r.data, Integer, int64(value))
	}
	binary.BigEndian.PutUint32(r.data[begin:], uint32(len(r.data)-begin-4))
	arrayValue(r.data[begin+4:], 0, uint32(Integer), len(values))
}

// Value returns the rows as a parameter, given the oid of their type, which is
// another in each database. It is valid until the rows are changed.
func (r *Records) Value(oid uint32) []byte {
	r.end()
	return arrayValue(r.data, 0, oid, r.count)
}
