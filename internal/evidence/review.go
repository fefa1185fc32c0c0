package evidence

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// A Review is a signed statement of how a workspace's keys and people stood.
type Review struct {
	ID      uuid.UUID `db:"id"`
	Covers  string    `db:"covers"`
	UntilAt time.Time `db:"until_at"`
	Whole   bool      `db:"whole"` // what it covers was over
	MadeAt  time.Time `db:"made_at"`
	MadeBy  string    `db:"made_by"`
	Keys    int       `db:"keys"`
	Asked   int       `db:"asked"`   // keys that were active, so that somebody answers for them
	Kept    int       `db:"kept"`    // of these
	Stopped int       `db:"stopped"` // answered with deactivate
	Yours   int       `db:"yours"`   // of those that are not answered, how many the reader owns
}

const reviewColumns = `
	r.id, r.covers, r.until_at, r.whole, r.made_at, r.made_by, l.keys, l.asked, l.kept, l.stopped, l.yours
	FROM access_reviews AS r CROSS JOIN LATERAL (
		SELECT count(*) AS keys, count(*) FILTER (WHERE l.active) AS asked, count(*) FILTER (WHERE l.answer = 'keep') AS kept,
			count(*) FILTER (WHERE l.answer = 'deactivate') AS stopped,
			count(*) FILTER (WHERE l.active AND l.answer = '' AND k.owner_id = $2) AS yours
		FROM access_review_lines AS l LEFT JOIN webhook_keys AS k ON k.id = l.webhook_key_id WHERE l.review_id = r.id) AS l `

const (
	reviewsShown  = 40
	reviewsPerDay = 20
)

var (
	errNoReview = fault.New(fault.NotFound, "There is no such review.")
	errEnough   = fault.New(fault.Conflict, fmt.Sprintf("%d reviews were made in the last 24 hours. Use one of them, or wait.", reviewsPerDay))
)

// Make makes a review of a span: rebuilds it from the trail, signs and keeps it. id
// is made by whoever asks: asked again with the same one, it is the review that was
// made.
func (s *Store) Make(ctx context.Context, by audit.Actor, id uuid.UUID, span Span) error {
	if id.Version() != 7 {
		return fault.New(fault.Invalid, "The form is damaged. Open it again.")
	}
	p, err := s.rebuild(ctx, by.WorkspaceID, span)
	if err != nil {
		return wrap(err, "rebuild a workspace from its trail")
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if err := s.seal(ctx, by, &p, id, now); err != nil {
		return wrap(err, "sign a review")
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error { return keep(ctx, tx, by, id, span, p, now) })
	if postgres.Violates(err, "access_reviews_pkey") {
		_, err = s.Find(ctx, by.WorkspaceID, uuid.Nil, id) // sent twice; another workspace's is none
	}
	return wrap(err, "make a review")
}

// rebuild replays the trail up to the span's end.
func (s *Store) rebuild(ctx context.Context, workspace uuid.UUID, span Span) (pack, error) {
	h, err := s.replay(ctx, workspace, span.Until)
	if err != nil {
		return pack{}, err
	}
	mark, err := s.trail.HeadBefore(ctx, audit.ChainOf(workspace), span.Until)
	if err != nil {
		return pack{}, err
	}
	var ids []uuid.UUID
	for text := range h.keys {
		if id, err := uuid.Parse(text); err == nil {
			ids = append(ids, id)
		}
	}
	used, err := s.events.LastDays(ctx, workspace, ids, span.Until)
	if err != nil {
		return pack{}, err
	}
	return packOf(h, headLine{
		Line: "review", Format: Format, WorkspaceID: workspace.String(), Covers: span.Covers, From: audit.Stamp(span.From), Until: audit.Stamp(span.Until),
		Whole: span.Whole, Trail: headMark(mark),
	}, used, span.Until)
}

// replay reads the trail of a workspace and what the instance's tells of its people.
func (s *Store) replay(ctx context.Context, workspace uuid.UUID, until time.Time) (*history, error) {
	h := newHistory(audit.Stamp(until))
	err := s.trail.EachOf(ctx, audit.ChainOf(workspace), kinds, func(e audit.Entry) error {
		h.read(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for id := range h.people {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	users, err := s.trail.AboutUsers(ctx, ids)
	h.meet(users)
	return h, err
}

func (s *Store) seal(ctx context.Context, by audit.Actor, p *pack, id uuid.UUID, now time.Time) error {
	head, err := s.trail.HeadOf(ctx, by.Chain())
	if err != nil {
		return err
	}
	point, err := s.trail.Newest(ctx)
	if err != nil {
		return err
	}
	line := sealLine{Review: id.String(), MadeAt: audit.Stamp(now), MadeBy: Actor{string(by.Kind), by.UserID.String(), by.Label}, Head: headMark(head)}
	if point != nil {
		line.Checkpoint = point.Number
	}
	return p.sign(s.signer, line)
}

// keep stores a signed pack. The workspace's lock makes those who make reviews take
// turns, so that nobody fills the disk with them.
func keep(ctx context.Context, tx *sqlx.Tx, by audit.Actor, id uuid.UUID, span Span, p pack, now time.Time) error {
	const lock = `SELECT pg_advisory_xact_lock(hashtextextended('keyhook/review/' || $1, 0))`
	const lately = `SELECT count(*) FROM access_reviews WHERE workspace_id = $1 AND made_at > now() - interval '24 hours' AND id <> $2`
	const review = `
		INSERT INTO access_reviews (id, workspace_id, covers, until_at, whole, made_at, made_by, head, seal)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	const lines = `
		INSERT INTO access_review_lines (review_id, place, webhook_key_id, active, line)
		SELECT $1, place, key, active, line FROM jsonb_to_recordset($2::jsonb) AS l (place integer, key uuid, active boolean, line text)`
	if _, err := tx.ExecContext(ctx, lock, by.WorkspaceID.String()); err != nil {
		return err
	}
	var n int
	if err := tx.GetContext(ctx, &n, lately, by.WorkspaceID, id); err != nil {
		return err
	}
	if n >= reviewsPerDay {
		return errEnough
	}
	if _, err := tx.ExecContext(ctx, review, id, by.WorkspaceID, span.Covers, span.Until, span.Whole, now, by.Label, string(p.head), string(p.seal)); err != nil {
		return err
	}
	rows, err := json.Marshal(p.rows())
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, lines, id, string(rows)); err != nil {
		return err
	}
	after := audit.Fields{"covers": span.Covers, "until": audit.Stamp(span.Until), "keys": len(p.keys)}
	return audit.Record(ctx, tx, by, audit.ReviewMade, audit.Target{Kind: "review", ID: id.String(), Label: span.Covers}, nil, after)
}

type lineRow struct {
	Place  int    `json:"place"`
	Key    string `json:"key"`
	Active bool   `json:"active"`
	Line   string `json:"line"`
}

func (p pack) rows() []lineRow {
	rows := make([]lineRow, len(p.keys))
	for i, k := range p.keys {
		rows[i] = lineRow{i + 1, k.ID, k.Active, string(k.text)}
	}
	return rows
}

// Reviews lists a workspace's latest reviews, the newest first, for a reader.
func (s *Store) Reviews(ctx context.Context, workspace, reader uuid.UUID) (reviews []Review, err error) {
	const query = `SELECT ` + reviewColumns + `WHERE r.workspace_id = $1 ORDER BY r.made_at DESC, r.id LIMIT $3`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &reviews, query, workspace, reader, reviewsShown)
	})
	return reviews, wrap(err, "list reviews")
}

// Find returns a review of a workspace.
func (s *Store) Find(ctx context.Context, workspace, reader, id uuid.UUID) (review Review, err error) {
	const query = `SELECT ` + reviewColumns + `WHERE r.workspace_id = $1 AND r.id = $3`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &review, query, workspace, reader, id) })
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoReview
	}
	return review, wrap(err, "find a review")
}

// People returns what a review tells of people: the members, and who could create
// keys when.
func (s *Store) People(ctx context.Context, workspace, review uuid.UUID) (people []PersonLine, creating []CreatingLine, err error) {
	const query = `SELECT head FROM access_reviews WHERE workspace_id = $1 AND id = $2`
	var head string
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &head, query, workspace, review) })
	for line := range strings.Lines(head) {
		var kind struct{ Line string }
		err = errors.Join(err, json.Unmarshal([]byte(line), &kind))
		switch kind.Line {
		case "person":
			people, err = decoded(people, line, err)
		case "could_create_keys":
			creating, err = decoded(creating, line, err)
		}
	}
	return people, creating, wrap(err, "read the people of a review")
}

func decoded[T any](list []T, line string, err error) ([]T, error) {
	var next T
	err = errors.Join(err, json.Unmarshal([]byte(line), &next))
	return append(list, next), err
}

// linesAtOnce is how many lines are read from the database at a time.
const linesAtOnce = 1000

// Export records that a review's file is taken away, and writes it.
func (s *Store) Export(ctx context.Context, by audit.Actor, review Review, to io.Writer) error {
	const ends = `SELECT head, seal FROM access_reviews WHERE workspace_id = $1 AND id = $2`
	const lines = `SELECT place, line FROM access_review_lines WHERE review_id = $1 AND place > $2 ORDER BY place LIMIT $3`
	var head, seal string
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.QueryRowxContext(ctx, ends, by.WorkspaceID, review.ID).Scan(&head, &seal); err != nil {
			return err
		}
		return audit.Record(ctx, tx, by, audit.ReviewExported, audit.Target{Kind: "review", ID: review.ID.String(), Label: review.Covers}, nil, nil)
	})
	if err != nil {
		return wrap(err, "record the export of a review")
	}
	if _, err := io.WriteString(to, head); err != nil {
		return err
	}
	for after, more := 0, true; more; {
		var rows []lineRow
		err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, lines, review.ID, after, linesAtOnce) })
		if err != nil {
			return wrap(err, "read a review's lines")
		}
		for _, row := range rows {
			if _, err := io.WriteString(to, row.Line); err != nil {
				return err
			}
			after = row.Place
		}
		more = len(rows) == linesAtOnce
	}
	_, err = io.WriteString(to, seal)
	return err
}
