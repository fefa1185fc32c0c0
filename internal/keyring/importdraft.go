package keyring

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// ImportDraftLife is how long an import waits for the button.
const ImportDraftLife = 15 * time.Minute

// An ImportDraft is an import that waits to be confirmed by who brought it, or
// one that was.
type ImportDraft struct {
	ID        uuid.UUID
	ExpiresAt time.Time
	Used      bool
	Imported  int // once it was used
	Unchanged int
	Plan      ImportPlan
	Seen      string // tells this plan from another that would do something else
}

// errNoDraft is the same for a draft that is gone, never was or is somebody else's.
var errNoDraft = fault.New(fault.NotFound, "This preview is over: it is kept for 15 minutes. Choose the file again.")

// KeepImport keeps a file for its preview, in place of the one that the same
// person has there. It is sealed as a whole; API keys are hashes already.
func (s *Store) KeepImport(ctx context.Context, by audit.Actor, file ImportFile) (uuid.UUID, error) {
	const replace = `DELETE FROM import_drafts WHERE workspace_id = $1 AND user_id = $2 AND sealed IS NOT NULL`
	const insert = `
		INSERT INTO import_drafts (id, workspace_id, user_id, sealed, expires_at)
		VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second')`
	id, err := uuid.NewRandom()
	if err != nil {
		return uuid.Nil, err
	}
	sealed, err := s.sealImport(by, id, file)
	if err != nil {
		return uuid.Nil, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, replace, by.WorkspaceID, by.UserID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, insert, id, by.WorkspaceID, by.UserID, sealed, int(ImportDraftLife.Seconds()))
		return err
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("keep an import for its preview: %w", err)
	}
	return id, nil
}

// PreviewImport says what the draft would do now.
func (s *Store) PreviewImport(ctx context.Context, by audit.Actor, id uuid.UUID) (draft ImportDraft, err error) {
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		draft, _, err = s.openImport(ctx, tx, by, id, "")
		return err
	})
	if err != nil {
		return ImportDraft{}, conflict(err, "preview an import")
	}
	return draft, nil
}

// RunImport does what the person saw, once: all of it, or nothing where it would
// do something else by now. A draft that was used says what it did.
func (s *Store) RunImport(ctx context.Context, by audit.Actor, id uuid.UUID, seen string) (draft ImportDraft, again bool, err error) {
	const use = `UPDATE import_drafts SET sealed = NULL, imported = $2, unchanged = $3 WHERE id = $1`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := lockImports(ctx, tx, by.WorkspaceID); err != nil {
			return err
		}
		if draft, again, err = s.openImport(ctx, tx, by, id, " FOR UPDATE"); err != nil || again {
			return err
		}
		if draft.Seen != seen {
			return errPlanOld
		}
		if err := s.carryOut(ctx, tx, by, draft.Plan); err != nil {
			return err
		}
		draft.Imported, draft.Unchanged = draft.Plan.Count(Makes), draft.Plan.Count(IsHere)
		_, err := tx.ExecContext(ctx, use, id, draft.Imported, draft.Unchanged)
		return err
	})
	return draft, again, importConflict(err)
}

// openImport reads a draft and plans it. used says that it was carried out.
func (s *Store) openImport(ctx context.Context, tx *sqlx.Tx, by audit.Actor, id uuid.UUID, lock string) (draft ImportDraft, used bool, err error) {
	const query = `
		SELECT sealed, imported, unchanged, expires_at FROM import_drafts
		WHERE id = $1 AND workspace_id = $2 AND user_id = $3 AND expires_at > now()`
	var sealed []byte
	draft.ID = id
	err = tx.QueryRowxContext(ctx, query+lock, id, by.WorkspaceID, by.UserID).Scan(&sealed, &draft.Imported, &draft.Unchanged, &draft.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return draft, false, errNoDraft
	}
	if err != nil || sealed == nil {
		draft.Used = sealed == nil
		return draft, draft.Used, err
	}
	file, err := s.unsealImport(by, id, sealed)
	if err != nil {
		return draft, false, err
	}
	if draft.Plan, err = s.planImport(ctx, tx, by, file); err != nil {
		return draft, false, err
	}
	draft.Seen, err = draft.Plan.digest(func(text string) []byte { return s.box.Fingerprint("secret", text) })
	return draft, false, err
}

// keptImport is a file with its secrets, only ever sealed.
type keptImport struct {
	File    ImportFile
	Secrets []string // of the candidates, in their order
}

func importPlace(by audit.Actor, id uuid.UUID) []string {
	return []string{"keyhook/import/v1", by.WorkspaceID.String(), by.UserID.String(), id.String()}
}

func (s *Store) sealImport(by audit.Actor, id uuid.UUID, file ImportFile) ([]byte, error) {
	kept := keptImport{File: file}
	for _, c := range file.Candidates {
		kept.Secrets = append(kept.Secrets, c.secret)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("keep an import: %w", err)
	}
	return s.box.Seal(text, importPlace(by, id)...), nil
}

func (s *Store) unsealImport(by audit.Actor, id uuid.UUID, sealed []byte) (ImportFile, error) {
	text, err := s.box.Open(sealed, importPlace(by, id)...)
	if err != nil {
		return ImportFile{}, fmt.Errorf("open an import: %w", err)
	}
	var kept keptImport
	if err := json.Unmarshal(text, &kept); err != nil {
		return ImportFile{}, fmt.Errorf("read an import: %w", err)
	}
	for i, secret := range kept.Secrets {
		kept.File.Candidates[i].secret = secret
	}
	return kept.File, nil
}

// SweepImports forgets drafts whose time is over.
func (s *Store) SweepImports(ctx context.Context) error {
	const sweep = `DELETE FROM import_drafts WHERE expires_at <= now()`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, sweep)
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep imports: %w", err)
	}
	return nil
}
