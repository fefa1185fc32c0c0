package keyring

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

const (
	// HandoverLife is how long a hand-over link waits for its recipient.
	HandoverLife = 72 * time.Hour
	// StatusLife is how long after its use a link tells its sender how sending goes.
	StatusLife = 365 * 24 * time.Hour
	// MaxRecipient and MaxHandoverNote are in characters.
	MaxRecipient    = 120
	MaxHandoverNote = 500
)

// A Handover is a link by which its recipient makes a key's credentials, so that
// nobody else sees them. It does not hold what opens it.
type Handover struct {
	ID               uuid.UUID  `db:"id"`
	WorkspaceID      uuid.UUID  `db:"workspace_id"`
	KeyID            uuid.UUID  `db:"webhook_key_id"`
	Recipient        string     `db:"recipient"`
	Note             string     `db:"note"`
	OverlapSeconds   int64      `db:"overlap_seconds"`
	MadeBy           string     `db:"made_by_name"`
	CreatedAt        time.Time  `db:"created_at"`
	ExpiresAt        time.Time  `db:"expires_at"`
	WithdrawnAt      *time.Time `db:"withdrawn_at"`
	UsedAt           *time.Time `db:"used_at"`
	UsedFrom         string     `db:"used_from"`
	SavedAt          *time.Time `db:"saved_at"`
	APIKeyGeneration *int       `db:"api_key_generation"`
	SecretGeneration *int       `db:"secret_generation"`
	At               time.Time  `db:"at"` // the database's time
}

const handoverColumns = `h.id, h.workspace_id, h.webhook_key_id, h.recipient, h.note, h.overlap_seconds, h.made_by_name, h.created_at, h.expires_at,
	h.withdrawn_at, h.used_at, h.used_from, h.saved_at, h.api_key_generation, h.secret_generation, statement_timestamp() AS at`

// Used reports whether the credentials were made.
func (h Handover) Used() bool { return h.UsedAt != nil }

// Pending reports whether the link waits for its recipient.
func (h Handover) Pending() bool {
	return h.WithdrawnAt == nil && !h.Used() && h.At.Before(h.ExpiresAt)
}

// Over reports whether the link has nothing more to tell: it ran out unused, or
// was used long ago.
func (h Handover) Over() bool {
	if h.Used() {
		return !h.At.Before(h.UsedAt.Add(StatusLife))
	}
	return !h.At.Before(h.ExpiresAt)
}

// Overlap is how long the old credentials work on once the link is used.
func (h Handover) Overlap() time.Duration { return time.Duration(h.OverlapSeconds) * time.Second }

func (h Handover) made(credential holding) bool {
	generation := map[string]*int{apiKeyKind: h.APIKeyGeneration, secretKind: h.SecretGeneration}[credential.Kind]
	return generation != nil && *generation == credential.Generation
}

// fields are what the audit trail tells of a link.
func (h Handover) fields() audit.Fields {
	return audit.Fields{"link": h.ID.String(), "recipient": h.Recipient}
}

// A HandoverDraft is what people decide about a link.
type HandoverDraft struct {
	Recipient string
	Note      string
	Overlap   time.Duration // that the old credentials work on; 0: they stop when the link is used
	Nonce     string        // of a form, which makes one link
}

// Check says what is wrong with the draft.
func (d HandoverDraft) Check() error {
	_, err := d.checked()
	return err
}

func (d HandoverDraft) checked() (HandoverDraft, error) {
	var c check
	if d.Recipient = c.line("recipient", "The name", d.Recipient, MaxRecipient); d.Recipient == "" {
		c.fail("recipient", "Say whom the link is for.")
	}
	d.Note = c.text("note", "The note", d.Note, MaxHandoverNote)
	if d.Overlap < 0 || d.Overlap > MaxOverlap {
		c.fail("overlap", "An overlap lasts 90 days at most.")
	}
	if HintIn(d.Note) != "" || HintIn(d.Recipient) != "" {
		c.fail("note", "That holds a credential. Take it out: the link makes new ones.")
	}
	return d, fault.Join(c)
}

// HandoverExists is the error of a form that has made its link: what opens it was
// in the answer to the first time it was sent.
type HandoverExists struct{ Handover }

func (*HandoverExists) Error() string { return "the form has made its link already" }

var (
	errMayNotHandOver = fault.New(fault.Forbidden, "Only owners and admins make and withdraw hand-over links.")
	errNoHandover     = fault.New(fault.NotFound, "There is no such link.")
	errKeyInactive    = fault.New(fault.Conflict, "This key is deactivated. Reactivate it, then make the link.")
	errKeyExpired     = fault.New(fault.Conflict, "This key has expired. Give it a later date, then make the link.")
)

// lockToHandOver is lock for those who may hand over any key.
func lockToHandOver(ctx context.Context, tx *sqlx.Tx, by audit.Actor, id uuid.UUID) (Key, error) {
	key, err := lock(ctx, tx, by, id)
	if err != nil {
		return Key{}, err
	}
	if role := roleOf(by); role != "owner" && role != "admin" {
		return Key{}, errMayNotHandOver
	}
	return key, nil
}

// HandOver makes a link for a key, and what opens it, which can't be had again. A
// link of the key that nobody has used is withdrawn.
func (s *Store) HandOver(ctx context.Context, by audit.Actor, id uuid.UUID, draft HandoverDraft) (made Handover, token Credential, err error) {
	const insert = `
		INSERT INTO key_handovers AS h (id, workspace_id, webhook_key_id, token_hash, form_nonce, recipient, note, overlap_seconds, made_by_name, expires_at)
		VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, now() + make_interval(secs => $10))
		RETURNING ` + handoverColumns
	if draft, err = draft.checked(); err != nil {
		return made, token, err
	}
	if err := checkNonce(draft.Nonce); err != nil {
		return made, token, err
	}
	handover, err := uuid.NewV7()
	if err != nil {
		return made, token, err
	}
	token = newHandoverToken()
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := lockToHandOver(ctx, tx, by, id)
		if err != nil {
			return err
		}
		if err := mayBeUsed(key, errKeyInactive, errKeyExpired); err != nil {
			return err
		}
		if err := withdrawOpen(ctx, tx, by, key, draft.Nonce); err != nil {
			return err
		}
		err = tx.GetContext(ctx, &made, insert, handover, by.WorkspaceID, id, hash(token.text), draft.Nonce, draft.Recipient, draft.Note,
			int64(draft.Overlap/time.Second), by.Label, HandoverLife.Seconds())
		if err != nil {
			return err
		}
		after := made.fields()
		after["until"], after["overlap"] = made.ExpiresAt.UTC().Format(time.RFC3339), draft.Overlap.String()
		return record(ctx, tx, by, audit.HandoverMade, key, nil, after)
	})
	if postgres.Violates(err, "key_handovers_form_unique") {
		return Handover{}, Credential{}, s.handoverOf(ctx, by.WorkspaceID, draft.Nonce)
	}
	if err != nil {
		return Handover{}, Credential{}, conflict(err, "make a hand-over link")
	}
	return made, token, nil
}

// newHandoverToken has 256 random bits.
func newHandoverToken() Credential {
	var raw [sha256.Size]byte
	rand.Read(raw[:])
	return Credential{base64.RawURLEncoding.EncodeToString(raw[:])}
}

// mayBeUsed refuses a key whose credentials would not work.
func mayBeUsed(key Key, inactive, expired error) error {
	switch key.StatusAt(time.Now()) {
	case Inactive:
		return inactive
	case Expired:
		return expired
	}
	return nil
}

// withdrawOpen withdraws the key's unused link, unless the form that is being
// answered made it.
func withdrawOpen(ctx context.Context, tx *sqlx.Tx, by audit.Actor, key Key, nonce string) error {
	const withdraw = `
		UPDATE key_handovers AS h SET withdrawn_at = now()
		WHERE webhook_key_id = $1 AND used_at IS NULL AND withdrawn_at IS NULL AND ($2 = '' OR form_nonce IS DISTINCT FROM $2)
		RETURNING ` + handoverColumns
	var former Handover
	switch err := tx.GetContext(ctx, &former, withdraw, key.ID, nonce); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case !former.At.Before(former.ExpiresAt):
		return nil // it has run out by itself
	}
	return record(ctx, tx, by, audit.HandoverWithdrawn, key, former.fields(), audit.Fields{"withdrawn_for": "a newer link"})
}

// handoverOf returns the link that a form made, as an error.
func (s *Store) handoverOf(ctx context.Context, workspace uuid.UUID, nonce string) error {
	const query = `SELECT ` + handoverColumns + ` FROM key_handovers AS h WHERE h.workspace_id = $1 AND h.form_nonce = $2`
	var exists HandoverExists
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &exists.Handover, query, workspace, nonce) })
	if err != nil {
		return fmt.Errorf("find the link of a form: %w", err)
	}
	return &exists
}

// WithdrawHandover ends a link: unused it makes nothing any more, used it tells
// nothing any more. The credentials that came of it stay as they are.
func (s *Store) WithdrawHandover(ctx context.Context, by audit.Actor, id, handover uuid.UUID) error {
	const find = `SELECT ` + handoverColumns + ` FROM key_handovers AS h WHERE h.webhook_key_id = $1 AND h.id = $2`
	const withdraw = `UPDATE key_handovers SET withdrawn_at = now() WHERE id = $1`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := lockToHandOver(ctx, tx, by, id)
		if err != nil {
			return err
		}
		var h Handover
		if err := tx.GetContext(ctx, &h, find, id, handover); errors.Is(err, sql.ErrNoRows) {
			return errNoHandover
		} else if err != nil || h.WithdrawnAt != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, withdraw, handover); err != nil {
			return err
		}
		return record(ctx, tx, by, audit.HandoverWithdrawn, key, h.fields(), audit.Fields{"used": h.Used()})
	})
	if err != nil {
		return conflict(err, "withdraw a hand-over link")
	}
	return nil
}

// HandoversOf returns a key's links, the newest first, without those withdrawn.
func (s *Store) HandoversOf(ctx context.Context, workspace, id uuid.UUID) (links []Handover, err error) {
	const query = `
		SELECT ` + handoverColumns + ` FROM key_handovers AS h
		WHERE h.webhook_key_id = $1 AND h.workspace_id = $2 AND h.withdrawn_at IS NULL ORDER BY h.created_at DESC, h.id DESC LIMIT 20`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &links, query, id, workspace) })
	if err != nil {
		return nil, fmt.Errorf("list hand-over links: %w", err)
	}
	return links, nil
}
