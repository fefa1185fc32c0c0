package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
)

// A TokenDraft is what people decide about a token.
type TokenDraft struct {
	Name      string
	Scopes    []Scope
	ExpiresAt *time.Time
}

// IssuedToken is a new token with what programs present, which can't be had again.
type IssuedToken struct {
	Token Token
	Text  Credential
}

// TokenAlreadyIssued is the error of a form that has made its token: what programs
// present was in the answer to the first time it was sent.
type TokenAlreadyIssued struct {
	Token   Token
	ShownTo string
	At      time.Time
}

func (*TokenAlreadyIssued) Error() string { return "the form has made its token already" }

// Check says what is wrong with a draft, all at once, without writing anything.
func (d TokenDraft) Check() error {
	_, err := d.checked(time.Now())
	return err
}

func (d TokenDraft) checked(now time.Time) (TokenDraft, error) {
	var c check
	d.Name = c.line("name", "The name", d.Name, MaxName)
	if d.Name == "" {
		c.fail("name", "Give the token a name.")
	}
	scopes := []Scope{}
	for _, scope := range Scopes() { // in their order, each once
		if slices.Contains(d.Scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if strange := slices.IndexFunc(d.Scopes, func(s Scope) bool { return !slices.Contains(Scopes(), s) }); strange >= 0 {
		c.fail("scopes", "There is no scope “%s”.", shorten(string(d.Scopes[strange])))
	} else if len(scopes) == 0 {
		c.fail("scopes", "Choose what the token may do.")
	}
	d.Scopes = scopes
	if d.ExpiresAt != nil {
		at := d.ExpiresAt.UTC().Truncate(time.Second)
		d.ExpiresAt = &at
		if at.Sub(now) > maxExpiry {
			c.fail("expires", "The expiry date is more than ten years away.")
		}
	}
	return d, fault.Join(c)
}

// IssueToken makes a token in the actor's workspace. A form's nonce makes one,
// however often and however fast it is sent: the others get *TokenAlreadyIssued. A
// command has no nonce.
func (s *Store) IssueToken(ctx context.Context, by audit.Actor, draft TokenDraft, nonce string) (IssuedToken, error) {
	draft, err := draft.checked(time.Now())
	if err != nil {
		return IssuedToken{}, err
	}
	if !validNonce(nonce) {
		return IssuedToken{}, errDamaged
	}
	issued := IssuedToken{Text: NewToken()}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		issued.Token, err = insertToken(ctx, tx, by, draft, issued.Text, nonce)
		return err
	})
	if err != nil {
		return IssuedToken{}, s.tokenRefused(ctx, by, nonce, tokenConflict(err, "issue token"))
	}
	return issued, nil
}

func insertToken(ctx context.Context, tx *sqlx.Tx, by audit.Actor, draft TokenDraft, text Credential, nonce string) (Token, error) {
	const insert = `
		INSERT INTO tokens (id, workspace_id, name, scopes, hash, hint, created_by, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	const claim = `INSERT INTO token_form_nonces (workspace_id, nonce, token_id, shown_to, shown_to_id) VALUES ($1, $2, $3, $4, $5)`
	id, err := uuid.NewV7()
	if err != nil {
		return Token{}, err
	}
	_, err = tx.ExecContext(ctx, insert, id, by.WorkspaceID, draft.Name, pq.Array(draft.Scopes), hash(text.text), hint(text.text), creator(by), draft.ExpiresAt)
	if err != nil {
		return Token{}, err
	}
	if nonce != "" {
		if _, err := tx.ExecContext(ctx, claim, by.WorkspaceID, nonce, id, by.Label, creator(by)); err != nil {
			return Token{}, err
		}
	}
	token, err := findToken(ctx, tx, by.WorkspaceID, id, "")
	if err != nil {
		return Token{}, err
	}
	if err := recordToken(ctx, tx, by, audit.TokenCreated, token, nil, token.fields()); err != nil {
		return Token{}, err
	}
	return token, recordToken(ctx, tx, by, audit.TokenShown, token, nil, audit.Fields{"hint": token.Hint})
}

// fields are what the audit trail tells of a token.
func (t Token) fields() audit.Fields {
	fields := audit.Fields{"name": t.Name, "scopes": list(t.Scopes), "expires_at": "never"}
	if t.ExpiresAt != nil {
		fields["expires_at"] = t.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return fields
}

var errDamaged = fault.New(fault.Invalid, "The form is damaged. Open it again.")

func validNonce(nonce string) bool {
	return len(nonce) <= 200 && utf8.ValidString(nonce) && !strings.Contains(nonce, "\x00")
}

// tokenRefused is why a form made no token: perhaps because it has made one.
func (s *Store) tokenRefused(ctx context.Context, by audit.Actor, nonce string, err error) error {
	const query = `SELECT token_id, shown_to, created_at FROM token_form_nonces WHERE workspace_id = $1 AND nonce = $2`
	f, known := fault.Of(err)
	if nonce == "" || !postgres.Violates(err, "token_form_nonces_pkey") && (!known || f.Kind != fault.Conflict) {
		return err
	}
	var already TokenAlreadyIssued
	lookErr := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		var id uuid.UUID
		if err := tx.QueryRowxContext(ctx, query, by.WorkspaceID, nonce).Scan(&id, &already.ShownTo, &already.At); err != nil {
			return err
		}
		var err error
		already.Token, err = findToken(ctx, tx, by.WorkspaceID, id, "")
		return err
	})
	if lookErr == nil {
		return &already
	}
	return err
}

// ConfirmTokenSaved records that the actor, who was shown a token, says to have
// saved it. It can be said once.
func (s *Store) ConfirmTokenSaved(ctx context.Context, by audit.Actor, id uuid.UUID) error {
	const save = `
		UPDATE token_form_nonces SET saved_at = now()
		WHERE workspace_id = $1 AND token_id = $2 AND shown_to_id = $3 AND saved_at IS NULL`
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		token, err := findToken(ctx, tx, by.WorkspaceID, id, "")
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, save, by.WorkspaceID, id, creator(by))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errTokenNotShown
		}
		return recordToken(ctx, tx, by, audit.TokenSaved, token, nil, nil)
	})
	if _, known := fault.Of(err); err != nil && !known {
		return fmt.Errorf("confirm a saved token: %w", err)
	}
	return err
}

var errTokenNotShown = fault.New(fault.Forbidden, "Only the person who was shown a token can confirm, once, that it is saved.")
