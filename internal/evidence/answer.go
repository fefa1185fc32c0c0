package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/oneline"
)

// The answers to a line.
const (
	Keep       = "keep"
	Deactivate = "deactivate"
)

// MaxNote is the longest note of an answer, in characters.
const MaxNote = 500

// A Line is a key of a review, with its answer and what the key is now.
type Line struct {
	Place      int        `db:"place"`
	KeyID      uuid.UUID  `db:"webhook_key_id"`
	Answer     string     `db:"answer"` // "": none yet
	Note       string     `db:"note"`
	AnsweredAt *time.Time `db:"answered_at"`
	AnsweredBy string     `db:"answered_by"`
	Text       string     `db:"line"`
	OwnerID    *uuid.UUID `db:"owner_id"` // now
	ActiveNow  bool       `db:"active_now"`

	KeyLine `db:"-"`
}

const lineColumns = `
	l.place, l.webhook_key_id, l.answer, l.note, l.answered_at, l.answered_by, l.line, k.owner_id, coalesce(k.is_active, false) AS active_now
	FROM access_review_lines AS l JOIN access_reviews AS r ON r.id = l.review_id
	LEFT JOIN webhook_keys AS k ON k.id = l.webhook_key_id AND k.workspace_id = r.workspace_id `

// A Part says which lines of a review to read.
type Part struct {
	Show  string    // open, yours, answered, all
	Owner uuid.UUID // whose "yours" are
	After int       // the place behind which they begin
	Limit int
}

// Lines reads some lines of a review, in the file's order; more tells that others
// follow.
func (s *Store) Lines(ctx context.Context, workspace, review uuid.UUID, part Part) (lines []Line, more bool, err error) {
	const query = `SELECT ` + lineColumns + `
		WHERE r.workspace_id = $1 AND r.id = $2 AND l.place > $3
			AND CASE $4 WHEN 'open' THEN l.active AND l.answer = '' WHEN 'yours' THEN l.active AND l.answer = '' AND k.owner_id = $5
				WHEN 'answered' THEN l.answer <> '' ELSE true END
		ORDER BY l.place LIMIT $6`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &lines, query, workspace, review, part.After, part.Show, part.Owner, part.Limit+1)
	})
	if more = len(lines) > part.Limit; more {
		lines = lines[:part.Limit]
	}
	for i := range lines {
		if err == nil {
			err = json.Unmarshal([]byte(lines[i].Text), &lines[i].KeyLine)
		}
	}
	return lines, more, wrap(err, "read lines of a review")
}

// Line returns one key's line.
func (s *Store) Line(ctx context.Context, workspace, review, key uuid.UUID) (line Line, err error) {
	const query = `SELECT ` + lineColumns + `WHERE r.workspace_id = $1 AND r.id = $2 AND l.webhook_key_id = $3`
	var found []Line
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &found, query, workspace, review, key) })
	if err == nil && len(found) == 0 {
		err = errNoReview
	}
	if err != nil {
		return Line{}, wrap(err, "find a line of a review")
	}
	return found[0], wrap(json.Unmarshal([]byte(found[0].Text), &found[0].KeyLine), "read a line of a review")
}

// An Answer is what somebody says of some keys of a review.
type Answer struct {
	Keys   []uuid.UUID
	Answer string // Keep or Deactivate
	Note   string
}

// An Outcome tells what an answer did.
type Outcome struct {
	Answered    int // lines whose answer is this one now
	LeftOut     int // keys that the actor does not answer for
	Deactivated int
}

var (
	errNotYours  = fault.New(fault.Forbidden, "You answer only for keys that you own.")
	errNotActive = fault.New(fault.Conflict, "That key was not active then, so it needs no answer.")
)

func (a *Answer) check() error {
	a.Note = oneline.Fold(a.Note)
	switch {
	case a.Answer != Keep && a.Answer != Deactivate:
		return fault.On("answer", fault.Invalid, "Answer keep or deactivate.")
	case len(a.Keys) == 0:
		return fault.On("key", fault.Invalid, "Choose a key.")
	case utf8.RuneCountInString(a.Note) > MaxNote:
		return fault.On("note", fault.Invalid, fmt.Sprintf("The note is longer than %d characters.", MaxNote))
	case !utf8.ValidString(a.Note) || strings.ContainsRune(a.Note, 0):
		return fault.On("note", fault.Invalid, "The note holds what is no text.")
	case keyring.HintIn(a.Note) != "":
		return fault.On("note", fault.Invalid, "That holds a credential. Take it out: the note is in the audit trail.")
	}
	return nil
}

// Answer answers for keys of a review, and deactivates them if that is the answer.
// Of several keys those that the actor does not answer for are left out; if that is
// all of them, it is refused. An answer that stands already is not recorded again.
func (s *Store) Answer(ctx context.Context, by audit.Actor, review uuid.UUID, a Answer) (done Outcome, err error) {
	if err := a.check(); err != nil {
		return Outcome{}, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		done = Outcome{}
		lines, covers, err := lockLines(ctx, tx, by.WorkspaceID, review, a.Keys)
		if err != nil {
			return err
		}
		keys, err := keyring.Answerable(ctx, tx, by, a.Keys)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return errNotYours
		}
		done.LeftOut = len(lines) - len(keys)
		var changes []audit.Change
		for _, key := range keys {
			line := lines[key.ID]
			if !line.Active {
				return errNotActive
			}
			if line.Answer != a.Answer || line.Note != a.Note {
				changes = append(changes, a.change(line, key, review, covers))
			}
		}
		if done.Answered, err = len(keys), a.note(ctx, tx, by, review, changes); err != nil || a.Answer == Keep {
			return err
		}
		done.Deactivated, err = keyring.DeactivateAll(ctx, tx, by, keys)
		return err
	})
	if err != nil {
		return Outcome{}, wrap(err, "answer a line of a review")
	}
	return done, nil
}

type lockedLine struct {
	KeyID  uuid.UUID `db:"webhook_key_id"`
	Active bool      `db:"active"`
	Answer string    `db:"answer"`
	Note   string    `db:"note"`
}

// lockLines takes the lines of some keys. If the review lacks one, or there is no
// such review, it is not found.
func lockLines(ctx context.Context, tx *sqlx.Tx, workspace, review uuid.UUID, keys []uuid.UUID) (lines map[uuid.UUID]lockedLine, covers string, err error) {
	const find = `SELECT coalesce((SELECT covers FROM access_reviews WHERE workspace_id = $1 AND id = $2), '')`
	const lock = `
		SELECT webhook_key_id, active, answer, note FROM access_review_lines
		WHERE review_id = $1 AND webhook_key_id = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)::uuid)) ORDER BY place FOR UPDATE`
	if err := tx.GetContext(ctx, &covers, find, workspace, review); err != nil {
		return nil, "", err
	}
	ids, err := json.Marshal(keys)
	if err != nil {
		return nil, "", err
	}
	var rows []lockedLine
	if err := tx.SelectContext(ctx, &rows, lock, review, string(ids)); err != nil {
		return nil, "", err
	}
	lines = map[uuid.UUID]lockedLine{}
	for _, row := range rows {
		lines[row.KeyID] = row
	}
	for _, key := range keys {
		if _, known := lines[key]; !known || covers == "" {
			return nil, "", errNoReview
		}
	}
	return lines, covers, nil
}

func (a Answer) change(line lockedLine, key keyring.Key, review uuid.UUID, covers string) audit.Change {
	return audit.Change{
		Action: audit.ReviewAnswered, Target: audit.Target{Kind: "key", ID: key.ID.String(), Label: key.Name},
		Before: audit.Fields{"answer": line.Answer, "note": line.Note},
		After:  audit.Fields{"review": review.String(), "covers": covers, "answer": a.Answer, "note": a.Note},
	}
}

// note writes the answers down where they differ, and records them.
func (a Answer) note(ctx context.Context, tx *sqlx.Tx, by audit.Actor, review uuid.UUID, changes []audit.Change) error {
	const update = `
		UPDATE access_review_lines SET answer = $3, note = $4, answered_at = now(), answered_by = $5
		WHERE review_id = $1 AND webhook_key_id = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)::uuid))`
	if len(changes) == 0 {
		return nil
	}
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.Target.ID
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, update, review, string(list), a.Answer, a.Note, by.Label); err != nil {
		return err
	}
	return audit.RecordAll(ctx, tx, by, changes)
}
