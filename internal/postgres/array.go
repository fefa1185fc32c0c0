package postgres

import (
	"encoding/binary"
	"time"
)

// An ElementType is the type of an array's elements, by its PostgreSQL oid.
type ElementType uint32

// The types that arrays are made of.
const (
	Bytea       ElementType = 17
	Bigint      ElementType = 20
	Smallint    ElementType = 21
	Integer     ElementType = 23
	Text        ElementType = 25
	Timestamptz ElementType = 1184
	UUID        ElementType = 2950
)

// An Array gathers elements in the binary form in which PostgreSQL receives
// arrays (array_recv: dimensions, whether there are nulls, the elements' type,
// length and lower bound, then each element behind its length). It is sent as it
// is, which costs half of what the text form does. Reset makes it usable again.
type Array struct {
	kind  ElementType
	count int
	nulls uint32
	data  []byte
}

const arrayHeader = 20

// NewArray returns an empty array of a type.
func NewArray(kind ElementType) *Array {
	a := &Array{kind: kind}
	a.Reset()
	return a
}

// Reset empties the array and keeps its memory.
func (a *Array) Reset() {
	a.count, a.nulls = 0, 0
	a.data = append(a.data[:0], make([]byte, arrayHeader)...)
}

// Len is the number of elements.
func (a *Array) Len() int { return a.count }

// Null adds a null.
func (a *Array) Null() {
	a.count++
	a.nulls = 1
	a.data = binary.BigEndian.AppendUint32(a.data, ^uint32(0))
}

func (a *Array) begin(size int) {
	a.count++
	a.data = binary.BigEndian.AppendUint32(a.data, uint32(size))
}

// Text adds a text, which must be UTF-8 without NUL.
func (a *Array) Text(text string) {
	a.begin(len(text))
	a.data = append(a.data, text...)
}

// Bytes adds a bytea; nil adds a null.
func (a *Array) Bytes(value []byte) {
	if value == nil {
		a.Null()
		return
	}
	a.begin(len(value))
	a.data = append(a.data, value...)
}

// UUID adds a uuid; the zero one adds a null.
func (a *Array) UUID(id [16]byte) {
	if id == [16]byte{} {
		a.Null()
		return
	}
	a.begin(len(id))
	a.data = append(a.data, id[:]...)
}

// Int adds a number of the array's type, whose range it must be in.
func (a *Array) Int(value int64) {
	switch a.kind {
	case Smallint:
		a.begin(2)
		a.data = binary.BigEndian.AppendUint16(a.data, uint16(value))
	case Integer:
		a.begin(4)
		a.data = binary.BigEndian.AppendUint32(a.data, uint32(value))
	default:
		a.begin(8)
		a.data = binary.BigEndian.AppendUint64(a.data, uint64(value))
	}
}

// epoch is what PostgreSQL counts time from, in microseconds since 1970.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// Time adds a moment, to the microsecond; the zero one adds a null.
func (a *Array) Time(at time.Time) {
	if at.IsZero() {
		a.Null()
		return
	}
	a.begin(8)
	a.data = binary.BigEndian.AppendUint64(a.data, uint64(at.UnixMicro()-epoch))
}

// Value returns the array as a parameter. It is valid until the array is changed.
func (a *Array) Value() []byte {
	if a.count == 0 { // no dimension, so neither length nor bound
		empty := make([]byte, 12)
		binary.BigEndian.PutUint32(empty[8:], uint32(a.kind))
		return empty
	}
	for i, word := range [...]uint32{1, a.nulls, uint32(a.kind), uint32(a.count), 1} {
		binary.BigEndian.PutUint32(a.data[4*i:], word)
	}
	return a.data
}
