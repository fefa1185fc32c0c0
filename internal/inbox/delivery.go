// Package inbox keeps what arrived: deliveries, one for each request with its
// outcome, and signals, one for each accepted event. It owns the tables signals,
// deliveries, refused_requests, first_bodies, refused_request_quotas, delivery_tallies,
// delivery_counts, delivery_days, workspace_counts, stray_counts, key_addresses,
// untrusted_forwards, signal_readers, signal_floors, suspect_ranges, signal_changes,
// erasures, log_sweeps and retention_runs.
//
// Its invariant: of all deliveries with one workspace, source and source ref,
// exactly one made a signal, and the unique constraint decides which. Nothing
// here looks first.
package inbox

import (
	"time"

	"github.com/google/uuid"
)

// An Outcome is what became of a request.
type Outcome string

// The outcomes.
const (
	Accepted  Outcome = "accepted"
	Duplicate Outcome = "duplicate"
	Refused   Outcome = "refused"
)

// A Method is how a request proved who sent it, or tried to.
type Method string

// The methods of authentication.
const (
	ByNothing   Method = "none"
	ByAPIKey    Method = "api_key"
	ByBearer    Method = "bearer"
	ByURL       Method = "url"
	BySignature Method = "signature"
	ByToken     Method = "token" // a secret that is sent as it is
	ByBasic     Method = "basic"
)

// Methods returns the methods of authentication as they are stored.
func Methods() []string {
	return []string{string(ByNothing), string(ByAPIKey), string(ByBearer), string(ByURL), string(BySignature), string(ByToken), string(ByBasic)}
}

// A Delivery is one request as it was recorded, without its body.
type Delivery struct {
	ID          uuid.UUID  `db:"id"`
	WorkspaceID *uuid.UUID `db:"workspace_id"`   // nil: none could be told
	KeyID       *uuid.UUID `db:"webhook_key_id"` // nil: none could be told, or it is gone
	Generation  *int       `db:"credential_generation"`
	Method      Method     `db:"auth_method"`
	Outcome     Outcome    `db:"outcome"`
	Reason      Reason     `db:"reason"` // why it was refused
	Status      int        `db:"status"`
	Scheme      string     `db:"scheme"`
	Endpoint    string     `db:"endpoint"` // the route's pattern
	Address     string     `db:"address"`
	UserAgent   string     `db:"user_agent"`
	ContentType string     `db:"content_type"`
	Headers     string     `db:"headers"` // JSON object, allow-listed names only
	EventType   string     `db:"event_type"`
	Source      string     `db:"source"`
	SourceRef   *string    `db:"source_ref"`   // nil: the sender gave none
	SignalID    *uuid.UUID `db:"signal_id"`    // the signal it made, or the one it repeats; nil for a handshake too
	SameBodyAs  *uuid.UUID `db:"same_body_as"` // an earlier delivery
	Conflict    string     `db:"conflict"`     // "body" or "key": a duplicate that differs so
	BodySize    int64      `db:"body_size"`
	BodySHA256  []byte     `db:"body_sha256"`
	ReceivedAt  time.Time  `db:"received_at"`
	TookMicros  int64      `db:"took_us"`
}

// Took returns the time from the request's first byte to its being written.
func (d Delivery) Took() time.Duration { return time.Duration(d.TookMicros) * time.Microsecond }

// An HourCount is what a key received in one hour.
type HourCount struct {
	Hour      time.Time `db:"hour"`
	Accepted  int64     `db:"accepted"`
	Duplicate int64     `db:"duplicate"`
	Refused   int64     `db:"refused"`
}

// A Sender is a pair of address and user agent that used a key.
type Sender struct {
	Address   string    `db:"address"`
	UserAgent string    `db:"user_agent"`
	Requests  int64     `db:"requests"`
	FirstAt   time.Time `db:"first_at"`
	LastAt    time.Time `db:"last_at"`
}
