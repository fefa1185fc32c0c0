package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

var (
	errHasFactor   = fault.New(fault.Conflict, "You have a second factor already. Remove it first to set up another.")
	errNoFactor    = fault.New(fault.Conflict, "You have no second factor.")
	errNotBegun    = fault.New(fault.Conflict, "The set-up was begun too long ago. Begin again.")
	errWrongCode   = fault.On("code", fault.Invalid, "That code is not right, or was used already. Wait for the next one.")
	errFirstFactor = fault.New(fault.Conflict, "Set up your own second factor first.")
)

// BeginSecondFactor makes the secret that an authenticator app makes codes from.
// Nothing asks for a code until ConfirmSecondFactor was given one.
func (s *Store) BeginSecondFactor(ctx context.Context, user uuid.UUID) (CodeSecret, error) {
	const upsert = `
		INSERT INTO second_factors AS f (user_id, sealed) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, created_at = now(), last_step = 0 WHERE f.confirmed_at IS NULL
		RETURNING true`
	secret := newCodeSecret()
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		var made bool
		err := tx.GetContext(ctx, &made, upsert, user, s.box.Seal([]byte(secret.text), "second_factor", user.String()))
		if errors.Is(err, sql.ErrNoRows) {
			return errHasFactor
		}
		return err
	})
	return secret, conflict(err, "begin a second factor")
}

// BegunSecondFactor returns the secret of a set-up that waits for its first code.
func (s *Store) BegunSecondFactor(ctx context.Context, user uuid.UUID) (secret CodeSecret, err error) {
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		f, err := s.factor(ctx, tx, user, "")
		if secret = f.secret; err == nil && f.ConfirmedAt != nil {
			return errHasFactor
		}
		return err
	})
	return secret, conflict(err, "find a second factor")
}

// ConfirmSecondFactor ends the set-up with a first code and returns the recovery
// codes, which can't be had again. token is that of the session in which it is done.
func (s *Store) ConfirmSecondFactor(ctx context.Context, by audit.Actor, user User, token, code string) (codes []string, err error) {
	const confirm = `UPDATE second_factors SET confirmed_at = now(), last_step = $2 WHERE user_id = $1`
	const session = `UPDATE sessions SET methods = $2 WHERE token_hash = $1`
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		f, err := s.factor(ctx, tx, user.ID, "FOR UPDATE OF f")
		if err != nil {
			return err
		}
		if f.ConfirmedAt != nil {
			return errHasFactor
		}
		step, err := f.secret.matchStep(code, 0, f.Now)
		if err != nil {
			return err
		}
		if step == 0 {
			return errWrongCode
		}
		if _, err := tx.ExecContext(ctx, confirm, user.ID, step); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, session, tokenHash(token), byCode); err != nil {
			return err
		}
		if codes, err = replaceCodes(ctx, tx, user.ID); err != nil {
			return err
		}
		return recordEverywhere(ctx, tx, by, audit.SecondFactorAdded, user, nil, audit.Fields{"recovery_codes": len(codes)})
	})
	if err != nil {
		return nil, conflict(err, "confirm a second factor")
	}
	return codes, nil
}

// RemoveSecondFactor makes the password enough again.
func (s *Store) RemoveSecondFactor(ctx context.Context, by audit.Actor, user User) error {
	const remove = `DELETE FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL RETURNING true`
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		var removed bool
		if err := tx.GetContext(ctx, &removed, remove, user.ID); errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		return recordEverywhere(ctx, tx, by, audit.SecondFactorRemoved, user, nil, nil)
	})
	return conflict(err, "remove a second factor")
}

// RenewRecoveryCodes puts new recovery codes in the place of all that there were.
func (s *Store) RenewRecoveryCodes(ctx context.Context, by audit.Actor, user User) (codes []string, err error) {
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		f, err := s.factor(ctx, tx, user.ID, "FOR UPDATE OF f")
		if err != nil || f.ConfirmedAt == nil {
			return errors.Join(err, errNoFactor)
		}
		if codes, err = replaceCodes(ctx, tx, user.ID); err != nil {
			return err
		}
		return recordEverywhere(ctx, tx, by, audit.RecoveryCodesMade, user, nil, audit.Fields{"recovery_codes": len(codes)})
	})
	if err != nil {
		return nil, conflict(err, "renew recovery codes")
	}
	return codes, nil
}

// A SecondFactor is what a user may know of theirs.
type SecondFactor struct {
	Since     time.Time `db:"confirmed_at"`
	CodesLeft int       `db:"codes_left"` // recovery codes that were not used
}

// SecondFactorOf returns a user's second factor, nil if there is none.
func (s *Store) SecondFactorOf(ctx context.Context, user uuid.UUID) (*SecondFactor, error) {
	const query = `
		SELECT f.confirmed_at, (SELECT count(*) FROM recovery_codes AS c WHERE c.user_id = f.user_id AND c.used_at IS NULL) AS codes_left
		FROM second_factors AS f WHERE f.user_id = $1 AND f.confirmed_at IS NOT NULL`
	var factor SecondFactor
	err := s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &factor, query, user) })
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find a second factor: %w", err)
	}
	return &factor, nil
}

// storedFactor is a second factor as it is stored, opened.
type storedFactor struct {
	Sealed      []byte     `db:"sealed"`
	ConfirmedAt *time.Time `db:"confirmed_at"`
	LastStep    int64      `db:"last_step"`
	Now         time.Time  `db:"now"` // the database's, shared by all instances
	secret      CodeSecret
}

func (s *Store) factor(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, lock string) (f storedFactor, err error) {
	const query = `SELECT f.sealed, f.confirmed_at, f.last_step, statement_timestamp() AS now FROM second_factors AS f WHERE f.user_id = $1 `
	err = tx.GetContext(ctx, &f, query+lock, user)
	if errors.Is(err, sql.ErrNoRows) {
		return f, errNotBegun
	}
	if err != nil {
		return f, err
	}
	text, err := s.box.Open(f.Sealed, "second_factor", user.String())
	if err != nil {
		return f, fmt.Errorf("open a second factor: %w", err)
	}
	f.secret = CodeSecret{string(text)}
	return f, nil
}

func replaceCodes(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) ([]string, error) {
	const remove = `DELETE FROM recovery_codes WHERE user_id = $1`
	const insert = `INSERT INTO recovery_codes (code_hash, user_id) SELECT unnest($2::bytea[]), $1`
	if _, err := tx.ExecContext(ctx, remove, user); err != nil {
		return nil, err
	}
	codes, hashes := newRecoveryCodes()
	_, err := tx.ExecContext(ctx, insert, user, pq.ByteaArray(hashes))
	return codes, err
}

// useCode uses a code of an app or a recovery code up, and says whether it was one.
// Of those who try one code at once, one succeeds.
func (s *Store) useCode(ctx context.Context, tx *sqlx.Tx, by audit.Actor, user User, code string) (right bool, err error) {
	const step = `UPDATE second_factors SET last_step = $2 WHERE user_id = $1`
	f, err := s.factor(ctx, tx, user.ID, "FOR UPDATE OF f")
	if err != nil {
		return false, err
	}
	if !isCode(code) {
		return useRecoveryCode(ctx, tx, by, user, code)
	}
	at, err := f.secret.matchStep(code, f.LastStep, f.Now)
	if err != nil || at == 0 {
		return false, err
	}
	_, err = tx.ExecContext(ctx, step, user.ID, at)
	return true, err
}

func useRecoveryCode(ctx context.Context, tx *sqlx.Tx, by audit.Actor, user User, code string) (bool, error) {
	const use = `UPDATE recovery_codes SET used_at = now() WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL RETURNING true`
	const left = `SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL`
	var used bool
	if err := tx.GetContext(ctx, &used, use, user.ID, recoveryHash(code)); errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	var n int
	if err := tx.GetContext(ctx, &n, left, user.ID); err != nil {
		return false, err
	}
	return true, recordEverywhere(ctx, tx, by.As(user.ID, user.Name), audit.RecoveryCodeUsed, user, audit.Fields{"recovery_codes": n + 1}, audit.Fields{"recovery_codes": n})
}

// RequireSecondFactor sets whether the members of a workspace need a second factor.
// Who has none is led to setting one up; who asks for it must have one.
func (s *Store) RequireSecondFactor(ctx context.Context, by audit.Actor, user User, require bool) error {
	const update = `UPDATE workspaces SET require_second_factor = $2 WHERE id = $1 AND require_second_factor <> $2 RETURNING name`
	if require && !user.SecondFactor {
		return errFirstFactor
	}
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		var name string
		if err := tx.GetContext(ctx, &name, update, by.WorkspaceID, require); errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		target := audit.Target{Kind: "workspace", ID: by.WorkspaceID.String(), Label: name}
		return audit.Record(ctx, tx, by, audit.SignInRuleChanged, target, audit.Fields{"require_second_factor": !require}, audit.Fields{"require_second_factor": require})
	})
	return conflict(err, "require a second factor")
}
