package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
	"keyhook/internal/signature"
)

// Handed is what a link leads to, for whoever holds it.
type Handed struct {
	Handover
	Key         Key
	Credentials []HandedCredential // that it made
	CountedAs   []int              // generations of requests with them
	Replaces    bool               // used, it replaces credentials that work
}

// A HandedCredential is one that a link made.
type HandedCredential struct {
	What  What
	Works bool       // as far as it goes: its key may be deactivated
	Until *time.Time // the end of an overlap; nil: none, or over
}

// Current reports whether any of the credentials is in use as it was made,
// neither replaced nor stopped.
func (h Handed) Current() bool {
	for _, c := range h.Credentials {
		if c.Works && c.Until == nil {
			return true
		}
	}
	return false
}

// Working reports whether any of the credentials still works.
func (h Handed) Working() bool {
	for _, c := range h.Credentials {
		if c.Works {
			return true
		}
	}
	return false
}

// HandoverUsed is the error of a link by which the credentials were made already.
type HandoverUsed struct{ Handed }

func (*HandoverUsed) Error() string { return "the link has been used" }

var (
	errKeyStopped = fault.New(fault.Conflict, "This key is deactivated, so no credentials were made. The link stays good: ask whoever sent it to reactivate the key, then press again.")
	errKeyOver    = fault.New(fault.Conflict, "This key has expired, so no credentials were made. The link stays good: ask whoever sent it for a later date, then press again.")
)

// Inside confines what is asked with the context to the workspace of what was handed
// over.
func (h Handed) Inside(ctx context.Context) context.Context {
	return postgres.InWorkspace(ctx, h.WorkspaceID)
}

// Handed returns what a link leads to. It uses nothing up. A wrong token, one that
// never was and one that was withdrawn are one fault NotFound.
func (s *Store) Handed(ctx context.Context, id uuid.UUID, token string) (handed Handed, err error) {
	err = s.db.Read(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		handed, err = openHandover(ctx, tx, id, token)
		return err
	})
	if err != nil {
		return Handed{}, fmt.Errorf("open a hand-over link: %w", err)
	}
	return handed, nil
}

func openHandover(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, token string) (handed Handed, err error) {
	const query = `
		SELECT ` + handoverColumns + ` FROM key_handovers AS h WHERE h.token_hash = $1 AND h.id = $2 AND h.withdrawn_at IS NULL`
	switch err := tx.GetContext(ctx, &handed.Handover, query, hash(token), id); {
	case errors.Is(err, sql.ErrNoRows):
		return Handed{}, errNoHandover
	case err != nil:
		return Handed{}, err
	}
	if handed.Key, err = find(ctx, tx, handed.WorkspaceID, handed.KeyID); err != nil {
		return Handed{}, err
	}
	held, _, err := heldBy(ctx, tx, handed.KeyID)
	handed.fill(held)
	return handed, err
}

// fill tells the link's credentials from the others of its key.
func (h *Handed) fill(held []holding) {
	for _, credential := range held {
		if !h.made(credential) {
			h.Replaces = h.Replaces || credential.works()
			continue
		}
		h.CountedAs = append(h.CountedAs, credential.CountedAs)
		c := HandedCredential{What: What(credential.Kind), Works: credential.works()}
		if credential.Overlaps {
			c.Until = credential.ExpiresAt
		}
		h.Credentials = append(h.Credentials, c)
	}
	h.Replaces = h.Replaces && !h.Used()
}

// TakeHandover makes the credentials that a link is for, in the place of those that
// the key has. Of those who try at once one gets them, the others *HandoverUsed.
// visitor is whoever holds the link; secret is for keys whose provider makes it.
func (s *Store) TakeHandover(ctx context.Context, visitor audit.Actor, id uuid.UUID, token, secret string) (done Rotated, err error) {
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		link, err := openHandover(ctx, tx, id, token)
		if err != nil {
			return err
		}
		by := link.actor(visitor)
		before, err := lock(ctx, tx, by, link.KeyID)
		if err != nil {
			return err
		}
		if link, err = openHandover(ctx, tx, id, token); err != nil { // it may have been used while the lock was waited for
			return err
		}
		if err := link.ready(before); err != nil {
			return err
		}
		held, at, err := heldBy(ctx, tx, before.ID)
		if err != nil {
			return err
		}
		if done, err = s.handOut(before, link, held, at, strings.TrimSpace(secret)); err != nil {
			return err
		}
		if err := supersede(ctx, tx, before.ID, at, held, done); err != nil {
			return err
		}
		if err := s.addRotated(ctx, tx, before, held, &done); err != nil {
			return err
		}
		if err := link.use(ctx, tx, visitor.Address, held, done); err != nil {
			return err
		}
		return recordHandedOver(ctx, tx, by, before, link, held, done)
	})
	if err != nil {
		return Rotated{}, conflict(err, "hand over credentials")
	}
	return done, nil
}

// actor is the holder of the link in the audit trail.
func (h Handed) actor(visitor audit.Actor) audit.Actor {
	by := visitor.In(h.WorkspaceID)
	by.Kind, by.ID, by.Label = audit.Link, h.ID.String(), "Hand-over link for "+h.Recipient
	return by
}

// ready says why a link makes nothing.
func (h Handed) ready(key Key) error {
	switch {
	case h.Used():
		return &HandoverUsed{h}
	case h.Over():
		return errNoHandover
	}
	return mayBeUsed(key, errKeyStopped, errKeyOver)
}

// handOut decides what credentials a link makes: all that the key has, or all that
// its scheme knows where the key has none that are current.
func (s *Store) handOut(key Key, link Handed, held []holding, at time.Time, secret string) (done Rotated, err error) {
	for _, h := range held {
		if h.Current {
			return s.plan(key, held, at, Rotation{Overlap: link.Overlap(), Secret: secret})
		}
	}
	scheme, known := signature.Find(key.Scheme)
	switch {
	case !known:
		return done, fmt.Errorf("make credentials of the scheme %q: %w", key.Scheme, signature.ErrUnknownScheme)
	case secret != "" || !scheme.MakesSecret:
		if err := CheckSecret(key.Scheme, secret); err != nil {
			return done, err
		}
		done.Secret, done.Pasted = Credential{secret}, true
	default:
		done.Secret = NewSecret()
	}
	done.What, done.Renewed = SecretOnly, key.Leaked()
	if scheme.HasAPIKey {
		done.APIKey, done.What = NewAPIKey(), Both
	}
	return done, nil
}

// use marks the link as used by what was made.
func (h Handed) use(ctx context.Context, tx *sqlx.Tx, from string, held []holding, done Rotated) error {
	const use = `
		UPDATE key_handovers SET used_at = now(), used_from = $2, api_key_generation = $3, secret_generation = $4
		WHERE id = $1 AND used_at IS NULL AND withdrawn_at IS NULL AND expires_at > now()`
	made := map[string]*int{}
	for kind, credential := range map[string]Credential{apiKeyKind: done.APIKey, secretKind: done.Secret} {
		if credential.text != "" {
			generation := turnOf(held, kind).Generation
			made[kind] = &generation
		}
	}
	result, err := tx.ExecContext(ctx, use, h.ID, from, made[apiKeyKind], made[secretKind])
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errNoHandover // it has run out this very moment
}

// recordHandedOver tells the audit trail of the link, and of what it made.
func recordHandedOver(ctx context.Context, tx *sqlx.Tx, by audit.Actor, before Key, link Handed, held []holding, done Rotated) error {
	if err := record(ctx, tx, by, audit.HandoverUsed, done.Key, nil, link.fields()); err != nil {
		return err
	}
	if len(held) > 0 {
		return recordRotated(ctx, tx, by, before, done)
	}
	if done.Pasted {
		if err := record(ctx, tx, by, audit.SecretPasted, done.Key, nil, pasted(done.Key, done.Warnings)); err != nil {
			return err
		}
	}
	if !done.Shows() {
		return nil
	}
	return record(ctx, tx, by, audit.CredentialsShown, done.Key, nil, recognised(done.Key))
}

// ConfirmHandedOver records that the link's holder says to have saved the
// credentials. Said again it changes nothing.
func (s *Store) ConfirmHandedOver(ctx context.Context, visitor audit.Actor, id uuid.UUID, token string) error {
	const save = `UPDATE key_handovers SET saved_at = now() WHERE id = $1 AND used_at IS NOT NULL AND saved_at IS NULL`
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		link, err := openHandover(ctx, tx, id, token)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, save, id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return record(ctx, tx, link.actor(visitor), audit.CredentialsSaved, link.Key, nil, nil)
	})
	if err != nil {
		return conflict(err, "confirm saved credentials")
	}
	return nil
}
