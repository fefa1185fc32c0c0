package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// TestArray: the server reads what was put in.
func TestArray(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t).Maintenance()
	at := time.Date(1999, 12, 31, 23, 59, 59, 123456000, time.UTC)
	fill := func(kind postgres.ElementType, add func(a *postgres.Array)) *postgres.Array {
		a := postgres.NewArray(kind)
		add(a)
		a.Reset() // nothing of a former use stays
		add(a)
		return a
	}
	for _, tt := range []struct {
		typeName, want string
		array          *postgres.Array
	}{
		{"text[]", `{a,NULL,"","\"{ü\\"}`, fill(postgres.Text, func(a *postgres.Array) { a.Text("a"); a.Null(); a.Text(""); a.Text(`"{ü\`) })},
		{"bytea[]", `{"\\x00ff",NULL,"\\x"}`, fill(postgres.Bytea, func(a *postgres.Array) { a.Bytes([]byte{0, 255}); a.Bytes(nil); a.Bytes([]byte{}) })},
		{"smallint[]", `{-1,32767}`, fill(postgres.Smallint, func(a *postgres.Array) { a.Int(-1); a.Int(32767) })},
		{"integer[]", `{-2147483648,7}`, fill(postgres.Integer, func(a *postgres.Array) { a.Int(-1 << 31); a.Int(7) })},
		{"bigint[]", `{-9223372036854775808,NULL}`, fill(postgres.Bigint, func(a *postgres.Array) { a.Int(-1 << 63); a.Null() })},
		{"timestamptz[]", `{"1999-12-31 23:59:59.123456+00",NULL}`, fill(postgres.Timestamptz, func(a *postgres.Array) { a.Time(at); a.Time(time.Time{}) })},
		{"uuid[]", `{00000000-0000-0000-0000-0000000000ff,NULL}`, fill(postgres.UUID, func(a *postgres.Array) { a.UUID([16]byte{15: 255}); a.UUID([16]byte{}) })},
		{"uuid[]", `{}`, fill(postgres.UUID, func(*postgres.Array) {})},
		{"text[]", strings.Join([]string{"{", "}"}, strings.Repeat("x", 100_000)), fill(postgres.Text, func(a *postgres.Array) { a.Text(strings.Repeat("x", 100_000)) })},
	} {
		var got string
		err := db.Read(t.Context(), func(tx *sqlx.Tx) error { return tx.Get(&got, "SELECT ($1::"+tt.typeName+")::text", tt.array.Value()) })
		if err != nil || got != tt.want {
			t.Errorf("%s of %d = %.100s, %v; want %.100s", tt.typeName, tt.array.Len(), got, err, tt.want)
		}
	}
}
