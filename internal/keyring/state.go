package keyring

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
)

// Deactivate makes a key stop working. Once it has returned, no request that
// starts later is accepted. It reports whether the key was active.
func (s *Store) Deactivate(ctx context.Context, by audit.Actor, id uuid.UUID) (changed bool, err error) {
	return s.setActive(ctx, by, id, false, audit.KeyDeactivated)
}

// Reactivate undoes Deactivate. An expired key stays expired.
func (s *Store) Reactivate(ctx context.Context, by audit.Actor, id uuid.UUID) (changed bool, err error) {
	return s.setActive(ctx, by, id, true, audit.KeyReactivated)
}

func (s *Store) setActive(ctx context.Context, by audit.Actor, id uuid.UUID, active bool, action audit.Action) (changed bool, err error) {
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
		return record(ctx, tx, by, action, key, audit.Fields{"active": !active}, audit.Fields{"active": active})
	})
	if err != nil {
		return false, conflict(err, string(action))
	}
	return changed, nil
}

// ConfirmSaved records that the actor says to have saved a key's credentials.
func (s *Store) ConfirmSaved(ctx context.Context, by audit.Actor, id uuid.UUID) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := find(ctx, tx, by.WorkspaceID, id)
		if err != nil {
			return err
		}
		return record(ctx, tx, by, audit.CredentialsSaved, key, nil, nil)
	})
	if err != nil {
		return conflict(err, "confirm saved credentials")
	}
	return nil
}
