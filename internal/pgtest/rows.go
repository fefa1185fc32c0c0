package pgtest

import (
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// seen are the columns that say when somebody or something was last there. They
// move with requests that change nothing else.
const seen = `{last_seen_at,last_used_at,last_refused_at,read_at}`

// Rows says what is in each table, as a hash of all rows without the times at which
// somebody was last seen: two calls differ where something was changed in between.
// of, if it isn't "", is a condition that a row r must meet to count.
func Rows(t interface {
	Helper()
	Fatalf(string, ...any)
}, db *sqlx.DB, of string,
) map[string]string {
	t.Helper()
	const tables = `
		SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migrations'
		ORDER BY 1`
	var names []string
	if err := db.Select(&names, tables); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	var query []string
	for _, name := range names {
		part := `SELECT ` + pq.QuoteLiteral(name) + ` AS name, count(*) || ' rows ' || md5(coalesce(string_agg(h, '' ORDER BY h), '')) AS hash FROM (
			SELECT md5((r - '` + seen + `'::text[])::text) AS h FROM (SELECT to_jsonb(t) AS r FROM ` + pq.QuoteIdentifier(name) + ` AS t) AS rows`
		if of != "" {
			part += ` WHERE ` + of
		}
		query = append(query, part+`) AS hashes`)
	}
	var found []struct{ Name, Hash string }
	if err := db.Select(&found, strings.Join(query, "\nUNION ALL ")); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	rows := map[string]string{}
	for _, row := range found {
		rows[row.Name] = row.Hash
	}
	return rows
}
