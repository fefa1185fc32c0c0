package postgres

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
)

// A Record reads the columns of one row, in their order, from the binary form in
// which record_send gives it (how many columns, then each one's type, length and
// value). Bytes that it returns are valid as long as what it reads is.
type Record struct {
	rest   []byte
	broken bool
}

var errRecord = errors.New("the database sent a row that is not as it should be")

// QueryRecords runs a query whose only column is a record_send(…), and calls each
// with every row, valid until each returns. A row in one value spares what the
// driver does with each column; and in a prepared statement, which ends with this
// call, it asks for the value in binary: as text a bytea is twice as long.
func QueryRecords(ctx context.Context, tx *sqlx.Tx, query string, each func(*Record) error, args ...any) error {
	statement, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close() // where it fails the connection is gone, which the transaction's next step says better
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var raw sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		r := Record{broken: len(raw) < 4}
		if !r.broken {
			r.rest = raw[4:]
		}
		if err := each(&r); err != nil {
			return err
		}
		if r.broken {
			return errRecord
		}
	}
	return rows.Err()
}

// Bytes returns the next column as it is, nil for null.
func (r *Record) Bytes() []byte {
	if len(r.rest) < 8 {
		r.broken = true
		return nil
	}
	n := int32(binary.BigEndian.Uint32(r.rest[4:]))
	r.rest = r.rest[8:]
	if n < 0 {
		return nil
	}
	if int(n) > len(r.rest) {
		r.broken = true
		return nil
	}
	value := r.rest[:n:n]
	r.rest = r.rest[n:]
	return value
}

// UUID returns the next column, the zero one for null.
func (r *Record) UUID() (id [16]byte) {
	value := r.Bytes()
	if value != nil && copy(id[:], value) != len(id) {
		r.broken = true
	}
	return id
}

// Int returns the next column, a number of any size; 0 for null.
func (r *Record) Int() int64 {
	n, _ := r.IntOrNull()
	return n
}

// IntOrNull returns the next column, a number of any size. there is false for null.
func (r *Record) IntOrNull() (n int64, there bool) {
	switch value := r.Bytes(); len(value) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(value))), true
	case 4:
		return int64(int32(binary.BigEndian.Uint32(value))), true
	case 8:
		return int64(binary.BigEndian.Uint64(value)), true
	default:
		r.broken = r.broken || value != nil
		return 0, false
	}
}

// Time returns the next column, the zero time for null.
func (r *Record) Time() time.Time {
	n, there := r.IntOrNull()
	if !there {
		return time.Time{}
	}
	return time.UnixMicro(n + epoch)
}

// JSON returns the text of the next column, a jsonb; nil for null.
func (r *Record) JSON() []byte {
	value := r.Bytes()
	if value == nil {
		return nil
	}
	if len(value) == 0 || value[0] != 1 { // the version of the form
		r.broken = true
		return nil
	}
	return value[1:]
}
