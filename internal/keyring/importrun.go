package keyring

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// importBatch is how many keys one statement writes.
const importBatch = 500

// PlanImport says what importing a file would do. It writes nothing.
func (s *Store) PlanImport(ctx context.Context, by audit.Actor, file ImportFile) (plan ImportPlan, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		plan, err = s.planImport(ctx, tx, by, file)
		return err
	})
	if err != nil {
		return ImportPlan{}, conflict(err, "plan an import")
	}
	return plan, nil
}

// ImportAll imports a file: all of it, or nothing if anything is wrong, which the
// plan then says. What is here already stays as it is.
func (s *Store) ImportAll(ctx context.Context, by audit.Actor, file ImportFile) (plan ImportPlan, err error) {
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := lockImports(ctx, tx, by.WorkspaceID); err != nil {
			return err
		}
		if plan, err = s.planImport(ctx, tx, by, file); err != nil {
			return err
		}
		return s.carryOut(ctx, tx, by, plan)
	})
	return plan, importConflict(err)
}

// importConflict is why nothing was imported.
func importConflict(err error) error {
	for _, constraint := range []string{"webhook_keys_name_unique", "webhook_keys_source_unique", "webhook_key_credentials_hash_unique"} {
		if postgres.Violates(err, constraint) {
			return errPlanOld
		}
	}
	if err == nil {
		return nil
	}
	return conflict(err, "import keys")
}

var (
	errPlanOld   = fault.New(fault.Conflict, "Something changed since this was looked at. Nothing was imported. Look at it again.")
	errPlanWrong = fault.New(fault.Invalid, "Nothing was imported, because something is wrong with it.")
)

// lockImports lets one import into a workspace run at a time: the next one finds
// what this one made.
func lockImports(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID) error {
	const lock = `SELECT pg_advisory_xact_lock(hashtextextended('keyhook/import/' || $1, 0))`
	_, err := tx.ExecContext(ctx, lock, workspace.String())
	return err
}

// carryOut does what a plan says, and gives its keys their ids.
func (s *Store) carryOut(ctx context.Context, tx *sqlx.Tx, by audit.Actor, plan ImportPlan) error {
	if plan.Count(Wrong) > 0 {
		return errPlanWrong
	}
	var fresh []*PlannedKey
	for i := range plan.Keys {
		if plan.Keys[i].Fate == Makes {
			fresh = append(fresh, &plan.Keys[i])
		}
	}
	if err := peopleStay(ctx, tx, by.WorkspaceID, fresh); err != nil {
		return err
	}
	batches := slices.Collect(slices.Chunk(fresh, importBatch))
	for _, batch := range batches {
		if err := s.insertImported(ctx, tx, by, batch); err != nil {
			return err
		}
	}
	for _, batch := range batches { // last, because everybody's changes wait for the trail
		if err := recordImported(ctx, tx, by, batch); err != nil {
			return err
		}
	}
	counts := audit.Fields{"imported": len(fresh), "unchanged": plan.Count(IsHere)}
	return audit.Record(ctx, tx, by, audit.KeysImported, audit.Target{Kind: "workspace", ID: by.WorkspaceID.String()}, nil, counts)
}

// peopleStay keeps the owners in the workspace until their keys are written.
func peopleStay(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, fresh []*PlannedKey) error {
	const query = `SELECT count(*) FROM (SELECT FROM memberships WHERE workspace_id = $1 AND user_id = ANY($2::uuid[]) FOR SHARE) AS m`
	people := map[uuid.UUID]bool{}
	for _, key := range fresh {
		for _, id := range []*uuid.UUID{key.ownerID, key.creatorID} {
			if id != nil {
				people[*id] = true
			}
		}
	}
	var ids []string
	for id := range people {
		ids = append(ids, id.String())
	}
	var n int
	if err := tx.GetContext(ctx, &n, query, workspace, pq.Array(ids)); err != nil {
		return err
	}
	if n < len(people) {
		return errPlanOld
	}
	return nil
}

// An importedRow is a key as the statement below reads it.
type importedRow struct {
	ID               uuid.UUID  `json:"id"`
	Name             string     `json:"name"`
	Scheme           string     `json:"scheme"`
	Source           string     `json:"source"`
	Note             string     `json:"note"`
	Labels           []string   `json:"labels"`
	Active           bool       `json:"is_active"`
	LastUsedAt       *time.Time `json:"last_used_at"`
	CreatedAt        time.Time  `json:"created_at"`
	CreatedBy        *uuid.UUID `json:"created_by"`
	OwnerID          *uuid.UUID `json:"owner_id"`
	ExpiresAt        *time.Time `json:"expires_at"`
	RequireSignature bool       `json:"require_signature"`
	AllowInURL       bool       `json:"allow_in_url"`
	AllowedCIDRs     []string   `json:"allowed_cidrs"`
}

// insertImported writes some keys with their credentials.
func (s *Store) insertImported(ctx context.Context, tx *sqlx.Tx, by audit.Actor, fresh []*PlannedKey) error {
	const insert = `
		INSERT INTO webhook_keys (id, workspace_id, name, scheme, source, note, labels, is_active, last_used_at, created_at, created_by,
			owner_id, expires_at, require_signature, allow_in_url, allowed_cidrs)
		SELECT id, $1, name, scheme, source, note, ARRAY(SELECT jsonb_array_elements_text(labels)), is_active, last_used_at, created_at, created_by,
			owner_id, expires_at, require_signature, allow_in_url, ARRAY(SELECT jsonb_array_elements_text(allowed_cidrs))
		FROM jsonb_to_recordset($2::jsonb) AS r (id uuid, name text, scheme text, source text, note text, labels jsonb, is_active boolean,
			last_used_at timestamptz, created_at timestamptz, created_by uuid, owner_id uuid, expires_at timestamptz,
			require_signature boolean, allow_in_url boolean, allowed_cidrs jsonb)`
	rows := make([]importedRow, len(fresh))
	for i, key := range fresh {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		key.ID = id
		d := key.Draft
		rows[i] = importedRow{
			ID: id, Name: d.Name, Scheme: d.Scheme, Source: d.Source, Note: d.Note, Labels: list(d.Labels), Active: key.Active,
			LastUsedAt: key.LastUsedAt, CreatedAt: time.Now(), CreatedBy: key.creatorID, OwnerID: key.ownerID, ExpiresAt: d.ExpiresAt,
			RequireSignature: d.RequireSignature, AllowInURL: d.AllowInURL, AllowedCIDRs: list(d.AllowedCIDRs),
		}
		if key.CreatedAt != nil {
			rows[i].CreatedAt = *key.CreatedAt
		}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insert, by.WorkspaceID, string(text)); err != nil {
		return err
	}
	return s.insertCredentials(ctx, tx, by.WorkspaceID, fresh)
}

// An importedCredential is one as the statement below reads it. What is bytes
// stands in base64.
type importedCredential struct {
	ID          uuid.UUID `json:"id"`
	Key         uuid.UUID `json:"webhook_key_id"`
	Kind        string    `json:"kind"`
	Hash        []byte    `json:"hash"`
	Hint        string    `json:"hint"`
	Sealed      []byte    `json:"sealed"`
	Fingerprint []byte    `json:"fingerprint"`
}

func (s *Store) insertCredentials(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, fresh []*PlannedKey) error {
	const insert = `
		INSERT INTO webhook_key_credentials (id, webhook_key_id, kind, generation, counted_as, hash, hint, sealed, fingerprint)
		SELECT id, webhook_key_id, kind, $2, $3, decode(hash, 'base64'), hint, decode(sealed, 'base64'), decode(fingerprint, 'base64')
		FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, webhook_key_id uuid, kind text, hash text, hint text, sealed text, fingerprint text)`
	var rows []importedCredential
	for _, key := range fresh {
		if key.APIKeyHash != nil {
			rows = append(rows, importedCredential{Key: key.ID, Kind: apiKeyKind, Hash: key.APIKeyHash, Hint: key.Hint})
		}
		if key.secret != "" {
			sealed := s.box.Seal([]byte(key.secret), place(workspace, key.ID, firstTurn.Generation)...)
			rows = append(rows, importedCredential{Key: key.ID, Kind: secretKind, Sealed: sealed, Fingerprint: s.box.Fingerprint("secret", key.secret)})
		}
	}
	for i := range rows {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		rows[i].ID = id
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert, string(text), firstTurn.Generation, firstTurn.CountedAs)
	return err
}

// recordImported tells the audit trail of each key, with what was said of its past.
func recordImported(ctx context.Context, tx *sqlx.Tx, by audit.Actor, fresh []*PlannedKey) error {
	const query = `SELECT ` + named + ` FROM webhook_keys AS k WHERE k.workspace_id = $1 AND k.id = ANY($2::uuid[])`
	ids := make([]string, len(fresh))
	for i, key := range fresh {
		ids[i] = key.ID.String()
	}
	var keys []Key
	if err := tx.SelectContext(ctx, &keys, query, by.WorkspaceID, pq.Array(ids)); err != nil {
		return err
	}
	byID := map[uuid.UUID]Key{}
	for _, key := range keys {
		byID[key.ID] = key
	}
	changes := make([]audit.Change, len(fresh))
	for i, planned := range fresh {
		key := byID[planned.ID]
		changes[i] = audit.Change{
			Action: audit.KeyImported, Target: audit.Target{Kind: "key", ID: key.ID.String(), Label: key.Name}, After: importedFields(key, planned),
		}
	}
	return audit.RecordAll(ctx, tx, by, changes)
}

func importedFields(key Key, planned *PlannedKey) audit.Fields {
	fields := key.fields()
	fields["is_active"], fields["api_key"], fields["fingerprint"] = key.Active, key.Hint, key.Fingerprint
	if key.CreatedBy != nil {
		fields["created_by"], fields["created_by_id"] = key.CreatedByName, key.CreatedBy.String()
	}
	if planned.CreatedAt != nil {
		fields["created_at"] = planned.CreatedAt.Format(time.RFC3339)
	}
	if planned.LastUsedAt != nil {
		fields["last_used_at"] = planned.LastUsedAt.Format(time.RFC3339)
	}
	return fields
}
