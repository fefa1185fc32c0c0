package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// MaxKeepDays is the longest that signals can be kept.
const MaxKeepDays = 3650

// SetRetention says for how many days a workspace's signals are kept once every
// reader has read them, and for how many whether they were read or not. Nothing is
// recorded where nothing changes.
func (s *Store) SetRetention(ctx context.Context, by audit.Actor, keep, unread int) error {
	const lock = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.id = $1 FOR NO KEY UPDATE`
	const update = `UPDATE workspaces SET keep_signals_days = $2, keep_unread_days = $3 WHERE id = $1`
	if err := checkRetention(keep, unread); err != nil {
		return err
	}
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var before Workspace
		err := tx.GetContext(ctx, &before, lock, by.WorkspaceID)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoWorkspace
		}
		if err != nil || before.KeepSignalsDays == keep && before.KeepUnreadDays == unread {
			return err
		}
		if _, err := tx.ExecContext(ctx, update, by.WorkspaceID, keep, unread); err != nil {
			return err
		}
		target := audit.Target{Kind: "workspace", ID: before.ID.String(), Label: before.Name}
		return audit.Record(ctx, tx, by, audit.RetentionChanged, target, before.retention(), Workspace{KeepSignalsDays: keep, KeepUnreadDays: unread}.retention())
	})
	if _, known := fault.Of(err); err != nil && !known {
		return fmt.Errorf("set retention: %w", err)
	}
	return err
}

func (w Workspace) retention() audit.Fields {
	return audit.Fields{"keep_signals_days": w.KeepSignalsDays, "keep_unread_days": w.KeepUnreadDays}
}

func checkRetention(keep, unread int) error {
	var wrong []*fault.Error
	if keep < 1 || keep > MaxKeepDays {
		wrong = append(wrong, fault.On("keep", fault.Invalid, fmt.Sprintf("Write a whole number of days from 1 to %d.", MaxKeepDays)))
	}
	switch {
	case unread < 1 || unread > MaxKeepDays:
		wrong = append(wrong, fault.On("unread", fault.Invalid, fmt.Sprintf("Write a whole number of days from 1 to %d.", MaxKeepDays)))
	case len(wrong) == 0 && unread < keep:
		wrong = append(wrong, fault.On("unread", fault.Invalid, "Unread signals can't go before read ones: write at least as many days as above."))
	}
	return fault.Join(wrong)
}
