package inbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// ghosts are the reasons of credentials that held once: who presents one has it
// from before it was stopped.
var ghosts = []Reason{KeyInactive, KeyExpired, CredentialEnded, CredentialExpired, CredentialLeaked, SecretErased}

// Ghost reports whether a refusal for this reason may be the use of a credential
// that was stopped. It is one if the request was proved with it, too.
func (r Reason) Ghost() bool { return slices.Contains(ghosts, r) }

// GhostReasons returns those reasons.
func GhostReasons() []Reason { return slices.Clone(ghosts) }

// A Ghost is the use of a key's credential after it was stopped.
type Ghost struct {
	WorkspaceID uuid.UUID `db:"workspace_id"`
	KeyID       uuid.UUID `db:"webhook_key_id"`
	Generation  int       `db:"credential_generation"`
	Reason      Reason    `db:"reason"`
	Week        int64     `db:"week"` // requests of the last 7 days
	Day         int64     `db:"day"`  // of the last 24 hours
	LastAt      time.Time `db:"last_at"`
}

// Over reports whether the use is none any more, since the key works again.
func (g Ghost) Over(works bool) bool {
	return works && (g.Reason == KeyInactive || g.Reason == KeyExpired)
}

// Ghosts returns the uses of stopped credentials of the last 7 days, the latest
// first: of a key of a workspace, of all its keys if key is uuid.Nil, and of all
// workspaces if that is too. Requests that proved nothing are left out: anybody
// can send those.
func (s *Store) Ghosts(ctx context.Context, workspace, key uuid.UUID, now time.Time) (found []Ghost, err error) {
	const query = `
		SELECT workspace_id, webhook_key_id, credential_generation, reason, sum(requests) AS week,
			coalesce(sum(requests) FILTER (WHERE hour >= $4), 0) AS day, max(last_at) AS last_at
		FROM delivery_totals
		WHERE outcome = 'refused' AND reason = ANY ($1) AND credential_generation > 0 AND hour >= $5
			AND ($2::uuid IS NULL OR workspace_id = $2) AND ($3::uuid IS NULL OR webhook_key_id = $3)
		GROUP BY workspace_id, webhook_key_id, credential_generation, reason ORDER BY last_at DESC`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &found, query, pq.Array(ghosts), orNull(workspace), orNull(key), dayBefore(now), weekBefore(now))
	})
	if err != nil {
		return nil, fmt.Errorf("read the uses of stopped credentials: %w", err)
	}
	return found, nil
}

func orNull(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }

// dayBefore is the first of the 24 hours that end with that of now.
func dayBefore(now time.Time) time.Time { return hourOf(now).Add(-23 * time.Hour) }

// weekBefore is the first of the hours of 7 days that end with that of now.
func weekBefore(now time.Time) time.Time { return hourOf(now).Add(-(7*24 - 1) * time.Hour) }

// GhostSenders returns who used stopped credentials of a key, the latest first,
// by the rows that were kept of the last 7 days. It looks at so many requests at
// most, back from the last use.
func (s *Store) GhostSenders(ctx context.Context, workspace, key uuid.UUID, lastUse, now time.Time, look int) (senders []Sender, err error) {
	const query = `
		SELECT address, user_agent, count(*) AS requests, min(received_at) AS first_at, max(received_at) AS last_at
		FROM (
			SELECT address, user_agent, received_at, reason, credential_generation FROM deliveries
			WHERE webhook_key_id = $1 AND workspace_id = $2 AND outcome = 'refused' AND id >= uuid_floor($3) AND id < uuid_floor($4)
			ORDER BY id DESC LIMIT $5
		) AS newest
		WHERE reason = ANY ($6) AND credential_generation > 0
		GROUP BY address, user_agent ORDER BY last_at DESC LIMIT $7`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &senders, query, key, workspace, weekBefore(now), lastUse.Add(time.Minute), look, pq.Array(ghosts), maxSenders)
	})
	if err != nil {
		return nil, fmt.Errorf("read who used stopped credentials: %w", err)
	}
	return senders, nil
}

// Haunted returns the keys of those uses that are not over; works tells which keys
// work.
func Haunted(found []Ghost, works map[uuid.UUID]bool) (keys []uuid.UUID) {
	for _, ghost := range found {
		if !ghost.Over(works[ghost.KeyID]) && !slices.Contains(keys, ghost.KeyID) {
			keys = append(keys, ghost.KeyID)
		}
	}
	return keys
}

// A Load is how much came in with a key.
type Load struct {
	KeyID    uuid.UUID `db:"webhook_key_id"`
	Requests int64     `db:"requests"`
	Refused  int64     `db:"refused"` // of these
}

// LoadsOf returns the loads of a workspace's keys from the hour of since on. Keys
// without a request are left out.
func (s *Store) LoadsOf(ctx context.Context, workspaceID uuid.UUID, since time.Time) (loads []Load, err error) {
	const query = `
		SELECT webhook_key_id, sum(requests)::bigint AS requests, coalesce(sum(requests) FILTER (WHERE outcome = 'refused'), 0)::bigint AS refused
		FROM delivery_totals WHERE workspace_id = $1 AND hour >= $2 GROUP BY webhook_key_id`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &loads, query, workspaceID, hourOf(since)) })
	if err != nil {
		return nil, fmt.Errorf("read the keys' loads: %w", err)
	}
	return loads, nil
}

// UsedSince returns the keys of a workspace with which a request was let in after
// a moment, those included that no key's last use tells of yet.
func (s *Store) UsedSince(ctx context.Context, workspaceID uuid.UUID, moment time.Time) (keys []uuid.UUID, err error) {
	const query = `
		SELECT DISTINCT webhook_key_id FROM delivery_totals
		WHERE workspace_id = $1 AND hour >= $2 AND last_at > $3 AND outcome <> 'refused'`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &keys, query, workspaceID, hourOf(moment), moment)
	})
	if err != nil {
		return nil, fmt.Errorf("read which keys were used: %w", err)
	}
	return keys, nil
}
