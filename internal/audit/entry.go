package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// timeFormat is how an entry's moment is written: always UTC and always
// microseconds, so that one moment has one text.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// An Entry is one line of the audit trail.
type Entry struct {
	Chain       string    `db:"chain"        json:"chain"`
	Seq         int64     `db:"seq"          json:"seq"` // from 1, without a gap
	At          string    `db:"at"           json:"at"`
	ActorKind   ActorKind `db:"actor_kind"   json:"actor_kind"`
	ActorID     string    `db:"actor_id"     json:"actor_id"`
	ActorLabel  string    `db:"actor_label"  json:"actor_label"`
	Action      Action    `db:"action"       json:"action"`
	TargetKind  string    `db:"target_kind"  json:"target_kind"`
	TargetID    string    `db:"target_id"    json:"target_id"`
	TargetLabel string    `db:"target_label" json:"target_label"`
	Address     string    `db:"address"      json:"address"`
	RequestID   string    `db:"request_id"   json:"request_id"`
	Before      string    `db:"before"       json:"before"` // a JSON object, or ""
	After       string    `db:"after"        json:"after"`
	PrevHash    []byte    `db:"prev_hash"    json:"prev_hash"`
	Hash        []byte    `db:"hash"         json:"hash"`
}

// Moment returns when the entry was made, to the microsecond.
func (e Entry) Moment() time.Time {
	at, _ := time.Parse(timeFormat, e.At)
	return at
}

// Encode returns the bytes that e's hash covers: the name of the encoding, the
// entry's fields in the order of the struct and the hash before it, each behind
// its length in eight big-endian bytes. Two different entries never encode alike.
func (e Entry) Encode() []byte {
	return encode("keyhook/audit/v1", e.Chain, strconv.FormatInt(e.Seq, 10), e.At, string(e.ActorKind), e.ActorID, e.ActorLabel,
		string(e.Action), e.TargetKind, e.TargetID, e.TargetLabel, e.Address, e.RequestID, e.Before, e.After,
		string(e.PrevHash))
}

// encode writes each field behind its length in eight big-endian bytes.
func encode(fields ...string) []byte {
	var b bytes.Buffer
	for _, field := range fields {
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		b.WriteString(field)
	}
	return b.Bytes()
}

// Sum returns the hash that e must carry.
func (e Entry) Sum() []byte {
	sum := sha256.Sum256(e.Encode())
	return sum[:]
}

// Follows reports whether e stands right behind previous and carries the hash
// that its fields give. The zero Entry stands before the first.
func (e Entry) Follows(previous Entry) bool {
	before := previous.Hash
	if previous.Seq == 0 {
		before = make([]byte, sha256.Size)
	}
	return e.Seq == previous.Seq+1 && bytes.Equal(e.PrevHash, before) && bytes.Equal(e.Hash, e.Sum())
}
