package inbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// An Arrival is a request that is about to be recorded. Its texts must be valid
// UTF-8 without NUL.
type Arrival struct {
	ID               uuid.UUID
	WorkspaceID      uuid.UUID // Nil: none could be told
	KeyID            uuid.UUID // Nil: none could be told
	Generation       int       // of the credential that proved it; 0: none
	Method           Method
	Reason           Reason // "": not refused
	Status           int    // of the answer, 200 unless refused
	Scheme, Endpoint string
	Address          string
	UserAgent        string
	ContentType      string
	Headers          map[string]string // allow-listed names only
	EventType        string
	Source           string
	SourceRef        string // "": each request is new
	Signature        string // as presented; kept, sealed, of refused requests only
	Body             []byte
	BodySize         int64     // may be more than Body holds, if it was refused for that
	ReceivedAt       time.Time // at most microseconds precise
	Began            time.Time // the first byte, by the monotonic clock

	sum [sha256.Size]byte // of Body; see seal
}

// Refuse turns a into a refused request.
func (a *Arrival) Refuse(reason Reason, status int) { a.Reason, a.Status = reason, status }

func (a *Arrival) refused() bool { return a.Reason != "" }

// bodyKey is the start of the body's hash, to find equal bodies by.
func (a *Arrival) bodyKey() int64 { return int64(binary.BigEndian.Uint64(a.sum[:8])) }

// A Result is what became of an arrival.
type Result struct {
	Outcome    Outcome
	Reason     Reason // if it was refused
	Status     int
	SignalID   uuid.UUID // the signal it made or repeats; Nil if refused
	ReceivedAt time.Time // when the signal was received first
}

// A record is an arrival with what the database decided about it.
type record struct {
	*Arrival
	Result
	n          int // its place in the batch
	sameBodyAs uuid.UUID
	conflict   string
}

// byEvent orders records as every writer inserts signals, so that two of them
// can't wait for each other.
func byEvent(a, b *record) int {
	return cmp.Or(
		cmp.Compare(a.WorkspaceID.String(), b.WorkspaceID.String()),
		cmp.Compare(a.Source, b.Source),
		cmp.Compare(a.SourceRef, b.SourceRef),
		cmp.Compare(a.n, b.n))
}
