package inbox

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// A note is what append_requests says of a request, a use or a workspace.
type note struct {
	Kind       string     `db:"kind"`
	Place      int        `db:"place"` // from 1
	SignalID   *uuid.UUID `db:"signal_id"`
	ReceivedAt *time.Time `db:"received_at"`
}

// A batch is what one call of append_requests writes.
type batch struct {
	rows       []*record // with a row of their own, in the order of byEvent
	workspaces []uuid.UUID
	uses       []use
	columns    *columnSet
}

// appendCall has a parameter for each column of appendColumns.
var appendCall = `SELECT kind, place, signal_id, received_at FROM append_requests(` + placeholders(len(appendColumns)) + `)`

var appendColumns = []postgres.ElementType{
	postgres.UUID, postgres.UUID, postgres.Bigint, postgres.Timestamptz, // workspaces, uses
	postgres.UUID, postgres.UUID, postgres.UUID, postgres.Integer, postgres.Text, postgres.Text, // id … reason
	postgres.Smallint, postgres.Text, postgres.Text, postgres.Text, postgres.Text, postgres.Text, // status … content type
	postgres.Text, postgres.Text, postgres.Text, postgres.Text, postgres.Bytea, postgres.Bigint, // headers … body size
	postgres.Bytea, postgres.Bigint, postgres.Timestamptz, postgres.Bigint, // sum … took
}

// newBatch turns records into columns. Those that are only counted have no row,
// but their parents are asked for too.
func newBatch(records []*record) *batch {
	b := &batch{columns: appendSets.get()}
	seen, used := map[uuid.UUID]bool{uuid.Nil: true}, map[use]bool{}
	for _, r := range records {
		if !seen[r.WorkspaceID] {
			seen[r.WorkspaceID] = true
			b.workspaces = append(b.workspaces, r.WorkspaceID)
		}
		if u := r.use(); u.key != uuid.Nil && !used[u] {
			used[u] = true
			b.uses = append(b.uses, u)
		}
		if !r.CountOnly {
			b.rows = append(b.rows, r)
		}
	}
	b.addParents()
	for _, r := range b.rows {
		b.addRow(r)
	}
	return b
}

func (b *batch) addParents() {
	c := b.columns.arrays
	for _, id := range b.workspaces {
		c[0].UUID(id)
	}
	for _, u := range b.uses {
		c[1].UUID(u.key)
		if u.version == 0 {
			c[2].Null()
		} else {
			c[2].Int(u.version)
		}
		if u.until == 0 {
			c[3].Null()
		} else {
			c[3].Time(time.UnixMicro(u.until))
		}
	}
}

// addRow adds a row to each column, in their order.
func (b *batch) addRow(r *record) {
	c := b.columns.arrays[4:]
	c[0].UUID(r.ID)
	c[1].UUID(r.WorkspaceID)
	c[2].UUID(r.KeyID)
	intOrNull(c[3], int64(r.Generation))
	c[4].Text(string(r.Method))
	c[5].Text(string(r.Arrival.Reason))
	c[6].Int(int64(r.Arrival.Status))
	c[7].Text(r.Scheme)
	c[8].Text(r.Endpoint)
	c[9].Text(r.Address)
	c[10].Text(r.UserAgent)
	c[11].Text(r.ContentType)
	if r.Headers == "" {
		c[12].Text("{}")
	} else {
		c[12].Text(r.Headers)
	}
	c[13].Text(r.EventType)
	c[14].Text(r.Source)
	textOrNull(c[15], r.SourceRef)
	if r.refused() {
		c[16].Null()
	} else {
		c[16].Bytes(notNil(r.Body))
	}
	c[17].Int(r.BodySize)
	if r.BodySize == int64(len(r.Body)) { // else it was not read to its end
		c[18].Bytes(r.sum[:])
	} else {
		c[18].Null()
	}
	if r.WatchBody && !r.refused() {
		c[19].Int(r.bodyKey())
	} else {
		c[19].Null()
	}
	c[20].Time(r.Arrival.ReceivedAt)
	c[21].Int(r.took.Microseconds())
}

func intOrNull(a *postgres.Array, n int64) {
	if n == 0 {
		a.Null()
		return
	}
	a.Int(n)
}

func textOrNull(a *postgres.Array, text string) {
	if text == "" {
		a.Null()
		return
	}
	a.Text(text)
}

// notNil keeps an empty body from being none.
func notNil(body []byte) []byte {
	if body == nil {
		return []byte{}
	}
	return body
}

// send writes the batch and returns what did not go as asked.
func (b *batch) send(ctx context.Context, tx *sqlx.Tx) ([]note, error) {
	var notes []note
	err := tx.SelectContext(ctx, &notes, appendCall, b.columns.values()...)
	return notes, err
}

func (b *batch) release() { appendSets.put(b.columns) }

// A columnSet is a set of arrays whose memory is used again.
type columnSet struct {
	arrays []*postgres.Array
	args   []any
}

func (s *columnSet) values() []any {
	for i, a := range s.arrays {
		s.args[i] = a.Value()
	}
	return s.args
}

// maxPooled is how large a set may be to be used again, in bytes.
const maxPooled = 4 << 20

type setPool struct {
	types []postgres.ElementType
	pool  sync.Pool
}

var appendSets = setPool{types: appendColumns}

func (p *setPool) get() *columnSet {
	if s, ok := p.pool.Get().(*columnSet); ok {
		return s
	}
	s := &columnSet{args: make([]any, len(p.types))}
	for _, kind := range p.types {
		s.arrays = append(s.arrays, postgres.NewArray(kind))
	}
	return s
}

func (p *setPool) put(s *columnSet) {
	size := 0
	for _, a := range s.arrays {
		size += len(a.Value())
		a.Reset()
	}
	if size <= maxPooled {
		clear(s.args)
		p.pool.Put(s)
	}
}

// placeholders returns "$1, $2, …".
func placeholders(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "$" + strconv.Itoa(i+1)
	}
	return strings.Join(names, ", ")
}
