package instance

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// A cluster is what tells whether transactions are still counted as they were.
type cluster struct {
	Identifier string `db:"identifier"`
	Timeline   string `db:"timeline"`
}

// KeepOrder raises the epoch if the database was restored, or went back to an
// earlier state: transactions are then counted anew, and what comes must not be
// taken for what readers have had. It reports whether it did. Call it under the
// migration lock, before anything is written.
//
// That is known by the cluster's identifier, by its timeline, which each recovery
// to an earlier moment begins, and by rows that are ahead of the cluster.
func KeepOrder(ctx context.Context, db *postgres.DB) (raised bool, err error) {
	const stored = `SELECT coalesce(system_identifier, '') AS identifier, coalesce(timeline, '') AS timeline FROM instance FOR UPDATE`
	const note = `UPDATE instance SET system_identifier = nullif($1, ''), timeline = nullif($2, ''), epoch = epoch + $3`
	// Whoever has read the epoch holds the table until its transaction ends: no batch
	// of the old one comes later.
	const quiet = `LOCK TABLE instance IN ACCESS EXCLUSIVE MODE`

	err = db.InTx(ctx, func(tx *sqlx.Tx) error {
		now, err := look(ctx, tx)
		if err != nil {
			return err
		}
		var before cluster
		if err := tx.GetContext(ctx, &before, stored); err != nil {
			return err
		}
		ahead, err := rowsAhead(ctx, tx)
		if err != nil {
			return err
		}
		raised = ahead || before.Identifier != "" && now.Identifier != "" && now.Identifier != before.Identifier ||
			before.Timeline != "" && now.Timeline != "" && now.Timeline != before.Timeline
		if !raised && now == before {
			return nil
		}
		by := 0
		if raised {
			by = 1
			if _, err := tx.ExecContext(ctx, quiet); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, note, now.Identifier, now.Timeline, by)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look whether the database was restored: %w", err)
	}
	return raised, nil
}

// look asks the cluster who it is. One that does not let us know says "".
func look(ctx context.Context, tx *sqlx.Tx) (now cluster, err error) {
	for _, question := range []struct {
		answer *string
		allow  string
		query  string
	}{
		{&now.Identifier, `SELECT has_function_privilege('pg_control_system()', 'EXECUTE')`, `SELECT system_identifier::text FROM pg_control_system()`},
		{
			&now.Timeline, `SELECT has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') AND has_function_privilege('pg_current_wal_insert_lsn()', 'EXECUTE')`,
			`SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)`,
		},
	} {
		var allowed bool
		if err := tx.GetContext(ctx, &allowed, question.allow); err != nil {
			return now, err
		}
		if !allowed {
			continue
		}
		if err := tx.GetContext(ctx, question.answer, question.query); err != nil {
			return now, err
		}
	}
	return now, nil
}

// rowsAhead tells whether a signal of the present epoch is from a transaction that
// this cluster has not come to yet.
func rowsAhead(ctx context.Context, tx *sqlx.Tx) (ahead bool, err error) {
	const query = `
		SELECT coalesce(bool_or(last.commit_xid >= pg_snapshot_xmax(pg_current_snapshot())), false)
		FROM workspaces AS w CROSS JOIN LATERAL (
			SELECT s.commit_xid FROM signals AS s WHERE s.workspace_id = w.id AND s.epoch = (SELECT epoch FROM instance)
			ORDER BY s.commit_xid DESC, s.id DESC LIMIT 1) AS last`
	err = tx.GetContext(ctx, &ahead, query)
	return ahead, err
}
