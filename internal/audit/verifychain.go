package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// errStop ends a walk that has found what it was for.
var errStop = errors.New("stop")

// VerifyChain verifies a chain in the database against its noted head and against
// checkpoints, all at one moment. It needs a Store without a limit on time. It tells
// progress, unless that is nil, how many entries it has read; an error from there
// ends it.
func (s *Store) VerifyChain(ctx context.Context, chain string, points *Checkpoints, progress func(read, of int64) error) (verdict Verdict, err error) {
	const still = `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
	const noted = `SELECT chain, seq, hash FROM audit_heads WHERE chain = $1`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, still); err != nil {
			return err
		}
		var heads []Head
		if err := tx.SelectContext(ctx, &heads, noted, chain); err != nil {
			return err
		}
		var head *Head
		if len(heads) > 0 {
			head = &heads[0]
		}
		known := points.Of(chain).copy().Ending(head)
		var read int64
		entries := func(yield func(Entry, error) bool) {
			err := eachEntry(ctx, tx, chain, func(e Entry) error {
				if read++; progress != nil {
					if err := progress(read, known.last()); err != nil {
						return err
					}
				}
				if !yield(e, nil) {
					return errStop
				}
				return nil
			})
			if err != nil && !errors.Is(err, errStop) {
				yield(Entry{}, err)
			}
		}
		verdict, err = Verify(entries, func(string) Known { return known })
		return err
	})
	if err != nil {
		return Verdict{}, fmt.Errorf("verify the chain %s: %w", chain, err)
	}
	return verdict, nil
}
