package postgres_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// TestQueryRecords: rows are read as the server has them; one that is not what its
// reader takes it for is an error, and the transaction goes on after all of them.
func TestQueryRecords(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t)
	long := strings.Repeat("x", 70_000)
	const query = `
		SELECT record_send(ROW('00000000-0000-0000-0000-0000000000ff'::uuid, 'ü'::text, (-7)::smallint, (-70000)::integer, (-1)::bigint, '18446744073709551615'::xid8,
			timestamptz '1999-12-31 23:59:59.123456+00', '{"a": "ü"}'::jsonb, '\x00ff'::bytea, repeat('x', $1), ''::bytea))
		UNION ALL SELECT record_send(ROW(null::uuid, null::text, null::smallint, null::integer, null::bigint, null::xid8,
			null::timestamptz, null::jsonb, null::bytea, null::text, null::bytea))`
	var got []string
	read := func(r *postgres.Record) error {
		id := r.UUID()
		got = append(got, fmt.Sprintf("%x %q %d %d %d %d %s %s %x %d %v", id[15:], r.Bytes(), r.Int(), r.Int(), r.Int(), uint64(r.Int()),
			r.Time().UTC().Format("2006-01-02 15:04:05.999999"), r.JSON(), r.Bytes(), len(r.Bytes()), r.Bytes() == nil))
		return nil
	}
	err := db.Maintenance().Read(t.Context(), func(tx *sqlx.Tx) error {
		for range 2 {
			if err := postgres.QueryRecords(t.Context(), tx, query, read, len(long)); err != nil {
				return err
			}
		}
		return nil
	})
	first := `ff "ü" -7 -70000 -1 18446744073709551615 1999-12-31 23:59:59.123456 {"a": "ü"} 00ff 70000 false`
	second := `00 "" 0 0 0 0 0001-01-01 00:00:00  ` + ` 0 true`
	if want := []string{first, second, first, second}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows = %.400q, %v, want %q", got, err, want)
	}
	for name, read := range map[string]func(*postgres.Record){
		"a column too many": func(r *postgres.Record) { _, _ = r.Int(), r.Int() },
		"a short id":        func(r *postgres.Record) { _ = r.UUID() },
		"no JSON":           func(r *postgres.Record) { _ = r.JSON() },
	} {
		err := db.Maintenance().Read(t.Context(), func(tx *sqlx.Tx) error {
			return postgres.QueryRecords(t.Context(), tx, `SELECT record_send(ROW(12345))`, func(r *postgres.Record) error { read(r); return nil })
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	err = db.Maintenance().Read(t.Context(), func(tx *sqlx.Tx) error {
		return postgres.QueryRecords(t.Context(), tx, `SELECT 'abc'::bytea`, func(r *postgres.Record) error {
			if b := r.Bytes(); !bytes.Equal(b, nil) {
				t.Errorf("what is no record has the column %q", b)
			}
			return nil
		})
	})
	if err == nil {
		t.Error("what is no record is no error")
	}
}
