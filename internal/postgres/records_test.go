package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// TestRecords: the server reads rows as they were put in.
func TestRecords(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t)
	db.Raw().MustExec(`CREATE TYPE everything AS (a uuid, b text, c text, d smallint, e integer, f bigint, g bytea, h jsonb, i timestamptz, j integer[])`)
	var oid uint32
	if err := db.Raw().Get(&oid, `SELECT 'everything'::regtype::oid`); err != nil {
		t.Fatal(err)
	}
	rows := postgres.NewRecords(postgres.UUID, postgres.Text, postgres.Text, postgres.Smallint, postgres.Integer, postgres.Bigint, postgres.Bytea,
		postgres.Jsonb, postgres.Timestamptz, postgres.Integers)
	read := func() string {
		t.Helper()
		var got string
		err := db.Maintenance().Read(t.Context(), func(tx *sqlx.Tx) error {
			return tx.Get(&got, `SELECT coalesce(string_agg(r::text, '|' ORDER BY d), 'nothing') FROM unnest($1::everything[]) AS r`, rows.Value(oid))
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	long := strings.Repeat("x", 70_000)
	for range 2 { // nothing of a former use stays
		if got := read(); got != "nothing" {
			t.Errorf("no rows = %s", got)
		}
		rows.Add()
		rows.UUID([16]byte{15: 255})
		rows.Text(`"{ü\,`)
		rows.TextOrNull("")
		rows.Int(-1)
		rows.Int(-1 << 31)
		rows.IntOrNull(-1 << 63)
		rows.Bytes([]byte{0, 255})
		rows.JSON(`{"a": "ü"}`)
		rows.Time(time.Date(1999, 12, 31, 23, 59, 59, 123456000, time.UTC))
		rows.Integers([]int32{1, -2})
		rows.Add()
		rows.UUID([16]byte{})
		rows.Text("")
		rows.TextOrNull(long)
		rows.Int(7)
		rows.IntOrNull(0)
		rows.Int(0)
		rows.Bytes(nil)
		rows.JSON("")
		rows.Time(time.Time{})
		rows.Null()
		want := `(00000000-0000-0000-0000-0000000000ff,"""{ü\\,",,-1,-2147483648,-9223372036854775808,"\\x00ff","{""a"": ""ü""}","1999-12-31 23:59:59.123456+00","{1,-2}")|` +
			`(,"",` + long + `,7,,0,,,,)`
		if got := read(); got != want || rows.Len() != 2 || rows.Size() < len(long) {
			t.Errorf("%d rows = %.300s, want %.300s", rows.Len(), got, want)
		}
		rows.Reset()
	}
}
