package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// mine is the condition of "one's own key": made or owned by the actor, or the
// actor may change any key. An auditor changes none. $3 is the user, $4 the role.
const mine = ` AND (created_by = $3 OR owner_id = $3 OR $4 IN ('owner', 'admin')) AND $4 <> 'auditor'`

// roleOf is the role that mine asks for. Who operates the instance may do all.
func roleOf(by audit.Actor) string {
	if by.Kind == audit.User {
		return by.Role
	}
	return "owner"
}

// lock takes the key's row for a change by the actor. To somebody who may not
// change it, it says so; to another workspace there is no such key.
func lock(ctx context.Context, tx *sqlx.Tx, by audit.Actor, id uuid.UUID) (Key, error) {
	const query = `SELECT count(*) FROM (
		SELECT FROM webhook_keys WHERE workspace_id = $1 AND id = $2` + mine + ` FOR NO KEY UPDATE) AS k`
	var n int
	if err := tx.GetContext(ctx, &n, query, by.WorkspaceID, id, by.UserID, roleOf(by)); err != nil {
		return Key{}, err
	}
	key, err := find(ctx, tx, by.WorkspaceID, id)
	if err != nil {
		return Key{}, err
	}
	if n == 0 {
		return Key{}, fault.New(fault.Forbidden, "You can change only keys that you made or own.")
	}
	return key, nil
}

// EditedSince is the error of a form that showed a key as it no longer is. Nothing
// is changed: the form would have undone what nobody saw.
type EditedSince struct {
	Stored      Key          // as it is now
	Now, Wanted audit.Fields // where the form differs from it
}

func (*EditedSince) Error() string { return "the key was changed since the form was opened" }

// Edition tells what people decided about a key at one time from what they decided
// at another.
func (k Key) Edition() string {
	fields := k.fields()
	delete(fields, "owner") // people may be called otherwise tomorrow
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // only for types that are not ours
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// Edit changes what people decided about a key. Nothing is recorded where
// nothing changed. A draft that was written over another edition of the key gets
// *EditedSince.
func (s *Store) Edit(ctx context.Context, by audit.Actor, id uuid.UUID, draft Draft) (after Key, err error) {
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		before, err := lock(ctx, tx, by, id)
		if err != nil {
			return err
		}
		if after, err = update(ctx, tx, by, before, draft); err != nil {
			return err
		}
		was, is := changed(before.fields(), after.fields())
		switch {
		case len(is) == 0:
			return nil
		case draft.Seen != "" && draft.Seen != before.Edition():
			return &EditedSince{Stored: before, Now: was, Wanted: is}
		}
		return record(ctx, tx, by, audit.KeyEdited, after, was, is)
	})
	if err != nil {
		return Key{}, conflict(err, "edit key")
	}
	return after, nil
}

// update writes a draft over a key whose row is locked.
func update(ctx context.Context, tx *sqlx.Tx, by audit.Actor, before Key, draft Draft) (Key, error) {
	const update = `
		UPDATE webhook_keys SET name = $3, source = $4, note = $5, labels = $6, owner_id = $7, expires_at = $8, require_signature = $9,
			allow_in_url = $10, allowed_cidrs = $11, other_sources = $12, rate_limit = $13, rate_seconds = $14, daily_quota = $15,
			ref_pointer = $16, identical_bodies = $17, log = $18
		WHERE workspace_id = $1 AND id = $2`
	draft, err := draft.editing(before, time.Now())
	if err != nil {
		return Key{}, err
	}
	if before.OwnerID == nil || draft.OwnerID == nil || *before.OwnerID != *draft.OwnerID {
		if err := ownerBelongs(ctx, tx, by.WorkspaceID, draft.OwnerID); err != nil {
			return Key{}, err
		}
	}
	_, err = tx.ExecContext(ctx, update, by.WorkspaceID, before.ID, draft.Name, draft.Source, draft.Note, pq.Array(draft.Labels), draft.OwnerID,
		draft.ExpiresAt, draft.RequireSignature, draft.AllowInURL, pq.Array(draft.AllowedCIDRs), pq.Array(draft.OtherSources),
		draft.RateLimit, draft.RateSeconds, draft.DailyQuota, draft.RefPointer, draft.IdenticalBodies, draft.Log)
	if err != nil {
		return Key{}, err
	}
	return find(ctx, tx, by.WorkspaceID, before.ID)
}

// fields are what the audit trail tells of a key.
func (k Key) fields() audit.Fields {
	fields := audit.Fields{
		"name": k.Name, "scheme": k.Scheme, "source": k.Source, "note": k.Note, "labels": list(k.Labels), "owner": k.OwnerName,
		"owner_id": "", "expires_at": "never", "require_signature": k.RequireSignature, "allow_in_url": k.AllowInURL,
		"allowed_cidrs": list(k.AllowedCIDRs), "other_sources": list(k.OtherSources), "rate_limit": "none", "daily_quota": "none",
		"ref_pointer": k.RefPointer, "identical_bodies": k.IdenticalBodies, "log": k.Log,
	}
	if k.OwnerID != nil {
		fields["owner_id"] = k.OwnerID.String()
	}
	if k.ExpiresAt != nil {
		fields["expires_at"] = k.ExpiresAt.UTC().Format(time.RFC3339)
	}
	if k.RateLimit != nil {
		fields["rate_limit"] = map[string]int{"requests": *k.RateLimit, "seconds": k.RateSeconds}
	}
	if k.DailyQuota != nil {
		fields["daily_quota"] = *k.DailyQuota
	}
	return fields
}

func list(values []string) []string {
	if values == nil {
		return []string{}
	}
	return values
}

// changed returns the fields whose values differ, as they were and as they are.
func changed(before, after audit.Fields) (was, is audit.Fields) {
	was, is = audit.Fields{}, audit.Fields{}
	for name := range after {
		a, errA := json.Marshal(before[name])
		b, errB := json.Marshal(after[name])
		if errA != nil || errB != nil || string(a) != string(b) {
			was[name], is[name] = before[name], after[name]
		}
	}
	return was, is
}
