package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// A Filter says which entries of a chain are wanted. Its zero value is all of them.
type Filter struct {
	From, Until time.Time // from the one on, before the other
	Kind        ActorKind
	ActorID     string // of a Kind
	Actions     []Action
	Address     string
	ID          string // of a target, a request or an actor
	Text        string // in the names of actor and target, or in what changed
}

// any reports whether f leaves something out.
func (f Filter) any() bool {
	return !f.From.IsZero() || !f.Until.IsZero() || f.Kind != "" || f.ActorID != "" || len(f.Actions) > 0 || f.Address != "" || f.ID != "" || f.Text != ""
}

// window is how many entries one look through the texts goes over: enough to find
// what is usual, and done in less than a second.
const window = 100_000

// matching is what every statement asks of an entry. An id is looked for in three
// indexes, one of which alone would not do; the texts stand behind all that an index
// answers.
const matching = `
	chain = $1 AND seq > $2 AND seq < $3
	AND ($4 = '' OR actor_kind = $4) AND ($5 = '' OR actor_id = $5) AND ($6 = '' OR address = $6)
	AND ($7 = '' OR seq = ANY (ARRAY(
		SELECT seq FROM audit_log WHERE chain = $1 AND target_id = $7 AND seq > $2 AND seq < $3
		UNION SELECT seq FROM audit_log WHERE chain = $1 AND request_id = $7 AND request_id <> '' AND seq > $2 AND seq < $3
		UNION SELECT seq FROM audit_log WHERE chain = $1 AND actor_kind = 'user' AND actor_id = $7 AND seq > $2 AND seq < $3)))
	AND ($8 = '' OR at >= $8 COLLATE "C") AND ($9 = '' OR at < $9 COLLATE "C")
	AND ($10 = '' OR target_label ILIKE $10 OR actor_label ILIKE $10 OR before ILIKE $11 OR after ILIKE $11 OR target_id ILIKE $10)`

// span are the places between two, both left out.
type span struct{ low, high int64 }

var everywhere = span{math.MinInt64, math.MaxInt64}

// arguments are those of matching.
func (f Filter) arguments(chain string, in span) []any {
	plain, quoted := "", ""
	if f.Text != "" {
		plain, quoted = likely(f.Text), likely(inJSON(f.Text))
	}
	return []any{chain, in.low, in.high, string(f.Kind), f.ActorID, f.Address, f.ID, written(f.From), written(f.Until), plain, quoted}
}

func written(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(timeFormat)
}

var notWild = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// likely is the pattern of texts that hold text.
func likely(text string) string { return "%" + notWild.Replace(text) + "%" }

// inJSON is text as it stands in a member's value.
func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return strings.Trim(string(quoted), `"`)
}

// find returns up to limit entries inside, in the order of their places or the
// other way round. Of several actions each is looked for by itself, so that a rare
// one is found as quickly as a common one.
func (f Filter) find(ctx context.Context, tx *sqlx.Tx, chain string, in span, newest bool, limit int) (entries []Entry, err error) {
	order := " ORDER BY seq "
	if newest {
		order += "DESC "
	}
	arguments := append(f.arguments(chain, in), limit)
	if len(f.Actions) == 0 {
		const query = `SELECT ` + columns + ` FROM audit_log WHERE ` + matching
		err = tx.SelectContext(ctx, &entries, query+order+`LIMIT $12`, arguments...)
		return entries, err
	}
	const query = `
		SELECT ` + columns + ` FROM jsonb_array_elements_text($13::jsonb) AS wanted (name)
		CROSS JOIN LATERAL (SELECT ` + columns + ` FROM audit_log WHERE action = wanted.name AND ` + matching
	actions, err := json.Marshal(f.Actions)
	if err != nil {
		return nil, err
	}
	err = tx.SelectContext(ctx, &entries, query+order+`LIMIT $12) AS found`+order+`LIMIT $12`, append(arguments, string(actions))...)
	return entries, err
}

// disorder is by how many places the order of moments may differ from that of
// places: a moment is taken before the place is.
const disorder = 10_000

// within returns the places among which all entries of f's time are.
func (f Filter) within(ctx context.Context, tx *sqlx.Tx, chain string) (span, error) {
	const first = `SELECT seq FROM audit_log WHERE chain = $1 AND at COLLATE "C" >= $2 ORDER BY at COLLATE "C", seq LIMIT 1`
	const last = `SELECT seq FROM audit_log WHERE chain = $1 AND at COLLATE "C" < $2 ORDER BY at COLLATE "C" DESC, seq DESC LIMIT 1`
	in := everywhere
	for _, end := range []struct {
		at    time.Time
		query string
		place *int64
		by    int64
	}{{f.From, first, &in.low, -disorder - 1}, {f.Until, last, &in.high, disorder + 1}} {
		if end.at.IsZero() {
			continue
		}
		var seq int64
		err := tx.GetContext(ctx, &seq, end.query, chain, written(end.at))
		if errors.Is(err, sql.ErrNoRows) {
			return span{}, nil
		}
		if err != nil {
			return in, err
		}
		if moved := seq + end.by; (moved > seq) == (end.by > 0) {
			*end.place = moved
		}
	}
	return in, nil
}

// lastOf returns the greatest place of a chain; 0: it is empty.
func lastOf(ctx context.Context, tx *sqlx.Tx, chain string) (last int64, err error) {
	const query = `SELECT coalesce(max(seq), 0) FROM audit_log WHERE chain = $1`
	err = tx.GetContext(ctx, &last, query, chain)
	return last, err
}
