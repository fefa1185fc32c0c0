package keyring

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A Claim is something that may be true of a key. Several may be at once, unlike
// its [Status]: a key that expires soon may never have been used.
type Claim string

// The claims. All but IsInactive and GhostUse are of keys that work.
const (
	IsActive     Claim = "active"        // works now
	IsExpiring   Claim = "expiring"      // ends within ExpiringWithin
	IsNeverUsed  Claim = "never-used"    // no request was let in since it is here
	IsIdle       Claim = "idle"          // none for 30 days, and it is here for longer
	IsIdle90     Claim = "idle-90"       // likewise for 90
	NeverExpires Claim = "never-expires" // has no end
	OwnerGone    Claim = "owner-gone"    // nobody who belongs to the workspace answers for it
	IsInactive   Claim = "inactive"      // deactivated or expired
	GhostUse     Claim = "ghost-use"     // somebody still sends with what works no more
)

// Claims returns all claims.
func Claims() []Claim {
	return []Claim{IsActive, IsExpiring, IsNeverUsed, IsIdle, IsIdle90, NeverExpires, OwnerGone, IsInactive, GhostUse}
}

// notLeakedOut is not true of a key k whose credentials leaked and that has no others.
const notLeakedOut = `k.id <> ALL (ARRAY(SELECT l.webhook_key_id FROM webhook_key_credentials AS l
	WHERE l.leaked_at IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_key_credentials AS h WHERE h.webhook_key_id = l.webhook_key_id AND h.ended_at IS NULL)))`

// The claims about webhook_keys AS k: $2 is the moment, $3 the keys with ghost use.
// A key that nobody used is as old as the time that is known of it.
const (
	works       = `(k.is_active AND coalesce(k.expires_at > $2::timestamptz, true) AND ` + notLeakedOut + `)`
	expiresSoon = works + ` AND coalesce(k.expires_at <= $2::timestamptz + interval '30 days', false)`
	neverUsed   = works + ` AND k.last_used_at IS NULL`
	idle30      = works + ` AND coalesce(k.last_used_at, k.created_at) < $2::timestamptz - interval '30 days'`
	idle90      = works + ` AND coalesce(k.last_used_at, k.created_at) < $2::timestamptz - interval '90 days'`
	neverEnds   = works + ` AND k.expires_at IS NULL`
	noOwner     = works + ` AND NOT EXISTS (SELECT FROM memberships AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.workspace_id = k.workspace_id AND m.user_id = k.owner_id AND u.disabled_at IS NULL)`
	haunted = `k.id = ANY ($3::uuid[])`
)

// meets is the condition of a Filter: $1 is the workspace, $4 the claim, $5 the
// search, $6 the owner, $7 the keys that were chosen.
const meets = `k.workspace_id = $1 AND ($7::uuid[] IS NULL OR k.id = ANY ($7)) AND ($6::uuid IS NULL OR k.owner_id = $6)
	AND CASE $4 WHEN 'active' THEN ` + works + ` WHEN 'expiring' THEN ` + expiresSoon + ` WHEN 'never-used' THEN ` + neverUsed + `
		WHEN 'idle' THEN ` + idle30 + ` WHEN 'idle-90' THEN ` + idle90 + ` WHEN 'never-expires' THEN ` + neverEnds + `
		WHEN 'owner-gone' THEN ` + noOwner + ` WHEN 'inactive' THEN NOT ` + works + ` WHEN 'ghost-use' THEN ` + haunted + ` ELSE true END
	AND ($5 = '' OR strpos(lower(k.name), lower($5)) > 0 OR strpos(k.id::text, lower($5)) > 0
		OR EXISTS (SELECT FROM unnest(k.labels) AS label WHERE strpos(lower(label), lower($5)) > 0)
		OR EXISTS (SELECT FROM users AS u WHERE u.id = k.owner_id AND strpos(lower(u.name), lower($5)) > 0)
		OR EXISTS (SELECT FROM webhook_key_credentials AS c WHERE c.webhook_key_id = k.id AND strpos(lower(c.hint), lower($5)) > 0))`

// maxSearch is how much of a search is looked for, in characters.
const maxSearch = 200

// A Filter says which keys of a workspace are meant. The zero Filter means all.
type Filter struct {
	At     time.Time   // when the claim must hold; zero: now
	Claim  Claim       // "": any key
	Search string      // in the name, the labels, the hints, the owner's name and the id
	Owner  *uuid.UUID  // nil: anybody
	Ghosts []uuid.UUID // the keys of which GhostUse is true
	Keys   []uuid.UUID // nil: all that meet the rest
}

// args are the first parameters of a statement with meets.
func (f Filter) args(workspace uuid.UUID) []any {
	if f.At.IsZero() {
		f.At = time.Now()
	}
	return []any{workspace, f.At, pq.Array(f.Ghosts), string(f.Claim), searchable(f.Search), f.Owner, pq.Array(f.Keys)}
}

// searchable is a search without what no text in the database can hold.
func searchable(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", ""))
	if utf8.RuneCountInString(text) > maxSearch {
		text = string([]rune(text)[:maxSearch])
	}
	return text
}

// Counts tell of how many keys of a workspace each claim is true.
type Counts struct {
	All           int        `db:"every"`
	Active        int        `db:"active"`
	Expiring      int        `db:"expiring"`
	NeverUsed     int        `db:"never_used"`
	Idle          int        `db:"idle"`
	Idle90        int        `db:"idle_90"`
	NeverExpires  int        `db:"never_expires"`
	OwnerGone     int        `db:"owner_gone"`
	GhostUse      int        `db:"ghost_use"`
	Inactive      int        `db:"inactive"`
	NextExpiresAt *time.Time `db:"next_expires_at"` // of the keys that work; nil: none ends
}

// CountAll counts a workspace's keys by claim.
func (s *Store) CountAll(ctx context.Context, workspace uuid.UUID, at time.Time, ghosts []uuid.UUID) (counts Counts, err error) {
	const query = `
		SELECT count(*) AS every, count(*) FILTER (WHERE ` + works + `) AS active, count(*) FILTER (WHERE ` + expiresSoon + `) AS expiring,
			count(*) FILTER (WHERE ` + neverUsed + `) AS never_used, count(*) FILTER (WHERE ` + idle30 + `) AS idle,
			count(*) FILTER (WHERE ` + idle90 + `) AS idle_90, count(*) FILTER (WHERE ` + neverEnds + `) AS never_expires,
			count(*) FILTER (WHERE ` + noOwner + `) AS owner_gone, count(*) FILTER (WHERE ` + haunted + `) AS ghost_use,
			count(*) FILTER (WHERE NOT ` + works + `) AS inactive, min(k.expires_at) FILTER (WHERE ` + works + `) AS next_expires_at
		FROM webhook_keys AS k WHERE k.workspace_id = $1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &counts, query, workspace, at, pq.Array(ghosts)) })
	if err != nil {
		return Counts{}, fmt.Errorf("count keys by claim: %w", err)
	}
	return counts, nil
}
