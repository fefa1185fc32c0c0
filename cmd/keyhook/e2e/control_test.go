package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/google/uuid"

	"keyhook/internal/postgres"
)

// controlVariable makes this test binary serve a design that is wrong, so that it
// can be killed like the program.
const controlVariable = "KEYHOOK_E2E_CONTROL"

// serveControl serves the wrong design that is asked for, for ever.
func serveControl(design string) error {
	db, err := postgres.Connect(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	unique := ""
	if design == "autocommit" {
		unique = " PRIMARY KEY"
	}
	for _, table := range []string{`events (ref text` + unique + `, id uuid)`, `bodies (id uuid PRIMARY KEY, body bytea)`} {
		if _, err := db.Exec(`CREATE TABLE IF NOT EXISTS ` + table); err != nil {
			return err
		}
	}
	store := map[string]func(ctx context.Context, db *sql.DB, ref string, body []byte) (uuid.UUID, bool, error){
		"autocommit": storeWithoutTransaction, "look first": lookThenStore,
	}[design]
	return http.ListenAndServe(os.Getenv("KEYHOOK_ADDR"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		id, duplicate, err := store(r.Context(), db, r.Header.Get("Idempotency-Key"), body)
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"signalId": id, "duplicate": duplicate})
	}))
}

// storeWithoutTransaction decides by a constraint, and stores the body by a
// statement of its own.
func storeWithoutTransaction(ctx context.Context, db *sql.DB, ref string, body []byte) (id uuid.UUID, duplicate bool, err error) {
	id = uuid.New()
	result, err := db.ExecContext(ctx, `INSERT INTO events VALUES ($1, $2) ON CONFLICT DO NOTHING`, ref, id)
	if err != nil {
		return id, false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return id, true, errors.Join(err, db.QueryRowContext(ctx, `SELECT id FROM events WHERE ref = $1`, ref).Scan(&id))
	}
	_, err = db.ExecContext(ctx, `INSERT INTO bodies VALUES ($1, $2)`, id, body)
	return id, false, err
}

// lookThenStore does it in one transaction, but looks whether the event is there.
func lookThenStore(ctx context.Context, db *sql.DB, ref string, body []byte) (id uuid.UUID, duplicate bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return id, false, err
	}
	defer tx.Rollback()
	switch err := tx.QueryRowContext(ctx, `SELECT id FROM events WHERE ref = $1`, ref).Scan(&id); {
	case err == nil:
		return id, true, nil
	case !errors.Is(err, sql.ErrNoRows):
		return id, false, err
	}
	id = uuid.New()
	if _, err := tx.ExecContext(ctx, `INSERT INTO events VALUES ($1, $2)`, ref, id); err != nil {
		return id, false, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO bodies VALUES ($1, $2)`, id, body); err != nil {
		return id, false, err
	}
	if err := tx.Commit(); err != nil {
		return id, false, fmt.Errorf("commit: %w", err)
	}
	return id, false, nil
}
