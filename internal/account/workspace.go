package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/internal/slug"
)

// A Workspace is where a team keeps its keys.
type Workspace struct {
	ID                  uuid.UUID `db:"id"                    json:"id"`
	Name                string    `db:"name"                  json:"name"`
	Slug                string    `db:"slug"                  json:"slug"` // its name in URLs
	CreatedAt           time.Time `db:"created_at"            json:"created_at"`
	AuditorsSeePayloads bool      `db:"auditors_see_payloads" json:"auditors_see_payloads"`
	KeepSignalsDays     int       `db:"keep_signals_days"     json:"keep_signals_days"`    // once every reader has read them
	KeepUnreadDays      int       `db:"keep_unread_days"      json:"keep_unread_days"`     // whether read or not
	KeepDeliveriesDays  int       `db:"keep_deliveries_days"  json:"keep_deliveries_days"` // to the end of their week
	KeepPayloadsDays    int       `db:"keep_payloads_days"    json:"keep_payloads_days"`   // bodies and headers in the log

	RequireSecondFactor bool `db:"require_second_factor" json:"require_second_factor"` // who has none is led to setting one up
}

const workspaceColumns = `w.id, w.name, w.slug, w.created_at, w.auditors_see_payloads, w.keep_signals_days, w.keep_unread_days,
	w.keep_deliveries_days, w.keep_payloads_days, w.require_second_factor`

// CreateWorkspace makes a workspace with one owner. Its slug is made from the
// name, with a number where that is taken.
func (s *Store) CreateWorkspace(ctx context.Context, by audit.Actor, name string, owner uuid.UUID) (workspace Workspace, err error) {
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		workspace, err = createWorkspace(ctx, tx, by, name, owner)
		return err
	})
	if err != nil {
		return Workspace{}, conflict(err, "create workspace")
	}
	return workspace, nil
}

func createWorkspace(ctx context.Context, tx *sqlx.Tx, by audit.Actor, name string, owner uuid.UUID) (Workspace, error) {
	const user = `SELECT ` + userColumns + ` FROM users AS u WHERE u.id = $1 AND u.disabled_at IS NULL FOR KEY SHARE`
	const insert = `
		INSERT INTO workspaces AS w (id, name, slug, created_by) VALUES ($1, $2, $3, $4)
		ON CONFLICT (slug) DO NOTHING
		RETURNING ` + workspaceColumns
	if f := checkName("workspace", name); f != nil {
		return Workspace{}, f
	}
	name = oneline.Fold(name)
	var person User
	if err := tx.GetContext(ctx, &person, user, owner); err != nil {
		return Workspace{}, noUser(err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Workspace{}, err
	}
	for n := 1; n <= 1000; n++ {
		candidate := slugOf(name)
		if n > 1 {
			candidate += "-" + strconv.Itoa(n)
		}
		var workspace Workspace
		err := tx.GetContext(ctx, &workspace, insert, id, name, candidate, owner)
		if errors.Is(err, sql.ErrNoRows) {
			continue // taken
		}
		if err != nil {
			return Workspace{}, err
		}
		target := audit.Target{Kind: "workspace", ID: id.String(), Label: name}
		if err := audit.Record(ctx, tx, by.In(id), audit.WorkspaceCreated, target, nil, audit.Fields{"name": name, "slug": candidate}); err != nil {
			return Workspace{}, err
		}
		return workspace, addMember(ctx, tx, by, workspace, person, Owner)
	}
	return Workspace{}, fault.On("workspace", fault.Conflict, "Too many workspaces have that name. Add what makes this one different.")
}

// reserved can't be slugs: they stand where a slug does.
var reserved = map[string]bool{"new": true}

func slugOf(name string) string {
	if text := slug.Of(name, 40); text != "" && !reserved[text] {
		return text
	}
	return "workspace"
}

// Workspaces lists all workspaces by name.
func (s *Store) Workspaces(ctx context.Context) (workspaces []Workspace, err error) {
	const query = `SELECT ` + workspaceColumns + ` FROM workspaces AS w ORDER BY lower(w.name), w.id`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &workspaces, query) })
	if err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	return workspaces, nil
}

// Workspace returns the workspace with a slug, for who operates the instance.
func (s *Store) Workspace(ctx context.Context, slug string) (workspace Workspace, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		workspace, err = workspaceBySlug(ctx, tx, slug)
		return err
	})
	return workspace, conflict(err, "find workspace")
}

// WorkspaceOf returns the workspace with an id, for what is told of it to somebody
// who holds a link to something in it.
func (s *Store) WorkspaceOf(ctx context.Context, id uuid.UUID) (workspace Workspace, err error) {
	const query = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.id = $1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &workspace, query, id) })
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoWorkspace
	}
	return workspace, conflict(err, "find workspace")
}

var errNoWorkspace = fault.New(fault.NotFound, "There is no such workspace.")

func workspaceBySlug(ctx context.Context, tx *sqlx.Tx, slug string) (Workspace, error) {
	const query = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.slug = $1`
	var workspace Workspace
	if !validSlug(slug) {
		return workspace, errNoWorkspace
	}
	err := tx.GetContext(ctx, &workspace, query, slug)
	if errors.Is(err, sql.ErrNoRows) {
		return workspace, errNoWorkspace
	}
	return workspace, err
}

// validSlug keeps what no slug can be from the database, which refuses some of it
// with an error of its own.
func validSlug(slug string) bool {
	return slug != "" && len(slug) <= 64 && strings.Trim(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// DeleteWorkspace removes a workspace with all that is in it, and nothing of
// another. The audit trail stays.
func (s *Store) DeleteWorkspace(ctx context.Context, by audit.Actor, slug string) error {
	const remove = `DELETE FROM workspaces WHERE id = $1`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		workspace, err := workspaceBySlug(ctx, tx, slug)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, remove, workspace.ID)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errNoWorkspace // somebody else was faster
		}
		target := audit.Target{Kind: "workspace", ID: workspace.ID.String(), Label: workspace.Name}
		fields := audit.Fields{"name": workspace.Name, "slug": workspace.Slug}
		if err := audit.Record(ctx, tx, by.In(workspace.ID), audit.WorkspaceDeleted, target, fields, nil); err != nil {
			return err
		}
		return audit.Record(ctx, tx, by.In(uuid.Nil), audit.WorkspaceDeleted, target, fields, nil)
	})
	return conflict(err, "delete workspace")
}
