package postgres

import (
	"encoding/binary"
	"time"
)

// An ElementType is the type of an array's elements, by its PostgreSQL oid.
type ElementType uint32

// The types that arrays and records are made of.
const (
	Bytea       ElementType = 17
	Bigint      ElementType = 20
	Smallint    ElementType = 21
	Integer     ElementType = 23
	Text        ElementType = 25
	Integers    ElementType = 1007 // an array
	Timestamptz ElementType = 1184
	UUID        ElementType = 2950
	Jsonb       ElementType = 3802
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

// Size is how many bytes it takes.
func (a *Array) Size() int { return len(a.data) }

// Null adds a null.
func (a *Array) Null() {
	a.count++
	a.nulls = 1
	a.data = appendNull(a.data)
}

// Text adds a text, which must be UTF-8 without NUL.
func (a *Array) Text(text string) {
	a.count++
	a.data = appendText(a.data, text)
}

// Bytes adds a bytea; nil adds a null.
func (a *Array) Bytes(value []byte) {
	if value == nil {
		a.Null()
		return
	}
	a.count++
	a.data = appendBytes(a.data, value)
}

// UUID adds a uuid; the zero one adds a null.
func (a *Array) UUID(id [16]byte) {
	if id == [16]byte{} {
		a.Null()
		return
	}
	a.count++
	a.data = appendBytes(a.data, id[:])
}

// Int adds a number of the array's type, whose range it must be in.
func (a *Array) Int(value int64) {
	a.count++
	a.data = appendInt(a.data, a.kind, value)
}

// Time adds a moment, to the microsecond; the zero one adds a null.
func (a *Array) Time(at time.Time) {
	if at.IsZero() {
		a.Null()
		return
	}
	a.count++
	a.data = appendTime(a.data, at)
}

// Value returns the array as a parameter. It is valid until the array is changed.
func (a *Array) Value() []byte { return arrayValue(a.data, a.nulls, uint32(a.kind), a.count) }

// arrayValue completes data, which begins with room for the header.
func arrayValue(data []byte, nulls, kind uint32, count int) []byte {
	if count == 0 { // no dimension, so neither length nor bound
		empty := make([]byte, 12)
		binary.BigEndian.PutUint32(empty[8:], kind)
		return empty
	}
	for i, word := range [...]uint32{1, nulls, kind, uint32(count), 1} {
		binary.BigEndian.PutUint32(data[4*i:], word)
	}
	return data
}

// Each value stands behind its length; a null has the length -1.

func appendNull(data []byte) []byte { return binary.BigEndian.AppendUint32(data, ^uint32(0)) }

func appendText(data []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(data, uint32(len(text))), text...)
}

func appendBytes(data, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32(data, uint32(len(value))), value...)
}

func appendInt(data []byte, kind ElementType, value int64) []byte {
	switch kind {
	case Smallint:
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(data, 2), uint16(value))
	case Integer:
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(data, 4), uint32(value))
	default:
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(data, 8), uint64(value))
	}
}

// epoch is what PostgreSQL counts time from, in microseconds since 1970.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func appendTime(data []byte, at time.Time) []byte {
	return appendInt(data, Timestamptz, at.UnixMicro()-epoch)
}
