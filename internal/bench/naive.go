package bench

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

// Naive returns the design that everybody writes first, on the same tables: look
// the key up, insert, move last_used_at, each a statement of the request's own.
// It takes requests to /hooks/{key id} with an API key.
func Naive(keys *keyring.Store, db *postgres.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		found, err := keys.ByAPIKey(r.Context(), r.Header.Get("X-API-Key"))
		if err != nil || found.State != keyring.Valid || !strings.HasSuffix(r.URL.Path, found.Key.ID.String()) {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		id, err := storeNaively(r, db, found.Key, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"success": true, "signalId": id, "duplicate": false}) // the sender has gone
	})
}

func storeNaively(r *http.Request, db *postgres.DB, key keyring.Key, body []byte) (uuid.UUID, error) {
	const signal = `
		INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
		VALUES ($1, $2, $3, $4, $5, now(), 1)`
	const delivery = `
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, status, scheme, endpoint,
			address, content_type, source, source_ref, signal_id, body, body_size, body_sha256, received_at)
		VALUES ($1, $2, $3, 1, 'api_key', 'accepted', 200, 'generic', '/hooks/{key}', '127.0.0.1', $4, $5, $6, $7, $8, $9, $10, now())`
	const used = `UPDATE webhook_keys SET last_used_at = now() WHERE id = $1`
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, err
	}
	ref, sum := r.Header.Get("Idempotency-Key"), sha256.Sum256(body)
	err = db.InTx(r.Context(), func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(r.Context(), signal, id, key.WorkspaceID, key.ID, key.Source, ref); err != nil {
			return err
		}
		_, err := tx.ExecContext(r.Context(), delivery, id, key.WorkspaceID, key.ID, r.Header.Get("Content-Type"), key.Source, ref,
			id, body, len(body), sum[:])
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(r.Context(), used, key.ID)
		return err
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("store: %w", err)
	}
	return id, nil
}
