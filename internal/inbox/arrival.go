package inbox

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// An Arrival is a request that is about to be recorded. Its texts must be valid
// UTF-8 without NUL.
type Arrival struct {
	ID               uuid.UUID // of the request, and of the signal that it makes
	WorkspaceID      uuid.UUID // Nil: none could be told
	KeyID            uuid.UUID // Nil: none could be told
	KeyVersion       int64     // of the key as it was checked
	ValidUntil       time.Time // when what was checked is over; zero: never
	Generation       int       // of the credential that proved it; 0: none
	Method           Method
	Reason           Reason // "": not refused
	Status           int    // of the answer, 200 unless refused
	Scheme, Endpoint string
	Address          string
	UserAgent        string
	ContentType      string
	Headers          string // JSON object of allow-listed names; "": none
	EventType        string
	Source           string
	SourceRef        string // "": each request is new
	Signature        string // as presented; kept, sealed, of refused requests only
	Body             []byte
	BodySize         int64     // may be more than Body holds, if it was refused for that
	Log              Limit     // what the log keeps where no signal needs more; "": all
	WatchBody        bool      // an earlier request with the same body is noted
	Handshake        bool      // accepted, and no event: it makes no signal
	CountOnly        bool      // of a refused one: it is counted, and no row is kept
	ReceivedAt       time.Time // at most microseconds precise
	Began            time.Time // the first byte, by the monotonic clock
}

// Refuse turns a into a refused request.
func (a *Arrival) Refuse(reason Reason, status int) { a.Reason, a.Status = reason, status }

func (a *Arrival) refused() bool { return a.Reason != "" }

// A Result is what became of an arrival.
type Result struct {
	Outcome    Outcome
	Reason     Reason // if it was refused
	Status     int
	SignalID   uuid.UUID // the signal it made or repeats; Nil if refused
	ReceivedAt time.Time // when the signal was received first
	Stale      bool      // nothing was stored: the key is not what was checked any more
}

// A record is an arrival with what the database decided about it.
type record struct {
	*Arrival
	Result
	n      int // its place in the batch
	sum    [sha256.Size]byte
	took   time.Duration // until it was handed to the database
	unkept bool          // the body of a refused request, for want of room
}

// bodyKey is by what an equal body of the same key is found.
func (r *record) bodyKey() int64 {
	var text [16 + sha256.Size]byte
	copy(text[:], r.KeyID[:])
	copy(text[16:], r.sum[:])
	sum := sha256.Sum256(text[:])
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// byEvent orders records as every writer inserts signals, so that two of them
// can't wait for each other.
func byEvent(a, b *record) int {
	return cmp.Or(
		bytes.Compare(a.WorkspaceID[:], b.WorkspaceID[:]),
		cmp.Compare(a.Source, b.Source),
		cmp.Compare(a.SourceRef, b.SourceRef),
		cmp.Compare(a.n, b.n))
}
