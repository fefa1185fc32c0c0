package audit

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// attemptsAtMost is how often a verification is begun: one that ends its process
// each time is given up.
const attemptsAtMost = 3

// A Verifier runs the verifications that were asked for in the console.
type Verifier struct {
	store  *Store
	ledger Ledger
}

// NewVerifier returns a Verifier that reads with store, which needs to be without a
// limit on time, and holds what it reads against the checkpoints in the database and
// in ledger.
func NewVerifier(store *Store, ledger Ledger) *Verifier {
	return &Verifier{store: store, ledger: ledger}
}

// errLost ends a verification that another instance has taken over.
var errLost = errors.New("another instance runs it")

// an asked verification is one that this process runs.
type asked struct {
	Verification
	Actor []byte `db:"actor"`
	beat  time.Time
}

// Work runs the verifications that wait, and those whose process died, one after the
// other until there is none. Several instances may call it at once.
func (v *Verifier) Work(ctx context.Context) error {
	for {
		job, err := v.take(ctx)
		if err != nil || job == nil {
			return err
		}
		if err := v.run(ctx, job); err != nil && !errors.Is(err, errLost) {
			if ctx.Err() != nil {
				v.putBack(ctx, job)
			}
			return fmt.Errorf("verify a trail: %w", err)
		}
	}
}

func (v *Verifier) take(ctx context.Context) (*asked, error) {
	const query = `
		UPDATE audit_verifications SET attempts = attempts + 1, seen_at = clock_timestamp(), checked = 0
		WHERE id = (
			SELECT id FROM audit_verifications
			WHERE ended_at IS NULL AND (seen_at IS NULL OR seen_at < clock_timestamp() - make_interval(secs => $1))
			ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING ` + verificationColumns + `, actor`
	job := &asked{beat: time.Now()}
	err := v.store.db.InTx(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, job, query, silence.Seconds()) })
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take a verification: %w", err)
	}
	return job, nil
}

func (v *Verifier) run(ctx context.Context, job *asked) error {
	if job.Attempts > attemptsAtMost {
		job.Outcome = GivenUp
		return v.end(ctx, job)
	}
	chain := ChainOf(job.WorkspaceID)
	points := NewCheckpoints(nil).Only(chain)
	err := v.gather(ctx, job, points)
	if errors.Is(err, ErrCheckpoint) {
		job.Outcome, job.Trouble = Impossible, err.Error()
		return v.end(ctx, job)
	}
	if err != nil {
		return err
	}
	verdict, err := v.store.VerifyChain(ctx, chain, points, func(read, of int64) error { return v.heard(ctx, job, read, of) })
	if err != nil {
		return err
	}
	job.Outcome, job.Kind, job.BrokenAt, job.Until = Verified, verdict.Kind, verdict.At, verdict.Until
	if !verdict.OK() {
		job.Outcome = Broken
	}
	job.Checked, job.HeadSeq, job.HeadHash = verdict.Entries, verdict.Head.Seq, verdict.Head.Hash
	vouching := points.About(chain)
	job.Checkpoints, job.KeyIDs = vouching.Count, strings.Join(slices.Sorted(maps.Keys(vouching.KeyIDs)), ", ")
	return v.end(ctx, job)
}

// gather reads the checkpoints of the database and of the file.
func (v *Verifier) gather(ctx context.Context, job *asked, points *Checkpoints) error {
	err := v.store.Checkpoints(ctx, 0, func(point Checkpoint) error {
		if err := v.heard(ctx, job, 0, 0); err != nil {
			return err
		}
		return points.Add(point)
	})
	if err != nil {
		return err
	}
	file, err := os.Open(v.ledger.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := points.Read(file); err != nil {
		return fmt.Errorf("the file of checkpoints: %w", err)
	}
	return nil
}

// heard notes how far a verification is, once a second.
func (v *Verifier) heard(ctx context.Context, job *asked, read, of int64) error {
	const note = `
		UPDATE audit_verifications SET seen_at = clock_timestamp(), checked = $3, total = $4
		WHERE id = $1 AND attempts = $2 AND ended_at IS NULL`
	if read%500 != 0 || time.Since(job.beat) < time.Second {
		return ctx.Err()
	}
	job.beat = time.Now()
	return v.hold(ctx, job, note, read, of)
}

// hold runs a statement on a verification that is still ours.
func (v *Verifier) hold(ctx context.Context, job *asked, statement string, more ...any) error {
	return v.store.db.InTx(ctx, func(tx *sqlx.Tx) error { return held(ctx, tx, job, statement, more...) })
}

func held(ctx context.Context, tx *sqlx.Tx, job *asked, statement string, more ...any) error {
	result, err := tx.ExecContext(ctx, statement, append([]any{job.ID, job.Attempts}, more...)...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errLost)
	}
	return nil
}

// end stores the result, and records it in the name of who asked.
func (v *Verifier) end(ctx context.Context, job *asked) error {
	const store = `
		UPDATE audit_verifications SET ended_at = clock_timestamp(), outcome = $3, kind = $4, broken_at = $5, until = $6, checked = $7,
			head_seq = $8, head_hash = $9, checkpoints = $10, key_ids = $11, trouble = $12
		WHERE id = $1 AND attempts = $2 AND ended_at IS NULL`
	var by Actor
	if err := json.Unmarshal(job.Actor, &by); err != nil {
		return err
	}
	return v.store.db.InTx(ctx, func(tx *sqlx.Tx) error {
		err := held(ctx, tx, job, store, job.Outcome, job.Kind, job.BrokenAt, job.Until, job.Checked,
			job.HeadSeq, job.HeadHash, job.Checkpoints, job.KeyIDs, job.Trouble)
		if err != nil {
			return err
		}
		return Record(ctx, tx, by, TrailVerified, Target{Kind: "audit", ID: by.Chain(), Label: job.result()}, nil, job.fields())
	})
}

// result is what was found, in words that stay.
func (job *asked) result() string {
	switch job.Outcome {
	case Verified:
		return fmt.Sprintf("%d entries", job.HeadSeq)
	case Broken:
		return fmt.Sprintf("broken at %d: %s", job.BrokenAt, job.Kind)
	}
	return "no verdict"
}

func (job *asked) fields() Fields {
	fields := Fields{"result": string(job.Outcome)}
	switch job.Outcome {
	case Verified, Broken:
		fields["entries"], fields["checkpoints"], fields["head"] = job.HeadSeq, job.Checkpoints, hex.EncodeToString(job.HeadHash)
	case Impossible:
		fields["trouble"] = job.Trouble
	}
	return fields
}

// putBack lets another instance begin at once with what this one can't end.
func (v *Verifier) putBack(ctx context.Context, job *asked) {
	const free = `UPDATE audit_verifications SET seen_at = NULL, attempts = attempts - 1 WHERE id = $1 AND attempts = $2 AND ended_at IS NULL`
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = v.hold(ctx, job, free) // it is found by its silence otherwise
}
