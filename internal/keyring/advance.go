package keyring

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// batchPart is how many keys one transaction changes: few enough that nobody who
// waits for one of their rows, or for the audit trail, notices.
const batchPart = 500

// A Press is what whoever presses a batch's button says with it.
type Press struct {
	Owner *uuid.UUID         // of BatchOwner; it counts the first time
	Used  map[uuid.UUID]bool // keys known to be used since the batch was made, beside what their rows say
}

// Advance does the next part of a batch in one transaction: the keys, an entry in
// the audit trail for each of them and their outcomes. It returns how many keys are
// left. What is done already is never done again.
func (s *Store) Advance(ctx context.Context, by audit.Actor, id uuid.UUID, press Press) (left int, err error) {
	const rest = `SELECT count(*) FROM key_batch_keys WHERE batch_id = $1 AND outcome IS NULL`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		batch, err := lockBatch(ctx, tx, by.WorkspaceID, id)
		if err != nil {
			return err
		}
		if batch.BeganAt == nil {
			if err := start(ctx, tx, &batch, press); err != nil {
				return err
			}
		}
		if err := doPart(ctx, tx, by, batch, press); err != nil {
			return err
		}
		return tx.GetContext(ctx, &left, rest, id)
	})
	if err != nil {
		return 0, conflict(err, "do a part of a batch")
	}
	return left, nil
}

// start notes that the button was pressed, and to whom the keys go.
func start(ctx context.Context, tx *sqlx.Tx, batch *Batch, press Press) error {
	const update = `UPDATE key_batches SET began_at = now(), owner_id = $2 WHERE id = $1`
	if batch.Action == BatchOwner {
		if press.Owner == nil {
			return fault.On("owner", fault.Invalid, "Choose who answers for the keys.")
		}
		batch.OwnerID = press.Owner
	}
	_, err := tx.ExecContext(ctx, update, batch.ID, batch.OwnerID)
	return err
}

// A candidate is a chosen key whose row is locked.
type candidate struct {
	Key
	Own       bool   `db:"own"`        // the actor may change it
	Came      bool   `db:"came"`       // it came into use after it was chosen
	WasBusy   bool   `db:"was_busy"`   // it was in use then
	Undoes    *int64 `db:"undoes"`     // its version behind the change that is taken back
	OwnerText string `db:"owner_text"` // its owner's name
}

func doPart(ctx context.Context, tx *sqlx.Tx, by audit.Actor, batch Batch, press Press) error {
	const lock = `
		SELECT k.id, k.workspace_id, k.name, k.is_active, k.owner_id, k.version, c.version AS undoes,
			` + isOwn + ` AS own, ` + cameOn + ` AS came, ` + wasBusy + ` AS was_busy,
			coalesce((SELECT u.name FROM users AS u WHERE u.id = k.owner_id), '') AS owner_text
		FROM key_batches AS b JOIN key_batch_keys AS c ON c.batch_id = b.id JOIN webhook_keys AS k ON k.id = c.webhook_key_id
		WHERE b.id = $1 AND k.workspace_id = $2 AND c.outcome IS NULL ORDER BY k.id LIMIT $5 FOR NO KEY UPDATE OF k`
	var keys []candidate
	if err := tx.SelectContext(ctx, &keys, lock, batch.ID, by.WorkspaceID, by.UserID, roleOf(by), batchPart); err != nil {
		return err
	}
	if batch.Action == BatchOwner {
		var err error
		if batch.OwnerName, err = mayOwn(ctx, tx, by.WorkspaceID, batch.OwnerID); err != nil {
			return err
		}
	}
	ids, done, outcomes := make([]uuid.UUID, len(keys)), []uuid.UUID{}, make([]string, len(keys))
	var changes []audit.Change
	for i, key := range keys {
		outcome := batch.judge(key, press)
		if ids[i], outcomes[i] = key.ID, string(outcome); outcome == Done {
			done, changes = append(done, key.ID), append(changes, batch.change(key))
		}
	}
	if err := batch.apply(ctx, tx, by, done); err != nil {
		return err
	}
	if err := audit.RecordAll(ctx, tx, by, changes); err != nil {
		return err
	}
	return batch.note(ctx, tx, ids, outcomes)
}

// judge says what becomes of a key.
func (b Batch) judge(key candidate, press Press) Outcome {
	switch {
	case !key.Own:
		return NotOwn
	case b.Action == BatchOwner && same(key.OwnerID, b.OwnerID), b.Action == BatchDeactivate && !key.Active, b.Action == BatchReactivate && key.Active:
		return Unchanged
	case b.Action == BatchDeactivate && (key.Came || !key.WasBusy && press.Used[key.ID]):
		return Used
	case b.Action == BatchReactivate && key.Undoes != nil && *key.Undoes != key.Version:
		return Changed
	}
	return Done
}

func same(a, b *uuid.UUID) bool { return a != nil && b != nil && *a == *b }

// change is the key's entry in the trail, as if it were changed alone.
func (b Batch) change(key candidate) audit.Change {
	c := audit.Change{Target: audit.Target{Kind: "key", ID: key.ID.String(), Label: key.Name}}
	switch b.Action {
	case BatchOwner:
		was := ""
		if key.OwnerID != nil {
			was = key.OwnerID.String()
		}
		c.Action = audit.KeyEdited
		c.Before = audit.Fields{"owner": key.OwnerText, "owner_id": was}
		c.After = audit.Fields{"owner": b.OwnerName, "owner_id": b.OwnerID.String()}
		if key.OwnerText == b.OwnerName { // somebody of the same name
			delete(c.Before, "owner")
			delete(c.After, "owner")
		}
		return c
	case BatchDeactivate:
		c.Action = audit.KeyDeactivated
	default:
		c.Action = audit.KeyReactivated
	}
	active := b.Action == BatchReactivate
	c.Before, c.After = audit.Fields{"active": !active}, audit.Fields{"active": active}
	return c
}

func (b Batch) apply(ctx context.Context, tx *sqlx.Tx, by audit.Actor, ids []uuid.UUID) (err error) {
	const activity = `UPDATE webhook_keys SET is_active = $3 WHERE workspace_id = $1 AND id = ANY ($2)`
	const owner = `UPDATE webhook_keys SET owner_id = $3 WHERE workspace_id = $1 AND id = ANY ($2)`
	if b.Action == BatchOwner {
		_, err = tx.ExecContext(ctx, owner, by.WorkspaceID, pq.Array(ids), b.OwnerID)
	} else {
		_, err = tx.ExecContext(ctx, activity, by.WorkspaceID, pq.Array(ids), b.Action == BatchReactivate)
	}
	return err
}

func (b Batch) note(ctx context.Context, tx *sqlx.Tx, ids []uuid.UUID, outcomes []string) error {
	const update = `
		UPDATE key_batch_keys AS c SET outcome = o.outcome, version = CASE WHEN o.outcome = 'done' THEN k.version ELSE c.version END
		FROM unnest($2::uuid[], $3::text[]) AS o (id, outcome) JOIN webhook_keys AS k ON k.id = o.id
		WHERE c.batch_id = $1 AND c.webhook_key_id = o.id`
	_, err := tx.ExecContext(ctx, update, b.ID, pq.Array(ids), pq.Array(outcomes))
	return err
}

// mayOwn returns the name of somebody who can answer for keys: a member of the
// workspace whose role may change them. The lock keeps them so until the keys are theirs.
func mayOwn(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, owner *uuid.UUID) (string, error) {
	const query = `
		SELECT u.name, u.disabled_at FROM memberships AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.workspace_id = $1 AND m.user_id = $2 AND m.role <> 'auditor' FOR SHARE OF m, u`
	var found []struct {
		Name       string     `db:"name"`
		DisabledAt *time.Time `db:"disabled_at"`
	}
	if err := tx.SelectContext(ctx, &found, query, workspace, owner); err != nil {
		return "", err
	}
	if len(found) == 0 || found[0].DisabledAt != nil {
		return "", fault.On("owner", fault.Invalid, "The owner must be an active member of this workspace, and no auditor.")
	}
	return found[0].Name, nil
}

// RecordExport notes that the keys that meet a filter are being exported, and
// returns how many they are.
func (s *Store) RecordExport(ctx context.Context, by audit.Actor, filter Filter, format string) (n int, err error) {
	const query = `SELECT count(*) FROM webhook_keys AS k WHERE ` + meets
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &n, query, filter.args(by.WorkspaceID)...); err != nil {
			return err
		}
		after := audit.Fields{"format": format, "keys": n}
		if filter.Claim != "" {
			after["status"] = string(filter.Claim)
		}
		if filter.Search != "" {
			after["search"] = searchable(filter.Search)
		}
		if filter.Owner != nil {
			after["owner_id"] = filter.Owner.String()
		}
		return audit.Record(ctx, tx, by, audit.KeysExported, audit.Target{Kind: "workspace", ID: by.WorkspaceID.String()}, nil, after)
	})
	if err != nil {
		return 0, conflict(err, "record an export of keys")
	}
	return n, nil
}
