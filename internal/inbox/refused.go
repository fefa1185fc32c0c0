package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/seal"
)

// MaxKeptBody is how much of a refused body is kept, in bytes.
const MaxKeptBody = 64 << 10

// How many refused requests are kept in a minute.
const (
	keptOfKey       = 20
	keptOfWorkspace = 60
	keptInAll       = 600
)

const everyScope = "all" // sorts before the other scopes: "key:…", "workspace:…"

// A quota is a locked row of refused_request_quotas.
type quota struct {
	Scope  string    `db:"scope"`
	Minute time.Time `db:"minute"`
	Kept   int       `db:"kept"`
	limit  int
	added  int
}

// scopes are the quotas that a refused request counts against.
func (r *record) scopes() map[string]int {
	return map[string]int{
		everyScope:                            keptInAll,
		"key:" + r.KeyID.String():             keptOfKey,
		"workspace:" + r.WorkspaceID.String(): keptOfWorkspace,
	}
}

// keepRefused keeps, sealed, the bodies and signatures of refused requests whose
// key could be told, as far as the quotas allow, and notes whose were not. A
// refused request without a key costs the same statements, so that its answer's
// time does not tell that there is none.
func keepRefused(ctx context.Context, tx *sqlx.Tx, box *seal.Box, records []*record) error {
	var refused []*record
	for _, r := range records {
		switch {
		case !r.refused():
		case r.CountOnly || r.limited():
			r.unkept = true
		default:
			refused = append(refused, r)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	quotas, err := lockQuotas(ctx, tx, refused)
	if err != nil {
		return err
	}
	var kept []*record
	for _, r := range refused {
		switch {
		case r.KeyID == uuid.Nil:
		case spend(quotas, r.scopes()):
			kept = append(kept, r)
		default:
			r.unkept = true
		}
	}
	if err := storeQuotas(ctx, tx, quotas); err != nil {
		return err
	}
	return insertRefused(ctx, tx, box, kept)
}

// lockQuotas returns the current minute's rows that refused count against, made
// and locked in the order of their scopes.
func lockQuotas(ctx context.Context, tx *sqlx.Tx, refused []*record) (map[string]*quota, error) {
	const query = `
		INSERT INTO refused_request_quotas AS q (scope, minute, kept)
		SELECT scope, date_trunc('minute', statement_timestamp()), 0
		FROM unnest($1::text[]) WITH ORDINALITY AS wanted (scope, place) ORDER BY place
		ON CONFLICT (scope, minute) DO UPDATE SET kept = q.kept
		RETURNING scope, minute, kept`

	limits := map[string]int{}
	var scopes []string
	for _, r := range refused {
		for scope, limit := range r.scopes() {
			if _, seen := limits[scope]; !seen {
				limits[scope] = limit
				scopes = append(scopes, scope)
			}
		}
	}
	slices.Sort(scopes)
	var rows []*quota
	if err := tx.SelectContext(ctx, &rows, query, pq.Array(scopes)); err != nil {
		return nil, fmt.Errorf("lock quotas: %w", err)
	}
	quotas := map[string]*quota{}
	for _, q := range rows {
		q.limit = limits[q.Scope]
		quotas[q.Scope] = q
	}
	return quotas, nil
}

// spend takes one from each of scopes, or none if one is used up.
func spend(quotas map[string]*quota, scopes map[string]int) bool {
	for scope := range scopes {
		if q := quotas[scope]; q.Kept+q.added >= q.limit {
			return false
		}
	}
	for scope := range scopes {
		quotas[scope].added++
	}
	return true
}

func storeQuotas(ctx context.Context, tx *sqlx.Tx, quotas map[string]*quota) error {
	const update = `
		UPDATE refused_request_quotas AS q SET kept = q.kept + r.added
		FROM json_to_recordset($1) AS r (scope text, minute timestamptz, added integer)
		WHERE q.scope = r.scope AND q.minute = r.minute`

	rows := []map[string]any{}
	for _, q := range quotas {
		rows = append(rows, map[string]any{"scope": q.Scope, "minute": q.Minute, "added": q.added})
	}
	text, err := recordset(rows)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, update, text); err != nil {
		return fmt.Errorf("spend quotas: %w", err)
	}
	return nil
}

func insertRefused(ctx context.Context, tx *sqlx.Tx, box *seal.Box, kept []*record) error {
	const insert = `
		INSERT INTO refused_requests (delivery_id, workspace_id, webhook_key_id, kept_at, body, signature)
		SELECT r.delivery_id, r.workspace_id, r.webhook_key_id, statement_timestamp(), sealed.body, sealed.signature
		FROM json_to_recordset($1) AS r (place integer, delivery_id uuid, workspace_id uuid, webhook_key_id uuid)
		JOIN unnest($2::bytea[], $3::bytea[]) WITH ORDINALITY AS sealed (body, signature, place) USING (place)`

	rows := make([]map[string]any, len(kept))
	bodies, signatures := make(pq.ByteaArray, len(kept)), make(pq.ByteaArray, len(kept))
	for i, r := range kept {
		rows[i] = map[string]any{
			"place": i + 1, "delivery_id": r.ID, "workspace_id": r.WorkspaceID, "webhook_key_id": r.KeyID,
		}
		body := r.Body[:min(len(r.Body), MaxKeptBody)]
		bodies[i] = box.Seal(body, refusedPlace(r.WorkspaceID, r.KeyID, r.ID, "body")...)
		signatures[i] = box.Seal([]byte(r.Signature), refusedPlace(r.WorkspaceID, r.KeyID, r.ID, "signature")...)
	}
	text, err := recordset(rows)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insert, text, bodies, signatures); err != nil {
		return fmt.Errorf("keep refused requests: %w", err)
	}
	return nil
}

// recordset encodes rows for json_to_recordset.
func recordset[Row any](rows []Row) (string, error) {
	text, err := json.Marshal(rows)
	if err != nil {
		return "", fmt.Errorf("encode rows: %w", err)
	}
	return string(text), nil
}

// limited reports whether the log keeps less than all of the record.
func (r *record) limited() bool { return r.Log != "" && r.Log != KeepsAll }

// limitLogged takes from requests that no signal needs, repetitions, handshakes and
// refused ones, what their keys' log does not keep, before anybody can see it.
func limitLogged(ctx context.Context, tx *sqlx.Tx, records []*record) error {
	const limit = `SELECT limit_deliveries($1, $2)`
	ids := map[Limit][]uuid.UUID{}
	for _, r := range records {
		if r.limited() && !r.CountOnly && (r.Outcome != Accepted || r.Handshake) {
			ids[r.Log] = append(ids[r.Log], r.ID)
		}
	}
	for log, some := range ids {
		if _, err := tx.ExecContext(ctx, limit, pq.Array(some), log == KeepsNothing); err != nil {
			return fmt.Errorf("limit what the log keeps: %w", err)
		}
	}
	return nil
}
