package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// A Lone is what one client alone waits for, beside a bare commit of one row with
// the same body, by the same driver.
type Lone struct {
	Requests int     `json:"requests"`
	Ingest   float64 `json:"ingest_p50_ms"`
	Commit   float64 `json:"commit_p50_ms"`
	Ratio    float64 `json:"ratio"`
}

// MeasureLone sends requests one at a time and commits a row after each.
func MeasureLone(ctx context.Context, target Target, db *postgres.DB, requests int) (Lone, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	var posts, commits []time.Duration
	for i := range requests + requests/10 {
		began := time.Now()
		if err := post(ctx, client, target); err != nil {
			return Lone{}, err
		}
		between := time.Now()
		if err := commitRow(ctx, db); err != nil {
			return Lone{}, err
		}
		if i >= requests/10 { // the first ones warm up
			posts, commits = append(posts, between.Sub(began)), append(commits, time.Since(between))
		}
	}
	slices.Sort(posts)
	slices.Sort(commits)
	l := Lone{Requests: requests, Ingest: ms(posts[len(posts)/2]), Commit: ms(commits[len(commits)/2])}
	l.Ratio = l.Ingest / l.Commit
	return l, nil
}

// BareTable makes the table that bare commits go to.
func BareTable(ctx context.Context, db *postgres.DB) error {
	return db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE bare_commits (id uuid PRIMARY KEY, body bytea NOT NULL)`)
		return err
	})
}

func commitRow(ctx context.Context, db *postgres.DB) error {
	const insert = `INSERT INTO bare_commits (id, body) VALUES ($1, $2)`
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, insert, id, bodyOf(refs.Add(1)))
		return err
	})
}

// Print writes l for people.
func (l Lone) Print(w io.Writer) {
	fmt.Fprintf(w, "one client: %d requests, median %.2f ms; a bare commit of one row: %.2f ms; %.2f times\n", l.Requests, l.Ingest, l.Commit, l.Ratio)
}
