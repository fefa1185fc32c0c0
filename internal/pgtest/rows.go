package pgtest

import (
	"strings"

	"github.com/lib/pq"
)

// seen are the columns that say when somebody or something was last there. They
// move with requests that change nothing else.
const seen = `{last_seen_at,last_used_at,last_refused_at,read_at}`

// Watch returns what says what is in each table, as a hash of all rows without the times
// at which somebody was last seen: two calls differ where something was changed in
// between.
func (d *Database) Watch() func() map[string]string {
	d.t.Helper()
	const tables = `
		SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migrations'
		ORDER BY 1`
	var names, query []string
	if err := d.Raw().Select(&names, tables); err != nil {
		d.t.Fatalf("pgtest: %v", err)
	}
	for _, name := range names {
		query = append(query, `SELECT `+pq.QuoteLiteral(name)+` AS name, count(*) || ' rows ' || md5(coalesce(string_agg(h, '' ORDER BY h), '')) AS hash FROM (
			SELECT md5((to_jsonb(t) - '`+seen+`'::text[])::text) AS h FROM `+pq.QuoteIdentifier(name)+` AS t) AS hashes`)
	}
	// To plan it takes four times as long as to run it.
	statement, err := d.Raw().Preparex(strings.Join(query, "\nUNION ALL "))
	if err != nil {
		d.t.Fatalf("pgtest: %v", err)
	}
	d.t.Cleanup(func() { statement.Close() })
	return func() map[string]string {
		d.t.Helper()
		var found []struct{ Name, Hash string }
		if err := statement.Select(&found); err != nil {
			d.t.Fatalf("pgtest: %v", err)
		}
		rows := map[string]string{}
		for _, row := range found {
			rows[row.Name] = row.Hash
		}
		return rows
	}
}
