package audit

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/fault"
)

// An Outcome is how a verification ended.
type Outcome string

// The outcomes.
const (
	Pending    Outcome = ""           // it waits, or goes on
	Verified   Outcome = "ok"         // nothing is wrong
	Broken     Outcome = "broken"     // see its Kind
	Impossible Outcome = "impossible" // see its Trouble
	GivenUp    Outcome = "given_up"   // whoever ran it died, again and again
)

// silence is how long a verification may go on unheard of before it is taken for
// interrupted: its process died.
const silence = 15 * time.Second

// A Verification is one that was asked for in the console, or that somebody says
// they did elsewhere.
type Verification struct {
	ID          uuid.UUID  `db:"id"`
	WorkspaceID uuid.UUID  `db:"workspace_id"`
	Outside     bool       `db:"outside"`
	AskedBy     string     `db:"asked_by"` // the name at the time
	AskedAt     time.Time  `db:"asked_at"`
	Attempts    int        `db:"attempts"`
	SeenAt      *time.Time `db:"seen_at"`
	Checked     int64      `db:"checked"`
	Total       int64      `db:"total"` // as far as is known before the end
	EndedAt     *time.Time `db:"ended_at"`
	Outcome     Outcome    `db:"outcome"`
	Kind        Kind       `db:"kind"`
	BrokenAt    int64      `db:"broken_at"`
	Until       int64      `db:"until"`
	HeadSeq     int64      `db:"head_seq"` // the last entry that is right
	HeadHash    []byte     `db:"head_hash"`
	Checkpoints int        `db:"checkpoints"`
	KeyIDs      string     `db:"key_ids"`
	Trouble     string     `db:"trouble"`
}

const verificationColumns = `id, workspace_id, outside, asked_by, asked_at, attempts, seen_at, checked, total, ended_at, outcome, kind, broken_at,
	until, head_seq, head_hash, checkpoints, key_ids, trouble`

// Interrupted reports whether nothing is heard any more of who ran it, or nobody
// took it up. An instance that runs begins it again.
func (v Verification) Interrupted(now time.Time) bool {
	heard := v.AskedAt
	if v.SeenAt != nil {
		heard = *v.SeenAt
	}
	return v.Outcome == Pending && now.Sub(heard) > silence
}

// Ask asks for a verification of the trail of by's workspace, for a [Verifier] to
// run, unless one goes on already.
func (s *Store) Ask(ctx context.Context, by Actor) error {
	const insert = `
		INSERT INTO audit_verifications (id, workspace_id, asked_by, actor) VALUES ($1, $2, $3, $4)
		ON CONFLICT (workspace_id) WHERE ended_at IS NULL DO NOTHING`
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("ask for a verification: %w", err)
	}
	actor, err := json.Marshal(by)
	if err != nil {
		return fmt.Errorf("ask for a verification: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, insert, id, by.WorkspaceID, by.Label, string(actor))
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for a verification: %w", err)
	}
	return nil
}

// A Standing is what is known of a workspace's trail without reading it.
type Standing struct {
	Head     Head          // its noted end
	Pending  *Verification // that waits or goes on
	Last     *Verification // the latest here that has ended
	Outside  *Verification // the latest elsewhere
	Signed   *Head         // its end in the latest checkpoint that has it
	SignedAt time.Time
	Number   int64 // of that checkpoint
	KeyID    string
}

// Standing returns how a workspace's trail stands.
func (s *Store) Standing(ctx context.Context, workspace uuid.UUID) (now Standing, err error) {
	const head = `SELECT chain, seq, hash FROM audit_heads WHERE chain = $1`
	chain := ChainOf(workspace)
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &now.Head, head, chain); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		for _, which := range []struct {
			where string
			to    **Verification
		}{
			{`ended_at IS NULL`, &now.Pending},
			{`ended_at IS NOT NULL AND NOT outside ORDER BY asked_at DESC LIMIT 1`, &now.Last},
			{`ended_at IS NOT NULL AND outside ORDER BY asked_at DESC LIMIT 1`, &now.Outside},
		} {
			var found []Verification
			if err := tx.SelectContext(ctx, &found, `SELECT `+verificationColumns+` FROM audit_verifications WHERE workspace_id = $1 AND `+which.where, workspace); err != nil {
				return err
			}
			if len(found) > 0 {
				*which.to = &found[0]
			}
		}
		return now.addSigned(ctx, tx, chain)
	})
	if err != nil {
		return Standing{}, fmt.Errorf("look how the trail stands: %w", err)
	}
	return now, nil
}

func (now *Standing) addSigned(ctx context.Context, tx *sqlx.Tx, chain string) error {
	const query = `SELECT ` + checkpointColumns + ` FROM audit_checkpoints ORDER BY number DESC LIMIT 1`
	var row storedCheckpoint
	if err := tx.GetContext(ctx, &row, query); errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	point, err := row.checkpoint()
	if err != nil {
		return nil // verifying says so; the page is there to have that done
	}
	for _, head := range point.Heads {
		if head.Chain == chain {
			now.Signed, now.Number, now.KeyID = &head, point.Number, point.KeyID
			now.SignedAt, _ = time.Parse(timeFormat, point.At)
		}
	}
	return nil
}

// NoteOutside notes that by verified the trail elsewhere, up to an entry whose hash
// they know from there. It is their word; that the hash is the one that is stored
// here is all that Keyhook can tell.
func (s *Store) NoteOutside(ctx context.Context, by Actor, seq int64, hash string) error {
	const find = `SELECT hash FROM audit_log WHERE chain = $1 AND seq = $2`
	const insert = `
		INSERT INTO audit_verifications (id, workspace_id, outside, asked_by, actor, ended_at, outcome, head_seq, head_hash)
		VALUES ($1, $2, true, $3, '{}', now(), 'ok', $4, $5)`
	var wrong []*fault.Error
	if seq < 1 {
		wrong = append(wrong, fault.On("entry", fault.Invalid, "Write the number of the last entry that you verified."))
	}
	theirs, ok := parseHash(hash)
	if !ok {
		wrong = append(wrong, fault.On("hash", fault.Invalid, "Write that entry’s hash: 64 hexadecimal digits, or 44 characters of base64 as in the export."))
	}
	if err := fault.Join(wrong); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("note a verification: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var ours []byte
		err := tx.GetContext(ctx, &ours, find, by.Chain(), seq)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fault.On("entry", fault.Invalid, "There is no such entry here. If your file has it, keep that file: the end of the trail is missing here.")
		case err != nil:
			return err
		case !bytes.Equal(ours, theirs):
			return fault.On("hash", fault.Invalid, "That entry has another hash here. If it is the one in a file that you verified, keep that file: the trail here was changed since.")
		}
		if _, err := tx.ExecContext(ctx, insert, id, by.WorkspaceID, by.Label, seq, ours); err != nil {
			return err
		}
		target := Target{Kind: "audit", ID: by.Chain(), Label: fmt.Sprintf("entry %d", seq)}
		return Record(ctx, tx, by, VerifiedOutside, target, nil, Fields{"entry": seq, "hash": hex.EncodeToString(ours)})
	})
	if _, known := fault.Of(err); err != nil && !known {
		return fmt.Errorf("note a verification: %w", err)
	}
	return err
}

// parseHash reads a hash in hex, or in base64 as an export has it.
func parseHash(text string) (hash []byte, ok bool) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if hash, err := decode(text); err == nil && len(hash) == 32 {
			return hash, true
		}
	}
	return nil, false
}

// RecordCheckpoint records that by asks for a checkpoint to be signed, before it is,
// so that the checkpoint covers the entry.
func (s *Store) RecordCheckpoint(ctx context.Context, by Actor, label string) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		return Record(ctx, tx, by, CheckpointAsked, Target{Kind: "audit", ID: by.Chain(), Label: label}, nil, nil)
	})
	if err != nil {
		return fmt.Errorf("ask for a checkpoint: %w", err)
	}
	return nil
}
