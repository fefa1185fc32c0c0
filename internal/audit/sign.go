package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

const checkpointColumns = `number, at, key_id, public_key, heads, signature`

type storedCheckpoint struct {
	Number    int64  `db:"number"`
	At        string `db:"at"`
	KeyID     string `db:"key_id"`
	PublicKey []byte `db:"public_key"`
	Heads     string `db:"heads"`
	Signature []byte `db:"signature"`
}

func (c storedCheckpoint) checkpoint() (Checkpoint, error) {
	point := Checkpoint{Number: c.Number, At: c.At, KeyID: c.KeyID, PublicKey: c.PublicKey, Signature: c.Signature}
	err := json.Unmarshal([]byte(c.Heads), &point.Heads)
	return point, err
}

// Sign signs where every chain stands now, unless that was done less than pause
// ago or nothing has changed since; pause 0 always signs. One that is dated ahead
// was signed by a clock that was wrong, and is not waited for. Of several instances
// one signs at a time. Lost names the chains that are shorter than they were: then
// something was cut from the database.
func (s *Store) Sign(ctx context.Context, signer *Signer, pause time.Duration) (point Checkpoint, signed bool, lost []string, err error) {
	const lock = `SELECT pg_advisory_xact_lock(hashtext('keyhook/checkpoint'))`
	const latest = `SELECT ` + checkpointColumns + ` FROM audit_checkpoints ORDER BY number DESC LIMIT 1`
	const heads = `SELECT chain, seq, hash FROM audit_heads WHERE seq > 0`
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lock); err != nil {
			return err
		}
		var row storedCheckpoint
		if err := tx.GetContext(ctx, &row, latest); errors.Is(err, sql.ErrNoRows) {
			row.Heads = "[]"
		} else if err != nil {
			return err
		}
		before, err := row.checkpoint()
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		if at, err := time.Parse(timeFormat, before.At); pause > 0 && err == nil && !at.After(now) && now.Sub(at) < pause {
			return nil
		}
		point = Checkpoint{Number: before.Number + 1, At: now.Format(timeFormat), Heads: []Head{}}
		if err := tx.SelectContext(ctx, &point.Heads, heads); err != nil {
			return err
		}
		slices.SortFunc(point.Heads, func(a, b Head) int { return strings.Compare(a.Chain, b.Chain) })
		if pause > 0 && slices.EqualFunc(before.Heads, point.Heads, func(a, b Head) bool { return a.Chain == b.Chain && string(a.Hash) == string(b.Hash) }) {
			return nil
		}
		lost = shorter(before.Heads, point.Heads)
		signer.sign(&point)
		signed = true
		return insertCheckpoint(ctx, tx, point)
	})
	if err != nil {
		return Checkpoint{}, false, nil, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return point, signed, lost, nil
}

func insertCheckpoint(ctx context.Context, tx *sqlx.Tx, point Checkpoint) error {
	const insert = `INSERT INTO audit_checkpoints (` + checkpointColumns + `) VALUES ($1, $2, $3, $4, $5, $6)`
	heads, err := json.Marshal(point.Heads)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert, point.Number, point.At, point.KeyID, point.PublicKey, string(heads), point.Signature)
	return err
}

// shorter names the chains that have fewer entries than they had.
func shorter(before, now []Head) []string {
	length := map[string]int64{}
	for _, head := range now {
		length[head.Chain] = head.Seq
	}
	var lost []string
	for _, head := range before {
		if length[head.Chain] < head.Seq {
			lost = append(lost, head.Chain)
		}
	}
	return lost
}

// Checkpoints calls use with each stored checkpoint behind a number, in order; 0 is
// the beginning.
func (s *Store) Checkpoints(ctx context.Context, after int64, use func(Checkpoint) error) error {
	const query = `SELECT ` + checkpointColumns + ` FROM audit_checkpoints WHERE number > $1 ORDER BY number`
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		rows, err := tx.QueryxContext(ctx, query, after)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var row storedCheckpoint
			if err := rows.StructScan(&row); err != nil {
				return err
			}
			point, err := row.checkpoint()
			if err != nil {
				return fmt.Errorf("checkpoint %d: %w", row.Number, err)
			}
			if err := use(point); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read the checkpoints: %w", err)
	}
	return nil
}

// holds reports whether a checkpoint is stored. After a restore another one may have
// its number.
func (s *Store) holds(ctx context.Context, point Checkpoint) (held bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM audit_checkpoints WHERE number = $1 AND signature = $2)`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &held, query, point.Number, point.Signature) })
	if err != nil {
		return false, fmt.Errorf("look for checkpoint %d: %w", point.Number, err)
	}
	return held, nil
}
