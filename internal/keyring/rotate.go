package keyring

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/signature"
)

// What is the part of a key that is rotated.
type What string

// The parts. An empty What is all that a key has.
const (
	Both       What = "both"
	APIKeyOnly What = apiKeyKind
	SecretOnly What = secretKind
)

const (
	apiKeyKind = "api_key"
	secretKind = "secret"
)

func (w What) has(kind string) bool { return w == Both || string(w) == kind }

// MaxOverlap is how far away an overlap may end.
const MaxOverlap = 90 * 24 * time.Hour

// A Rotation says how to replace a key's credentials.
type Rotation struct {
	What    What
	Overlap time.Duration // how long the old ones go on working; 0: they stop now
	Until   *time.Time    // in place of Overlap
	Secret  string        // that the sender has already; "": Keyhook makes one
	Nonce   string        // of a form, which rotates once
	Seen    int           // how many credentials the key had, as the form told; 0: any number
	Reason  string        // for the trail; "": none
	Renew   bool          // the old ones were reported as leaked: there is nothing to replace
}

// Rotated is a key with its new credentials.
type Rotated struct {
	Issued
	What  What
	Until *time.Time // the end of the overlap; nil: the old ones have stopped
	Ended int        // credentials of an earlier overlap that stopped with this

	Renewed bool // there were no old ones: they leaked
	reason  string
}

var (
	errNothingYet = fault.New(fault.Conflict, "This key has no secret yet, so there is nothing to rotate. Paste its first secret on its page.")
	errMeanwhile  = fault.New(fault.Conflict, "The key was rotated meanwhile. Look at it again before you rotate it once more.")
)

// Rotate makes new credentials for a key. The old ones work until the overlap
// ends; those of an earlier overlap stop. A form's nonce rotates once: after that
// the error is *AlreadyIssued.
func (s *Store) Rotate(ctx context.Context, by audit.Actor, id uuid.UUID, r Rotation) (done Rotated, err error) {
	if err := checkNonce(r.Nonce); err != nil {
		return Rotated{}, err
	}
	reason, err := readReason(r.Reason)
	if err != nil {
		return Rotated{}, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		before, err := lock(ctx, tx, by, id)
		if err != nil {
			return err
		}
		held, at, err := heldBy(ctx, tx, id)
		if err != nil {
			return err
		}
		if done, err = s.plan(before, held, at, r); err != nil {
			return err
		}
		done.reason = reason
		if err := s.claim(ctx, tx, by, r.Nonce, id, done.What); err != nil {
			return err
		}
		if err := supersede(ctx, tx, id, at, held, done); err != nil {
			return err
		}
		if err := s.addRotated(ctx, tx, before, held, &done); err != nil {
			return err
		}
		return recordRotated(ctx, tx, by, before, done)
	})
	if err != nil {
		return Rotated{}, s.refused(ctx, by, r.Nonce, conflict(err, "rotate key"))
	}
	return done, nil
}

// plan decides what a rotation makes, and until when the old ones work.
func (s *Store) plan(key Key, held []holding, at time.Time, r Rotation) (done Rotated, err error) {
	scheme, known := signature.Find(key.Scheme)
	switch {
	case !known:
		return done, fmt.Errorf("rotate a key of the scheme %q: %w", key.Scheme, signature.ErrUnknownScheme)
	case r.Seen > 0 && r.Seen != len(held):
		return done, errMeanwhile
	}
	done.Renewed = r.Renew
	if done.What, err = r.chosen(scheme, key, held); err != nil {
		return done, err
	}
	if done.Until, err = r.end(at); err != nil {
		return done, err
	}
	if done.What.has(apiKeyKind) {
		done.APIKey = NewAPIKey()
	}
	switch {
	case !done.What.has(secretKind) && r.Secret != "":
		return done, fault.On("secret", fault.Invalid, "A secret is given, but only the API key is rotated.")
	case !done.What.has(secretKind):
	case r.Secret != "":
		done.Secret, done.Pasted = Credential{r.Secret}, true
		if err := CheckSecret(key.Scheme, r.Secret); err != nil {
			return done, err
		}
		fingerprint := s.box.Fingerprint("secret", r.Secret)
		for _, h := range held {
			if h.Fingerprint != nil && bytes.Equal(h.Fingerprint, fingerprint) && h.works() {
				return done, fault.On("secret", fault.Invalid, "The key has that secret already. Paste the new one.")
			}
		}
	case !scheme.MakesSecret:
		return done, fault.On("secret", fault.Invalid, scheme.Title+" makes its own secrets. Make a new one there and paste it.")
	default:
		done.Secret = NewSecret()
	}
	return done, nil
}

// chosen is what is rotated of what is there.
func (r Rotation) chosen(scheme *signature.Scheme, key Key, held []holding) (What, error) {
	apiKey, secret := false, false
	for _, h := range held {
		apiKey = apiKey || h.Kind == apiKeyKind && h.Current
		secret = secret || h.Kind == secretKind && h.Current
	}
	switch {
	case r.Renew && !key.Leaked():
		return "", errNotLeaked
	case r.Renew && scheme.HasAPIKey:
		return Both, nil
	case r.Renew:
		return SecretOnly, nil
	case key.Leaked():
		return "", errLeaked
	case !apiKey && !secret:
		return "", errNothingYet
	case r.What == "" && apiKey && secret:
		return Both, nil
	case r.What == "" && apiKey:
		return APIKeyOnly, nil
	case r.What == "":
		return SecretOnly, nil
	case r.What != Both && r.What != APIKeyOnly && r.What != SecretOnly:
		return "", fault.On("what", fault.Invalid, "Choose what to rotate.")
	case r.What.has(apiKeyKind) && !apiKey:
		return "", fault.On("what", fault.Invalid, "This key has no API key. Rotate its secret.")
	case r.What.has(secretKind) && !secret:
		return "", fault.On("what", fault.Invalid, "This key has no secret yet. Rotate its API key.")
	}
	return r.What, nil
}

// end is when an overlap that begins at a moment ends; nil: with it.
func (r Rotation) end(at time.Time) (*time.Time, error) {
	until := at.Add(r.Overlap)
	if r.Until != nil {
		until = *r.Until
	} else if r.Overlap == 0 {
		return nil, nil
	}
	if err := checkEnd(until, at); err != nil {
		return nil, err
	}
	return &until, nil
}

func checkEnd(until, at time.Time) error {
	switch {
	case !until.After(at):
		return fault.On("overlap", fault.Invalid, "That time has passed. Choose a later one.")
	case until.Sub(at) > MaxOverlap:
		return fault.On("overlap", fault.Invalid, "An overlap lasts 90 days at most.")
	}
	return nil
}

// supersede makes the old credentials end with the overlap, and those of an
// earlier one now. What is left as it was gets the number behind that of the new
// ones, so that an old number stands for nothing but old credentials.
func supersede(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, at time.Time, held []holding, done Rotated) error {
	const end = `UPDATE webhook_key_credentials SET ended_at = $2 WHERE id = $1`
	const replace = `
		UPDATE webhook_key_credentials AS c SET superseded_at = $2, expires_at = $3, ended_at = $4, used_before = (
			SELECT coalesce(sum(requests), 0) FROM delivery_totals
			WHERE webhook_key_id = c.webhook_key_id AND hour = $5 AND credential_generation = ` + countedAs + ` AND ` + uses + `)
		WHERE id = $1`
	const renumber = `UPDATE webhook_key_credentials SET counted_as = $2 WHERE id = $1`
	var stopped *time.Time
	if done.Until == nil {
		stopped = &at
	}
	for _, h := range held {
		var err error
		switch rotated := done.What.has(h.Kind); {
		case rotated && h.Overlaps:
			_, err = tx.ExecContext(ctx, end, h.ID, at)
		case rotated && h.Current:
			_, err = tx.ExecContext(ctx, replace, h.ID, at, done.Until, stopped, at.UTC().Truncate(time.Hour))
		case h.Current:
			_, err = tx.ExecContext(ctx, renumber, h.ID, lastNumber(held)+2)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// uses is the condition of the counted requests that an old credential still let
// in, or would have but for something else.
const uses = `reason NOT IN ('credential_ended', 'credential_expired', 'credential_leaked')`

// addRotated stores the new credentials.
func (s *Store) addRotated(ctx context.Context, tx *sqlx.Tx, key Key, held []holding, done *Rotated) (err error) {
	for _, h := range held {
		if h.Overlaps && done.What.has(h.Kind) {
			done.Ended++
		}
	}
	if text := done.APIKey.text; text != "" {
		if err := s.addAPIKey(ctx, tx, key.ID, turnOf(held, apiKeyKind), hash(text), hint(text)); err != nil {
			return err
		}
	}
	if text := done.Secret.text; text != "" {
		others, err := s.addSecret(ctx, tx, key.WorkspaceID, key.ID, turnOf(held, secretKind), text)
		if err != nil {
			return err
		}
		if done.Pasted {
			done.Warnings = warningsOf(key.Scheme, text, others)
		}
	}
	done.Key, err = find(ctx, tx, key.WorkspaceID, key.ID)
	return err
}
