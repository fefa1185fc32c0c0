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

// MaxKeepDays is the longest that anything with a time of its own can be kept.
const MaxKeepDays = 3650

// A Retention is for how many days a workspace keeps things: signals once every
// reader has read them (Keep), and whether read or not (Unread); the deliveries of
// its log, to the end of their week, and their bodies and headers (Payloads).
type Retention struct{ Keep, Unread, Deliveries, Payloads int }

// Retention is what the workspace keeps.
func (w Workspace) Retention() Retention {
	return Retention{w.KeepSignalsDays, w.KeepUnreadDays, w.KeepDeliveriesDays, w.KeepPayloadsDays}
}

// SetRetention changes what a workspace keeps. Nothing is recorded where nothing
// changes.
func (s *Store) SetRetention(ctx context.Context, by audit.Actor, to Retention) error {
	const lock = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.id = $1 AND w.deleting_at IS NULL FOR NO KEY UPDATE`
	const update = `
		UPDATE workspaces SET keep_signals_days = $2, keep_unread_days = $3, keep_deliveries_days = $4, keep_payloads_days = $5 WHERE id = $1`
	if err := to.Check(); err != nil {
		return err
	}
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var before Workspace
		err := tx.GetContext(ctx, &before, lock, by.WorkspaceID)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoWorkspace
		}
		if err != nil || before.Retention() == to {
			return err
		}
		if _, err := tx.ExecContext(ctx, update, by.WorkspaceID, to.Keep, to.Unread, to.Deliveries, to.Payloads); err != nil {
			return err
		}
		target := audit.Target{Kind: "workspace", ID: before.ID.String(), Label: before.Name}
		return audit.Record(ctx, tx, by, audit.RetentionChanged, target, before.Retention().fields(), to.fields())
	})
	if _, known := fault.Of(err); err != nil && !known {
		return fmt.Errorf("set retention: %w", err)
	}
	return err
}

func (r Retention) fields() audit.Fields {
	return audit.Fields{
		"keep_signals_days": r.Keep, "keep_unread_days": r.Unread, "keep_deliveries_days": r.Deliveries, "keep_payloads_days": r.Payloads,
	}
}

// Check says what is wrong with a retention, all at once.
func (r Retention) Check() error {
	var wrong []*fault.Error
	for _, field := range []struct {
		name        string
		days, least int
		tooFew      string
	}{
		{"keep", r.Keep, 1, ""},
		{"unread", r.Unread, r.Keep, "Unread signals can't go before read ones: write at least as many days as above."},
		{"payloads", r.Payloads, 1, ""},
		{"deliveries", r.Deliveries, r.Payloads, "Deliveries can't go before their bodies: write at least as many days as for those."},
	} {
		switch {
		case field.days < 1 || field.days > MaxKeepDays:
			wrong = append(wrong, fault.On(field.name, fault.Invalid, fmt.Sprintf("Write a whole number of days from 1 to %d.", MaxKeepDays)))
		case field.days < field.least && field.least <= MaxKeepDays:
			wrong = append(wrong, fault.On(field.name, fault.Invalid, field.tooFew))
		}
	}
	return fault.Join(wrong)
}
