package keyring

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// maxReason is how long a reason may be, in characters.
const maxReason = 200

// readReason returns why somebody does something, as the trail keeps it; "" is none.
func readReason(text string) (string, error) {
	var c check
	text = c.line("reason", "The reason", text, maxReason)
	if len(c) > 0 {
		return "", c[0]
	}
	return text, nil
}

// Deactivate makes a key stop working. Once it has returned, no request that
// starts later is accepted. It reports whether the key was active. The reason, if
// there is one, is kept in the trail.
func (s *Store) Deactivate(ctx context.Context, by audit.Actor, id uuid.UUID, reason string) (changed bool, err error) {
	if reason, err = readReason(reason); err != nil {
		return false, err
	}
	return s.setActive(ctx, by, id, false, audit.KeyDeactivated, reason)
}

// Reactivate undoes Deactivate. An expired key stays expired.
func (s *Store) Reactivate(ctx context.Context, by audit.Actor, id uuid.UUID) (changed bool, err error) {
	return s.setActive(ctx, by, id, true, audit.KeyReactivated, "")
}

func (s *Store) setActive(ctx context.Context, by audit.Actor, id uuid.UUID, active bool, action audit.Action, reason string) (changed bool, err error) {
	const update = `UPDATE webhook_keys SET is_active = $3 WHERE workspace_id = $1 AND id = $2`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := lock(ctx, tx, by, id)
		if err != nil || key.Active == active {
			return err
		}
		if _, err := tx.ExecContext(ctx, update, by.WorkspaceID, id, active); err != nil {
			return err
		}
		changed = true
		after := audit.Fields{"active": active}
		if reason != "" {
			after["reason"] = reason
		}
		return record(ctx, tx, by, action, key, audit.Fields{"active": !active}, after)
	})
	if err != nil {
		return false, conflict(err, string(action))
	}
	return changed, nil
}

var (
	errNotShown = fault.New(fault.Forbidden, "Only the person who was shown a key's credentials can confirm that they are saved.")
	errSaved    = fault.New(fault.Conflict, "You have confirmed already that these credentials are saved.")
)

// ConfirmSaved records that the actor, who was shown a key's credentials, says to
// have saved them: the latest that they were shown. It can be said once.
func (s *Store) ConfirmSaved(ctx context.Context, by audit.Actor, id uuid.UUID) error {
	const shown = `
		SELECT nonce, saved_at FROM form_nonces
		WHERE workspace_id = $1 AND webhook_key_id = $2 AND shown_to_id = $3 ORDER BY created_at DESC LIMIT 1 FOR UPDATE`
	const save = `UPDATE form_nonces SET saved_at = now() WHERE workspace_id = $1 AND nonce = $2`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := find(ctx, tx, by.WorkspaceID, id)
		if err != nil {
			return err
		}
		var nonce string
		var saved *time.Time
		switch err := tx.QueryRowxContext(ctx, shown, by.WorkspaceID, id, creator(by)).Scan(&nonce, &saved); {
		case errors.Is(err, sql.ErrNoRows):
			return errNotShown
		case err != nil:
			return err
		case saved != nil:
			return errSaved
		}
		if _, err := tx.ExecContext(ctx, save, by.WorkspaceID, nonce); err != nil {
			return err
		}
		return record(ctx, tx, by, audit.CredentialsSaved, key, nil, nil)
	})
	if err != nil {
		return conflict(err, "confirm saved credentials")
	}
	return nil
}
