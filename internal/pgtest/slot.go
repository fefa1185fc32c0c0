package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/postgres"
)

// A slot is a database that tests have one after the other, with the connections to
// it: to start PostgreSQL's processes costs more than most tests ask of them. What one
// test left is gone before the next one comes; a database in which more than rows
// changed, or that has grown, is nobody's any more.
type slot struct {
	name     string
	raw      *sqlx.DB
	pools    map[string][]*postgres.DB // by what they are for
	pristine string                    // what its schema was when it was made
	seed     []string                  // puts back the rows that the schema comes with
	tables   []string
}

var free struct {
	sync.Mutex
	slots []*slot
}

// takeSlot returns an empty database with Keyhook's schema.
func takeSlot() (*slot, error) {
	free.Lock()
	if last := len(free.slots) - 1; last >= 0 {
		s := free.slots[last]
		free.slots = free.slots[:last]
		free.Unlock()
		return s, nil
	}
	free.Unlock()
	original, err := template()
	if err != nil {
		return nil, err
	}
	s := &slot{name: newName(), pools: map[string][]*postgres.DB{}}
	if err := copyOf(s.name, original); err != nil {
		return nil, err
	}
	if s.raw, err = connect(urlOf(s.name)); err != nil {
		return nil, err
	}
	return s, s.remember()
}

// giveBack cleans a slot up for the next test, or drops it if that can't be done.
func (s *slot) giveBack() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if !s.left(ctx) {
		return s.drop()
	}
	if err := s.clean(ctx); err != nil {
		if dropped := s.drop(); dropped != nil || errors.Is(err, errChanged) {
			return dropped
		}
		return err
	}
	free.Lock()
	defer free.Unlock()
	free.slots = append(free.slots, s)
	return nil
}

func (s *slot) drop() error {
	for _, pools := range s.pools {
		for _, pool := range pools {
			pool.Close()
		}
	}
	s.raw.Close()
	return drop(s.name)
}

var errChanged = errors.New("more than rows was changed")

const listTables = `
	SELECT c.relname FROM pg_class AS c
	WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> 'schema_migrations'`

// remember notes what the database must be like for the next test.
func (s *slot) remember() (err error) {
	if s.pristine, err = s.schema(context.Background()); err != nil {
		return err
	}
	if err := s.raw.Select(&s.tables, listTables); err != nil {
		return err
	}
	full, err := s.full(context.Background())
	for _, table := range full {
		var rows string
		if err := s.raw.Get(&rows, `SELECT json_agg(t) FROM `+pq.QuoteIdentifier(table)+` AS t`); err != nil {
			return err
		}
		s.seed = append(s.seed, fmt.Sprintf(`INSERT INTO %[1]s SELECT * FROM json_populate_recordset(NULL::%[1]s, %[2]s)`, pq.QuoteIdentifier(table), pq.QuoteLiteral(rows)))
	}
	return err
}

// full lists the tables that have rows.
func (s *slot) full(ctx context.Context) (names []string, err error) {
	var parts []string
	for _, table := range s.tables {
		parts = append(parts, fmt.Sprintf(`SELECT %s AS name WHERE EXISTS (SELECT FROM %s)`, pq.QuoteLiteral(table), pq.QuoteIdentifier(table)))
	}
	return names, s.raw.SelectContext(ctx, &names, strings.Join(parts, ` UNION ALL `))
}

// left waits until nobody but the slot's pools is connected to its database, and
// reports whether that came true: a test that left something at work has the database
// for good. What rests at that moment is not seen.
func (s *slot) left(ctx context.Context) bool {
	for range 150 {
		own, busy := s.raw.Stats().OpenConnections, s.raw.Stats().InUse
		for _, pools := range s.pools {
			for _, pool := range pools {
				own, busy = own+pool.Stats().OpenConnections, busy+pool.Stats().InUse
			}
		}
		var there int
		err := s.raw.GetContext(ctx, &there, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'`)
		if err != nil {
			return false
		}
		if busy == 0 && there == own {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// clean takes out what a test left. It fails if that is more than rows.
func (s *slot) clean(ctx context.Context) error {
	// Of the raw pool one connection is kept, without the settings that a test gave it.
	s.raw.SetMaxIdleConns(1)
	defer allow(s.raw)
	if _, err := s.raw.ExecContext(ctx, `DISCARD ALL`); err != nil {
		return err
	}
	schema, err := s.schema(ctx)
	if err != nil {
		return err
	}
	if schema != s.pristine {
		return errChanged
	}
	full, err := s.full(ctx)
	if err != nil {
		return err
	}
	statements := []string{`BEGIN`, `SET LOCAL session_replication_role = replica`} // no triggers
	for _, table := range full {
		statements = append(statements, `DELETE FROM `+pq.QuoteIdentifier(table))
	}
	statements = append(append(statements, s.seed...), `COMMIT`)
	_, err = s.raw.ExecContext(ctx, strings.Join(statements, "; "))
	return err
}

// schema is a digest of what tests may change beside rows: of relations, columns,
// constraints, triggers, functions, types, policies and settings, of what the planner was
// told of the tables, and of their size in steps of a MiB. Roles are the cluster's.
func (s *slot) schema(ctx context.Context) (digest string, err error) {
	const query = `
		SELECT md5(string_agg(part, ',')) FROM (
			SELECT 'class ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin, relpages, reltuples, relallvisible), 0)) FROM pg_class WHERE oid >= 16384
			UNION ALL SELECT 'attribute ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', attrelid, attnum, xmin), 0)) FROM pg_attribute WHERE attrelid >= 16384
			UNION ALL SELECT 'constraint ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin), 0)) FROM pg_constraint WHERE oid >= 16384
			UNION ALL SELECT 'trigger ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin), 0)) FROM pg_trigger WHERE oid >= 16384
			UNION ALL SELECT 'function ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin), 0)) FROM pg_proc WHERE oid >= 16384
			UNION ALL SELECT 'type ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin), 0)) FROM pg_type WHERE oid >= 16384
			UNION ALL SELECT 'policy ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin), 0)) FROM pg_policy
			UNION ALL SELECT 'namespace ' || count(*) || ' ' || sum(hashtextextended(concat_ws(' ', oid, xmin), 0)) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
			UNION ALL SELECT 'extended ' || count(*) FROM pg_statistic_ext
			UNION ALL SELECT 'statistic ' || count(*) FROM pg_statistic WHERE starelid >= 16384
			UNION ALL SELECT 'setting ' || count(*) FROM pg_db_role_setting WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
			UNION ALL SELECT 'version ' || count(*) || max(id) FROM schema_migrations
			UNION ALL SELECT 'MiB ' || sum(pg_relation_size(oid) / (1 << 20)) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't')
		) AS parts (part)`
	return digest, s.raw.GetContext(ctx, &digest, query)
}

// pool returns the test's next pool for a purpose; seen counts those it has.
func (s *slot) pool(key string, seen int, open func() (*postgres.DB, error)) (*postgres.DB, error) {
	pools := s.pools[key]
	if seen < len(pools) {
		// One that the test before closed, or whose connections it cut, is of no use.
		if pools[seen].Read(context.Background(), func(*sqlx.Tx) error { return nil }) == nil {
			return pools[seen], nil
		}
		pools[seen].Close()
	}
	pool, err := open()
	if err != nil {
		return nil, err
	}
	if seen < len(pools) {
		pools[seen] = pool
	} else {
		s.pools[key] = append(pools, pool)
	}
	return pool, nil
}
