package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// A Limit is what the log keeps of a key's requests once no signal needs more.
type Limit string

// The limits.
const (
	KeepsAll     Limit = "full"
	KeepsHeaders Limit = "headers" // and the body's hash
	KeepsNothing Limit = "nothing" // that was sent: no body, no header, no hash
)

// cuts are deliveries without a signal by what is taken from them.
type cuts struct {
	rows, bare, headless, bodies []uuid.UUID
}

// add says what a delivery loses that no signal needs any more.
func (c *cuts) add(id uuid.UUID, limit Limit, now time.Time, rule Rule) {
	switch at := timeOf(id); {
	case at.Before(weekOf(now.Add(-rule.Log))):
		c.rows = append(c.rows, id)
	case limit == KeepsNothing:
		c.bare = append(c.bare, id)
	case at.Before(now.Add(-rule.Payloads)):
		c.headless = append(c.headless, id)
	case limit == KeepsHeaders:
		c.bodies = append(c.bodies, id)
	}
}

// timeOf is the moment in a UUIDv7, in milliseconds as uuid_floor has them.
func timeOf(id uuid.UUID) time.Time {
	var millis int64
	for _, b := range id[:6] {
		millis = millis<<8 | int64(b)
	}
	return time.UnixMilli(millis)
}

// weekOf is the beginning of a moment's week, which is a partition's.
func weekOf(at time.Time) time.Time {
	at = at.UTC().Truncate(24 * time.Hour)
	return at.AddDate(0, 0, -(int(at.Weekday())+6)%7)
}

func (c *cuts) apply(ctx context.Context, tx *sqlx.Tx) error {
	const bare = `UPDATE deliveries SET body = NULL, headers = '{}', body_sha256 = NULL WHERE id = ANY ($1)
		AND (body IS NOT NULL OR headers <> '{}' OR body_sha256 IS NOT NULL)`
	const headless = `UPDATE deliveries SET body = NULL, headers = '{}' WHERE id = ANY ($1) AND (body IS NOT NULL OR headers <> '{}')`
	const bodies = `UPDATE deliveries SET body = NULL WHERE id = ANY ($1) AND body IS NOT NULL`
	const refused = `DELETE FROM refused_requests WHERE delivery_id = ANY ($1)`
	for _, step := range []struct {
		statement string
		ids       []uuid.UUID
	}{{bare, c.bare}, {headless, c.headless}, {bodies, c.bodies}, {refused, c.bare}, {refused, c.headless}, {refused, c.bodies}, {refused, c.rows}, {removeRows, c.rows}} {
		if len(step.ids) == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, step.statement, pq.Array(step.ids)); err != nil {
			return fmt.Errorf("take from deliveries: %w", err)
		}
	}
	return nil
}

// removeRows deletes deliveries, and says in the counts that their rows are not
// kept, so that rows and counts still agree. What is known of equal bodies goes too.
const removeRows = `
	WITH gone AS (
		DELETE FROM deliveries WHERE id = ANY ($1)
		RETURNING id, workspace_id, webhook_key_id, date_trunc('hour', received_at, 'UTC') AS hour, coalesce(credential_generation, 0) AS generation,
			outcome, reason, body_sha256
	), firsts AS (
		DELETE FROM first_bodies AS f USING gone AS g
		WHERE f.body_key = ('x' || encode(substr(sha256(uuid_send(g.webhook_key_id) || g.body_sha256), 1, 8), 'hex'))::bit(64)::bigint AND f.delivery_id = g.id
	), ` + countGone

// countGone is the part of a statement that has the deleted rows as "gone".
const countGone = `strays AS (
		UPDATE stray_counts AS c SET not_kept = least(c.requests, c.not_kept + g.n)
		FROM (SELECT hour, reason, count(*) AS n FROM gone WHERE workspace_id IS NULL GROUP BY hour, reason) AS g
		WHERE (c.hour, c.reason) = (g.hour, g.reason)
	)
	UPDATE delivery_counts AS c SET not_kept = least(c.requests, c.not_kept + g.n)
	FROM (SELECT webhook_key_id, hour, generation, outcome, reason, count(*) AS n FROM gone WHERE webhook_key_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5) AS g
	WHERE (c.webhook_key_id, c.hour, c.credential_generation, c.outcome, c.reason) = (g.webhook_key_id, g.hour, g.generation, g.outcome, g.reason)`

// A floor is how far the upkeep of a workspace has come.
type floor struct {
	Position
	Payloads uuid.UUID `db:"payloads_until"`
	Rows     uuid.UUID `db:"rows_until"`
}

// lockFloor lets a change of the rules and the upkeep take turns: what is read
// after it is what the change left.
func lockFloor(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID) (f floor, err error) {
	const add = `INSERT INTO signal_floors (workspace_id) VALUES ($1) ON CONFLICT DO NOTHING`
	const lock = `
		SELECT limited_epoch AS epoch, limited_xid AS commit_xid, limited_id AS signal_id, payloads_until, rows_until
		FROM signal_floors WHERE workspace_id = $1 FOR NO KEY UPDATE`
	err = tx.GetContext(ctx, &f, lock, workspace)
	if !errors.Is(err, sql.ErrNoRows) {
		return f, err
	}
	if _, err := tx.ExecContext(ctx, add, workspace); err != nil {
		return floor{}, err
	}
	return f, tx.GetContext(ctx, &f, lock, workspace)
}

// limitRead takes the bodies of signals that every reader has read, where their
// keys' limit says so. Their hash stays with the signal: a repetition is compared
// with it.
func limitRead(ctx context.Context, tx *sqlx.Tx, _ time.Time, rule Rule) (more bool, err error) {
	const limited = `SELECT EXISTS (SELECT FROM webhook_keys WHERE workspace_id = $1 AND log <> 'full')`
	const query = `
		SELECT s.epoch, s.commit_xid, s.id AS signal_id, false AS unread, coalesce(k.log, 'full') AS log FROM (
			SELECT s.epoch, s.commit_xid, s.id, s.webhook_key_id FROM signals AS s
			WHERE s.workspace_id = $1 AND (s.epoch, s.commit_xid, s.id) > ((SELECT $2::integer), (SELECT $3::xid8), (SELECT $4::uuid))
				AND (s.epoch, s.commit_xid, s.id) <= ((SELECT $5::integer), (SELECT $6::xid8), (SELECT $7::uuid)) AND ` + ended + `
			ORDER BY s.epoch, s.commit_xid, s.id LIMIT $8) AS s
		LEFT JOIN webhook_keys AS k ON k.id = s.webhook_key_id
		ORDER BY s.epoch, s.commit_xid, s.id`
	const note = `UPDATE signal_floors SET limited_epoch = $2, limited_xid = $3, limited_id = $4 WHERE workspace_id = $1`
	f, err := lockFloor(ctx, tx, rule.Workspace)
	if err != nil {
		return false, err
	}
	var any bool
	if err := tx.GetContext(ctx, &any, limited, rule.Workspace); err != nil || !any {
		return false, err
	}
	slowest, held, err := slowestOf(ctx, tx, rule)
	if err != nil || !held {
		return false, err
	}
	epoch, xid, id := f.args()
	toEpoch, toXID, toID := slowest.args()
	var read []doomed
	if err := tx.SelectContext(ctx, &read, query, rule.Workspace, epoch, xid, id, toEpoch, toXID, toID, forgetAtOnce); err != nil || len(read) == 0 {
		return false, err
	}
	var cut cuts
	for _, d := range read {
		switch d.Log {
		case KeepsHeaders:
			cut.bodies = append(cut.bodies, d.ID)
		case KeepsNothing:
			cut.headless = append(cut.headless, d.ID)
		}
	}
	if err := cut.apply(ctx, tx); err != nil {
		return false, err
	}
	epoch, xid, id = read[len(read)-1].args()
	_, err = tx.ExecContext(ctx, note, rule.Workspace, epoch, xid, id)
	return len(read) == forgetAtOnce, err
}

// A logged is a delivery in the walk through a log.
type logged struct {
	ID     uuid.UUID `db:"id"`
	Needed bool      `db:"needed"` // its signal is kept
	Log    Limit     `db:"log"`
}

// limitEarlier goes once through what a key received before its limit was set.
func limitEarlier(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule) (more bool, err error) {
	const next = `
		SELECT w.webhook_key_id, w.swept_until, k.log FROM log_sweeps AS w JOIN webhook_keys AS k ON k.id = w.webhook_key_id
		WHERE w.workspace_id = $1 ORDER BY w.webhook_key_id LIMIT 1 FOR UPDATE OF w`
	const query = `
		SELECT d.id, EXISTS (SELECT FROM signals AS s WHERE s.id = d.id) AS needed FROM deliveries AS d
		WHERE d.webhook_key_id = $1 AND d.id > $2 ORDER BY d.id LIMIT $3`
	const note = `UPDATE log_sweeps SET swept_until = $2 WHERE webhook_key_id = $1`
	const end = `DELETE FROM log_sweeps WHERE webhook_key_id = $1`
	var sweep struct {
		Key   uuid.UUID `db:"webhook_key_id"`
		Until uuid.UUID `db:"swept_until"`
		Log   Limit     `db:"log"`
	}
	err = tx.GetContext(ctx, &sweep, next, rule.Workspace)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var rows []logged
	if err := tx.SelectContext(ctx, &rows, query, sweep.Key, sweep.Until, forgetAtOnce); err != nil {
		return false, err
	}
	var cut cuts
	for _, row := range rows {
		if !row.Needed {
			cut.add(row.ID, sweep.Log, now, rule)
		}
	}
	if err := cut.apply(ctx, tx); err != nil {
		return false, err
	}
	if len(rows) < forgetAtOnce {
		_, err = tx.ExecContext(ctx, end, sweep.Key)
	} else {
		_, err = tx.ExecContext(ctx, note, sweep.Key, rows[len(rows)-1].ID)
	}
	return true, err
}

// forgetPayloads takes bodies and headers that are past their time, and forgetRows
// whole deliveries of past weeks. What a signal needs is passed over: it goes with it.
func forgetPayloads(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule) (more bool, err error) {
	const query = `
		SELECT d.id, EXISTS (SELECT FROM signals AS s WHERE s.id = d.id) AS needed, coalesce(k.log, 'full') AS log
		FROM deliveries AS d LEFT JOIN webhook_keys AS k ON k.id = d.webhook_key_id
		WHERE d.workspace_id = $1 AND d.id > $2 AND d.id < $3 ORDER BY d.id LIMIT $4`
	const note = `UPDATE signal_floors SET payloads_until = $2 WHERE workspace_id = $1`
	f, err := lockFloor(ctx, tx, rule.Workspace)
	if err != nil {
		return false, err
	}
	return walk(ctx, tx, query, note, f.Payloads, now.Add(-rule.Payloads), now, rule)
}

func forgetRows(ctx context.Context, tx *sqlx.Tx, now time.Time, rule Rule) (more bool, err error) {
	const query = `
		SELECT d.id, EXISTS (SELECT FROM signals AS s WHERE s.id = d.id) AS needed, 'full' AS log FROM deliveries AS d
		WHERE d.workspace_id = $1 AND d.id > $2 AND d.id < $3 ORDER BY d.id LIMIT $4`
	const note = `UPDATE signal_floors SET rows_until = $2 WHERE workspace_id = $1`
	f, err := lockFloor(ctx, tx, rule.Workspace)
	if err != nil {
		return false, err
	}
	return walk(ctx, tx, query, note, f.Rows, weekOf(now.Add(-rule.Log)), now, rule)
}

// walk goes on through a workspace's log up to a moment.
func walk(ctx context.Context, tx *sqlx.Tx, query, note string, from uuid.UUID, before, now time.Time, rule Rule) (more bool, err error) {
	last := floorOf(before)
	if string(from[:]) >= string(last[:]) {
		return false, nil
	}
	var rows []logged
	if err := tx.SelectContext(ctx, &rows, query, rule.Workspace, from, last, forgetAtOnce); err != nil {
		return false, err
	}
	var cut cuts
	for _, row := range rows {
		if !row.Needed {
			cut.add(row.ID, row.Log, now, rule)
		}
	}
	if err := cut.apply(ctx, tx); err != nil {
		return false, err
	}
	if more = len(rows) == forgetAtOnce; more {
		last = rows[len(rows)-1].ID
	}
	_, err = tx.ExecContext(ctx, note, rule.Workspace, last)
	return more, err
}
