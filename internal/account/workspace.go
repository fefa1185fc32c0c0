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
	"keyhook/internal/postgres"
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

	RequireSecondFactor bool       `db:"require_second_factor" json:"require_second_factor"` // who has none is led to setting one up
	DeletingAt          *time.Time `db:"deleting_at" json:"deleting_at,omitempty"`           // it is out of use, and its rows are going
}

const workspaceColumns = `w.id, w.name, w.slug, w.created_at, w.auditors_see_payloads, w.keep_signals_days, w.keep_unread_days,
	w.keep_deliveries_days, w.keep_payloads_days, w.require_second_factor, w.deleting_at`

// CreateWorkspace makes a workspace with one owner. Its slug is made from the
// name, with a number where that is taken.
func (s *Store) CreateWorkspace(ctx context.Context, by audit.Actor, name string, owner uuid.UUID) (workspace Workspace, err error) {
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
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

// EditWorkspace gives by's workspace another name, and says whether its auditors
// see payloads. Its slug stays, so that every address goes on leading there.
func (s *Store) EditWorkspace(ctx context.Context, by audit.Actor, name string, auditorsSeePayloads bool) error {
	const update = `UPDATE workspaces SET name = $2, auditors_see_payloads = $3 WHERE id = $1`
	if f := checkName("name", name); f != nil {
		return f
	}
	name = oneline.Fold(name)
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		workspace, _, err := standingAs(ctx, tx, by, ManageWorkspace)
		if err != nil {
			return err
		}
		before, after := audit.Fields{}, audit.Fields{}
		if name != workspace.Name {
			before["name"], after["name"] = workspace.Name, name
		}
		if auditorsSeePayloads != workspace.AuditorsSeePayloads {
			before["auditors_see_payloads"], after["auditors_see_payloads"] = workspace.AuditorsSeePayloads, auditorsSeePayloads
		}
		if len(after) == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, update, workspace.ID, name, auditorsSeePayloads); err != nil {
			return err
		}
		target := audit.Target{Kind: "workspace", ID: workspace.ID.String(), Label: workspace.Name}
		return audit.Record(ctx, tx, by, audit.WorkspaceEdited, target, before, after)
	})
	return conflict(err, "edit workspace")
}

// Workspaces lists all workspaces by name, those that are being deleted too.
func (s *Store) Workspaces(ctx context.Context) (workspaces []Workspace, err error) {
	const query = `SELECT ` + workspaceColumns + ` FROM workspaces AS w ORDER BY lower(w.name), w.id`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &workspaces, query) })
	if err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	return workspaces, nil
}

// Workspace returns the workspace with a slug, for who operates the instance.
func (s *Store) Workspace(ctx context.Context, slug string) (workspace Workspace, err error) {
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		workspace, err = workspaceBySlug(ctx, tx, slug)
		return err
	})
	return workspace, conflict(err, "find workspace")
}

// WorkspaceOf returns the workspace with an id, for what is told of it to somebody
// who holds a link to something in it.
func (s *Store) WorkspaceOf(ctx context.Context, id uuid.UUID) (workspace Workspace, err error) {
	const query = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.id = $1 AND w.deleting_at IS NULL`
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &workspace, query, id) })
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoWorkspace
	}
	return workspace, conflict(err, "find workspace")
}

var errNoWorkspace = fault.New(fault.NotFound, "There is no such workspace.")

func workspaceBySlug(ctx context.Context, tx *sqlx.Tx, slug string) (Workspace, error) {
	const query = `SELECT ` + workspaceColumns + ` FROM workspaces AS w WHERE w.slug = $1 AND w.deleting_at IS NULL`
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
