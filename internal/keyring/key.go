// Package keyring issues webhook keys, and tokens for programs, and recognises
// what senders and programs present. The console manages both through it,
// ingestion authenticates senders and the API programs. It owns the tables
// webhook_keys, webhook_key_credentials, form_nonces, key_handovers, key_allowances,
// key_batches, key_batch_keys, import_drafts, tokens and token_form_nonces.
//
// A key is an API key and a signing secret; a provider's has the secret alone, and
// may be there before it. What Keyhook makes is shown once: afterwards the API key
// is a hash and the secret is sealed. A key is deactivated, never
// deleted alone, so that whatever names it can still be read. A token is shown
// once too, and afterwards a hash; it is deactivated in the same way.
package keyring

import (
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

// OriginSource is the source of keys that came from the origin; they may share it.
const OriginSource = "webhook"

// A Key lets one sender post webhooks to a workspace. It does not hold its
// credentials.
type Key struct {
	ID               uuid.UUID      `db:"id"`
	WorkspaceID      uuid.UUID      `db:"workspace_id"`
	Name             string         `db:"name"`
	Scheme           string         `db:"scheme"`
	Source           string         `db:"source"` // what its events are counted under
	Note             string         `db:"note"`
	Labels           pq.StringArray `db:"labels"`
	Active           bool           `db:"is_active"`
	LastUsedAt       *time.Time     `db:"last_used_at"`    // nil until a request was accepted
	LastRefusedAt    *time.Time     `db:"last_refused_at"` // nil until one was refused
	ExpiresAt        *time.Time     `db:"expires_at"`      // nil: never
	CreatedAt        time.Time      `db:"created_at"`
	CreatedBy        *uuid.UUID     `db:"created_by"` // nil once that user is gone, or for a command
	OwnerID          *uuid.UUID     `db:"owner_id"`   // who answers for it
	CreatedByName    string         `db:"created_by_name"`
	OwnerName        string         `db:"owner_name"`
	RequireSignature bool           `db:"require_signature"`
	AllowInURL       bool           `db:"allow_in_url"`
	AllowedCIDRs     pq.StringArray `db:"allowed_cidrs"` // empty: any address
	OtherSources     pq.StringArray `db:"other_sources"` // that a payload may name beside Source
	RateLimit        *int           `db:"rate_limit"`    // requests in RateSeconds; nil: none
	RateSeconds      int            `db:"rate_seconds"`
	DailyQuota       *int           `db:"daily_quota"`
	RefPointer       string         `db:"ref_pointer"`      // RFC 6901, into the body
	IdenticalBodies  string         `db:"identical_bodies"` // flag or duplicate
	Log              string         `db:"log"`              // what the log keeps of its requests: full, headers or nothing
	Version          int64          `db:"version"`          // raised by every change of it or its credentials
	Hint             string         `db:"hint"`             // of the newest API key, "" if it has none
	Fingerprint      string         `db:"fingerprint"`      // of the newest secret, short, "" if it has none
	RotatingUntil    *time.Time     `db:"rotating_until"`   // the next end of old credentials; nil: there are none, or in ingestion
	Held             int            `db:"held"`             // how many credentials were not stopped
	LeakedAt         *time.Time     `db:"leaked_at"`        // when some were last reported as leaked; nil: never
}

// Bare reports whether the key never had any credential.
func (k Key) Bare() bool { return k.Hint == "" && k.Fingerprint == "" }

// LacksSecret reports whether the key was never given a secret.
func (k Key) LacksSecret() bool { return k.Fingerprint == "" }

// Leaked reports whether the key is without credentials since they were reported as
// leaked.
func (k Key) Leaked() bool { return k.Held == 0 && k.LeakedAt != nil }

// bare are the columns of a Key that ingestion needs, from webhook_keys AS k.
const bare = `k.id, k.workspace_id, k.name, k.scheme, k.source, k.note, k.labels, k.is_active, k.last_used_at,
	k.last_refused_at, k.expires_at, k.created_at, k.created_by, k.owner_id, k.require_signature, k.allow_in_url,
	k.allowed_cidrs, k.other_sources, k.rate_limit, k.rate_seconds, k.daily_quota, k.ref_pointer, k.identical_bodies, k.log, k.version`

// columns adds what people recognise its credentials by, and until when it rotates.
const columns = bare + `,
	coalesce((SELECT c.hint FROM webhook_key_credentials AS c WHERE c.webhook_key_id = k.id AND c.kind = 'api_key'
		ORDER BY c.ended_at IS NOT NULL, c.generation DESC LIMIT 1), '') AS hint,
	coalesce((SELECT encode(substr(c.fingerprint, 1, 6), 'hex') FROM webhook_key_credentials AS c
		WHERE c.webhook_key_id = k.id AND c.kind = 'secret'
		ORDER BY c.ended_at IS NOT NULL, c.generation DESC LIMIT 1), '') AS fingerprint,
	(SELECT min(c.expires_at) FROM webhook_key_credentials AS c
		WHERE c.webhook_key_id = k.id AND c.ended_at IS NULL AND c.expires_at > statement_timestamp()) AS rotating_until,
	(SELECT count(*) FROM webhook_key_credentials AS c WHERE c.webhook_key_id = k.id AND c.ended_at IS NULL) AS held,
	(SELECT max(c.leaked_at) FROM webhook_key_credentials AS c WHERE c.webhook_key_id = k.id) AS leaked_at`

// named adds the names of the people behind a key, for the console; ingestion
// has no right to read them.
const named = columns + `,
	coalesce((SELECT u.name FROM users AS u WHERE u.id = k.created_by), '') AS created_by_name,
	coalesce((SELECT u.name FROM users AS u WHERE u.id = k.owner_id), '') AS owner_name`

// A Store keeps keys.
type Store struct {
	db  *postgres.DB
	box *seal.Box
}

// NewStore returns a Store on db that seals secrets in box.
func NewStore(db *postgres.DB, box *seal.Box) *Store { return &Store{db: db, box: box} }
