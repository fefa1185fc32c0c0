package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// A note is what append_requests says of a request, a use or a workspace.
type note struct {
	Kind   string    `json:"kind"`
	Place  int       `json:"place"`  // from 1
	Signal uuid.UUID `json:"signal"` // that a duplicate repeats
	At     time.Time `json:"at"`     // when it was received
}

// A batch is what one call of append_requests writes.
type batch struct {
	records    []*record
	rows       []*record // those with a row of their own, in the order of byEvent
	workspaces []uuid.UUID
	uses       []use
	signals    int // rows that are to become signals
	watched    int // rows whose body is watched
	*rowSet
}

// newBatch turns records into rows. Those that are only counted have none, but
// their parents are asked for too.
func newBatch(records []*record) *batch {
	b := &batch{records: records, rowSet: rowSets.Get().(*rowSet)}
	used, lone := map[use]bool{}, map[uuid.UUID]bool{uuid.Nil: false}
	for _, r := range records {
		if _, seen := lone[r.WorkspaceID]; !seen {
			lone[r.WorkspaceID] = true
			b.workspaces = append(b.workspaces, r.WorkspaceID)
			b.locks.UUID(r.WorkspaceID)
		}
		if u := r.use(); u.key != uuid.Nil {
			lone[r.WorkspaceID] = false
			if !used[u] {
				used[u] = true
				b.uses = append(b.uses, u)
				b.parents.addUse(u)
			}
		}
		if !r.CountOnly {
			b.rows = append(b.rows, r)
			b.addRow(r)
		}
	}
	for _, id := range b.workspaces {
		if lone[id] {
			b.lone.UUID(id)
		}
	}
	return b
}

// addRow adds a row of arriving_request, in the order of its columns, and its body.
func (b *batch) addRow(r *record) {
	c := b.requests
	c.Add()
	c.Int(int64(len(b.rows)))
	c.UUID(r.ID)
	c.UUID(r.WorkspaceID)
	c.UUID(r.KeyID)
	c.IntOrNull(int64(r.Generation))
	c.Text(string(r.Method))
	c.Text(string(r.Arrival.Reason))
	c.Int(int64(r.Arrival.Status))
	c.Text(r.Scheme)
	c.Text(r.Endpoint)
	c.Text(r.Address)
	c.Text(r.UserAgent)
	c.Text(r.ContentType)
	c.JSON(r.Headers)
	c.Text(r.EventType)
	c.Text(r.Source)
	c.TextOrNull(r.SourceRef)
	c.Int(r.BodySize)
	if r.BodySize == int64(len(r.Body)) { // else it was not read to its end
		c.Bytes(r.sum[:])
	} else {
		c.Null()
	}
	if r.WatchBody && !r.refused() {
		b.watched++
		c.Int(r.bodyKey())
	} else {
		c.Null()
	}
	c.Time(r.Arrival.ReceivedAt)
	c.Int(r.took.Microseconds())
	if r.refused() {
		b.bodies.Null()
	} else {
		b.signals++
		b.bodies.Bytes(notNil(r.Body))
	}
}

// notNil keeps an empty body from being none.
func notNil(body []byte) []byte {
	if body == nil {
		return []byte{}
	}
	return body
}

// send writes the batch and returns what did not go as asked. If nothing in it is
// refused, its tallies go with it, and are counted unless there were duplicates.
func (b *batch) send(ctx context.Context, tx *sqlx.Tx, types *rowTypes) (notes []note, counted bool, err error) {
	const call = `SELECT append_requests($1, $2, $3, $4, $5, $6, $7, $8)`
	oids, err := types.get(ctx, tx)
	if err != nil {
		return nil, false, err
	}
	if b.signals == len(b.records) {
		b.addTallies(b.records)
	}
	var text *string
	err = tx.GetContext(ctx, &text, call, b.locks.Value(), b.lone.Value(), b.parents.Value(oids.Use), b.requests.Value(oids.Request), b.bodies.Value(),
		b.signals, b.watched, b.tallies.Value(oids.Tally))
	if err != nil {
		return nil, false, err
	}
	if text == nil {
		return nil, b.tallies.Len() > 0, nil
	}
	if err := json.Unmarshal([]byte(*text), &notes); err != nil {
		return nil, false, fmt.Errorf("read the notes: %w", err)
	}
	return notes, false, nil
}

// A rowSet is the memory that batches are encoded in, used again and again.
type rowSet struct {
	locks, lone, bodies *postgres.Array
	parents             useRows
	requests            *postgres.Records
	tallies             tallyRows
}

type useRows struct{ *postgres.Records }

func (c useRows) addUse(u use) {
	c.Add()
	c.UUID(u.key)
	c.IntOrNull(u.version)
	if u.until == 0 {
		c.Null()
	} else {
		c.Time(time.UnixMicro(u.until))
	}
}

var rowSets = sync.Pool{New: func() any {
	const id, number, text, at = postgres.UUID, postgres.Bigint, postgres.Text, postgres.Timestamptz
	return &rowSet{
		locks: postgres.NewArray(id), lone: postgres.NewArray(id), bodies: postgres.NewArray(postgres.Bytea),
		parents: useRows{postgres.NewRecords(id, number, at)},
		requests: postgres.NewRecords(postgres.Integer, id, id, id, postgres.Integer, text, text, postgres.Smallint, text, // place … scheme
			text, text, text, text, postgres.Jsonb, text, text, text, // endpoint … source_ref
			number, postgres.Bytea, number, at, number), // body_size … took_us
		tallies: tallyRows{postgres.NewRecords(id, id, at, postgres.Integer, text, text, text, // webhook_key_id … address
			number, number, number, at, at, postgres.Integers)},
	}
}}

// maxPooled is how large a set may be to be used again, in bytes.
const maxPooled = 1 << 20

func (s *rowSet) release() {
	if s.bodies.Size()+s.requests.Size() > maxPooled {
		return
	}
	for _, rows := range []interface{ Reset() }{s.locks, s.lone, s.bodies, s.parents, s.requests, s.tallies} {
		rows.Reset()
	}
	rowSets.Put(s)
}

// rowTypes are the oids of the types that rows are sent as. They are looked up
// once, and again after [rowTypes.forget].
type rowTypes struct{ known atomic.Pointer[oids] }

type oids struct {
	Use     uint32 `db:"use"`
	Request uint32 `db:"request"`
	Tally   uint32 `db:"tally"`
}

func (t *rowTypes) get(ctx context.Context, tx *sqlx.Tx) (oids, error) {
	const query = `
		SELECT 'key_use'::regtype::oid AS use, 'arriving_request'::regtype::oid AS request, 'request_tally'::regtype::oid AS tally`
	if known := t.known.Load(); known != nil {
		return *known, nil
	}
	var found oids
	if err := tx.GetContext(ctx, &found, query); err != nil {
		return oids{}, fmt.Errorf("look up the types of rows: %w", err)
	}
	t.known.Store(&found)
	return found, nil
}

func (t *rowTypes) forget() { t.known.Store(nil) }
