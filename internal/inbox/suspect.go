package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// A Mark says that the signals of a key in a range of time are suspect. It is a
// rule: one row, however many signals it covers.
type Mark struct {
	ID         uuid.UUID  `db:"id"`
	KeyID      uuid.UUID  `db:"webhook_key_id"`
	Address    string     `db:"address"`               // "": from any
	Generation *int       `db:"credential_generation"` // nil: with any
	From       time.Time  `db:"from_at"`
	Until      time.Time  `db:"until_at"` // not in it
	Reason     string     `db:"reason"`
	MarkedAt   time.Time  `db:"marked_at"`
	MarkedBy   string     `db:"marked_by"` // the name at the time
	EndedAt    *time.Time `db:"ended_at"`  // when it was taken back; nil: it holds
	EndedBy    string     `db:"ended_by"`
}

const markColumns = `id, webhook_key_id, address, credential_generation, from_at, until_at, reason, marked_at, marked_by, ended_at, ended_by`

// covers is whether range r is about signal s, which delivery d brought.
const covers = `r.webhook_key_id = s.webhook_key_id AND s.received_at >= r.from_at AND s.received_at < r.until_at
	AND (r.address = '' OR r.address = d.address) AND (r.credential_generation IS NULL OR r.credential_generation = d.credential_generation)`

// suspectColumn is the latest mark that holds of signal s, as JSON, or NULL; $1 is
// the workspace. Where a workspace has no mark, that is asked once a statement.
const suspectColumn = `
	CASE WHEN (SELECT EXISTS (SELECT FROM suspect_ranges WHERE workspace_id = $1 AND ended_at IS NULL)) THEN (
		SELECT json_build_object('reason', r.reason, 'markedAt', r.marked_at, 'markedBy', r.marked_by)::text FROM suspect_ranges AS r
		WHERE r.workspace_id = $1 AND r.ended_at IS NULL AND ` + covers + `
		ORDER BY r.marked_at DESC, r.id DESC LIMIT 1) END`

// A Suspicion is why a signal is suspect.
type Suspicion struct {
	Reason   string    `json:"reason"`
	MarkedAt time.Time `json:"markedAt"`
	MarkedBy string    `json:"markedBy"`
}

// MaxReasonLen is how long a reason may be, in characters.
const MaxReasonLen = 500

func checkReason(reason string) *fault.Error {
	switch {
	case reason == "":
		return fault.On("reason", fault.Invalid, "Write why: whoever reads these signals sees it.")
	case utf8.RuneCountInString(reason) > MaxReasonLen:
		return fault.On("reason", fault.Invalid, fmt.Sprintf("Write at most %d characters.", MaxReasonLen))
	case unprintable(reason):
		return fault.On("reason", fault.Invalid, "Write it without control characters.")
	}
	return nil
}

func unprintable(text string) bool {
	if !utf8.ValidString(text) {
		return true
	}
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return true
		}
	}
	return false
}

// CheckRange says what is wrong with the range of a mark.
func (m Mark) CheckRange(now time.Time) error {
	var wrong []*fault.Error
	if m.From.IsZero() {
		wrong = append(wrong, fault.On("from", fault.Invalid, "Write when it began, such as 2027-01-31 14:00."))
	}
	switch {
	case m.Until.IsZero():
		wrong = append(wrong, fault.On("until", fault.Invalid, "Write when it ended, such as 2027-01-31 16:30."))
	case m.Until.After(now):
		wrong = append(wrong, fault.On("until", fault.Invalid, "That is in the future: only what has arrived can be marked."))
	case !m.From.Before(m.Until):
		wrong = append(wrong, fault.On("until", fault.Invalid, "The end must come after the beginning."))
	}
	if m.Generation != nil && (*m.Generation < 1 || *m.Generation > 1<<30) {
		wrong = append(wrong, fault.On("generation", fault.Invalid, "Write the generation's number, or nothing."))
	}
	if len(m.Address) > 100 || unprintable(m.Address) {
		wrong = append(wrong, fault.On("address", fault.Invalid, "Write one address, or nothing."))
	}
	return fault.Join(wrong)
}

func (m Mark) fields() audit.Fields {
	fields := audit.Fields{"from": m.From.UTC().Format(time.RFC3339Nano), "until": m.Until.UTC().Format(time.RFC3339Nano), "reason": m.Reason}
	if m.Address != "" {
		fields["address"] = m.Address
	}
	if m.Generation != nil {
		fields["generation"] = *m.Generation
	}
	return fields
}

var (
	errNoKey  = fault.New(fault.NotFound, "There is no such key.")
	errNoMark = fault.New(fault.NotFound, "There is no such mark.")
)

// MarkSuspect marks what m is about. Readers see it from now on, and those that
// are past it learn of it by [Store.Changes].
func (s *Store) MarkSuspect(ctx context.Context, by audit.Actor, m Mark) (Mark, error) {
	const key = `SELECT name FROM webhook_keys WHERE id = $1 AND workspace_id = $2`
	const insert = `
		INSERT INTO suspect_ranges (id, workspace_id, webhook_key_id, address, credential_generation, from_at, until_at, reason, marked_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ` + markColumns
	if err := m.CheckRange(time.Now()); err != nil {
		return Mark{}, err
	}
	if f := checkReason(m.Reason); f != nil {
		return Mark{}, f
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Mark{}, fmt.Errorf("mark signals: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var name string
		if err := tx.GetContext(ctx, &name, key, m.KeyID, by.WorkspaceID); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &m, insert, id, by.WorkspaceID, m.KeyID, m.Address, m.Generation, m.From, m.Until, m.Reason, by.Label); err != nil {
			return err
		}
		if err := noteChange(ctx, tx, by.WorkspaceID, Marked, &m.ID, nil); err != nil {
			return err
		}
		return audit.Record(ctx, tx, by, audit.SignalsMarked, audit.Target{Kind: "key", ID: m.KeyID.String(), Label: name}, nil, m.fields())
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Mark{}, errNoKey
	}
	if err != nil {
		return Mark{}, fmt.Errorf("mark signals: %w", err)
	}
	return m, nil
}

// Unmark takes a mark back. changed is false if it was already.
func (s *Store) Unmark(ctx context.Context, by audit.Actor, keyID, id uuid.UUID) (changed bool, err error) {
	const lock = `
		SELECT r.id, r.webhook_key_id, r.address, r.credential_generation, r.from_at, r.until_at, r.reason, r.marked_at, r.marked_by, r.ended_at, r.ended_by, k.name
		FROM suspect_ranges AS r JOIN webhook_keys AS k ON k.id = r.webhook_key_id
		WHERE r.id = $1 AND r.workspace_id = $2 AND r.webhook_key_id = $3 FOR NO KEY UPDATE OF r`
	const update = `UPDATE suspect_ranges SET ended_at = now(), ended_by = $2 WHERE id = $1`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		changed = false
		var row struct {
			Mark
			Name string `db:"name"`
		}
		if err := tx.GetContext(ctx, &row, lock, id, by.WorkspaceID, keyID); err != nil || row.EndedAt != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, update, id, by.Label); err != nil {
			return err
		}
		if err := noteChange(ctx, tx, by.WorkspaceID, Unmarked, &id, nil); err != nil {
			return err
		}
		changed = true
		return audit.Record(ctx, tx, by, audit.SignalsUnmarked, audit.Target{Kind: "key", ID: keyID.String(), Label: row.Name}, row.fields(), nil)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, errNoMark
	}
	if err != nil {
		return false, fmt.Errorf("take a mark back: %w", err)
	}
	return changed, nil
}

// MarksOf returns the marks of a key, the latest first.
func (s *Store) MarksOf(ctx context.Context, workspaceID, keyID uuid.UUID) (marks []Mark, err error) {
	const query = `
		SELECT ` + markColumns + ` FROM suspect_ranges WHERE workspace_id = $1 AND webhook_key_id = $2
		ORDER BY marked_at DESC, id DESC LIMIT 200`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &marks, query, workspaceID, keyID) })
	if err != nil {
		return nil, fmt.Errorf("list marks: %w", err)
	}
	return marks, nil
}

// A Preview is what a mark would cover.
type Preview struct {
	Signals int // at most [MaxPreviewed]
	Newest  []Listed
}

// MaxPreviewed is how far the signals of a mark are counted before it is made.
const MaxPreviewed = 100_001

// markedRows are the signals that a mark is about, by their ids: an id holds the
// moment at which a request began, a little before it was received.
const markedRows = `
	FROM deliveries AS d JOIN signals AS s ON s.id = d.id
	WHERE d.workspace_id = $1 AND d.webhook_key_id = $2 AND d.id >= uuid_floor($3::timestamptz - interval '1 hour') AND d.id < uuid_floor($4::timestamptz + interval '1 minute')
		AND d.outcome = 'accepted' AND s.webhook_key_id = $2 AND s.received_at >= $3 AND s.received_at < $4
		AND ($5 = '' OR d.address = $5) AND ($6::integer IS NULL OR d.credential_generation = $6) `

// PreviewMark returns what m would cover.
func (s *Store) PreviewMark(ctx context.Context, workspaceID uuid.UUID, m Mark, payloads bool) (p Preview, err error) {
	const count = `SELECT count(*) FROM (SELECT ` + markedRows + ` LIMIT $7) AS covered`
	const newest = `
		SELECT d.id, d.webhook_key_id, d.source, d.source_ref, d.event_type, d.received_at, d.body_size, CASE WHEN $7 THEN substr(d.body, 1, $8) END AS preview ` +
		markedRows + `ORDER BY d.id DESC LIMIT 10`
	args := []any{workspaceID, m.KeyID, m.From, m.Until, m.Address, m.Generation}
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &p.Signals, count, append(args, MaxPreviewed)...); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &p.Newest, newest, append(args, payloads, previewBytes)...)
	})
	if err != nil {
		return Preview{}, fmt.Errorf("look what a mark covers: %w", err)
	}
	return p, nil
}

// MarkedSignals returns the ids of the signals that a mark is about, in their
// order, from behind one of them on.
func (s *Store) MarkedSignals(ctx context.Context, workspaceID, mark, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	const find = `SELECT ` + markColumns + ` FROM suspect_ranges WHERE id = $1 AND workspace_id = $2`
	const query = `SELECT d.id ` + markedRows + `AND d.id > $7 ORDER BY d.id LIMIT $8`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		var m Mark
		if err := tx.GetContext(ctx, &m, find, mark, workspaceID); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &ids, query, workspaceID, m.KeyID, m.From, m.Until, m.Address, m.Generation, after, limit)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoMark
	}
	if err != nil {
		return nil, fmt.Errorf("list the signals of a mark: %w", err)
	}
	return ids, nil
}
