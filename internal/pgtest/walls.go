package pgtest

import "github.com/jmoiron/sqlx"

// DropWalls takes the row-level security off every table of a test's database, and
// reports how many there were.
func DropWalls(db *sqlx.DB) int {
	const walled = `SELECT oid::regclass::text FROM pg_class WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace`
	var names []string
	if err := db.Select(&names, walled); err != nil {
		panic(err)
	}
	for _, name := range names {
		db.MustExec(`ALTER TABLE ` + name + ` DISABLE ROW LEVEL SECURITY`)
	}
	return len(names)
}
