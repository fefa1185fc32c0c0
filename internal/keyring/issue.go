package keyring

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/postgres"
	"keyhook/internal/signature"
)

// Issued is a new key with its credentials, which can't be had again.
type Issued struct {
	Key      Key
	APIKey   Credential // empty for a provider's key
	Secret   Credential // empty if the key comes before its secret
	Pasted   bool       // the secret was made elsewhere
	Warnings []Warning  // of a pasted secret

	later bool // its credentials are made by whoever they are for
}

// Shows reports whether there is something that people see this once.
func (i Issued) Shows() bool { return i.APIKey.text != "" || i.Secret.text != "" && !i.Pasted }

// AlreadyIssued is the error of a form that has made its key, or rotated it: the
// credentials were in the answer to the first time it was sent.
type AlreadyIssued struct {
	Key     Key
	Rotated What // "": it made the key
	ShownTo string
	At      time.Time
}

func (*AlreadyIssued) Error() string { return "the form has made its key already" }

// Issue makes a key in the actor's workspace. A form's nonce makes one key,
// however often and however fast it is sent: the others get *AlreadyIssued. A
// command has no nonce. Where only the provider makes secrets, the key comes
// before its secret and refuses until one is pasted.
func (s *Store) Issue(ctx context.Context, by audit.Actor, draft Draft, nonce string) (Issued, error) {
	return s.issue(ctx, by, draft, nonce, Issued{})
}

// IssueWith makes a key whose signing secret the sender has already.
func (s *Store) IssueWith(ctx context.Context, by audit.Actor, draft Draft, secret, nonce string) (Issued, error) {
	if err := CheckSecret(draft.Scheme, secret); err != nil {
		return Issued{}, err
	}
	return s.issue(ctx, by, draft, nonce, Issued{Secret: Credential{secret}, Pasted: true})
}

// IssueWithout makes a key without credentials, which are made when its hand-over
// link is used; until then it refuses.
func (s *Store) IssueWithout(ctx context.Context, by audit.Actor, draft Draft, nonce string) (Issued, error) {
	if role := roleOf(by); role != "owner" && role != "admin" {
		return Issued{}, errMayNotHandOver
	}
	return s.issue(ctx, by, draft, nonce, Issued{later: true})
}

func (s *Store) issue(ctx context.Context, by audit.Actor, draft Draft, nonce string, issued Issued) (Issued, error) {
	draft, err := draft.checked(time.Now(), nil)
	if err != nil {
		return Issued{}, err
	}
	scheme, _ := signature.Find(draft.Scheme) // which was checked
	if scheme.HasAPIKey && !issued.later {
		issued.APIKey = NewAPIKey()
	}
	if scheme.MakesSecret && !issued.Pasted && !issued.later {
		issued.Secret = NewSecret()
	}
	if err := checkNonce(nonce); err != nil {
		return Issued{}, err
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		id, err := insertKey(ctx, tx, by, draft, draft.Source)
		if err != nil {
			return err
		}
		if err := s.claim(ctx, tx, by, nonce, id, ""); err != nil {
			return err
		}
		if err := s.addCredentials(ctx, tx, by.WorkspaceID, id, draft.Scheme, &issued); err != nil {
			return err
		}
		if issued.Key, err = find(ctx, tx, by.WorkspaceID, id); err != nil {
			return err
		}
		return recordIssued(ctx, tx, by, issued)
	})
	if err != nil {
		return Issued{}, s.refused(ctx, by, nonce, conflict(err, "issue key"))
	}
	return issued, nil
}

func checkNonce(nonce string) error {
	if len(nonce) > 200 || !utf8.ValidString(nonce) || strings.Contains(nonce, "\x00") {
		return fault.New(fault.Invalid, "The form is damaged. Open it again.")
	}
	return nil
}

// addCredentials stores what a new key has of them.
func (s *Store) addCredentials(ctx context.Context, tx *sqlx.Tx, workspace, id uuid.UUID, scheme string, issued *Issued) error {
	if text := issued.APIKey.text; text != "" {
		if err := s.addAPIKey(ctx, tx, id, firstTurn, hash(text), hint(text)); err != nil {
			return err
		}
	}
	if issued.Secret.text == "" {
		return nil
	}
	others, err := s.addSecret(ctx, tx, workspace, id, firstTurn, issued.Secret.text)
	if issued.Pasted {
		issued.Warnings = warningsOf(scheme, issued.Secret.text, others)
	}
	return err
}

// recordIssued tells the audit trail of a new key, of a pasted secret, and of
// what people were shown.
func recordIssued(ctx context.Context, tx *sqlx.Tx, by audit.Actor, issued Issued) error {
	key := issued.Key
	if err := record(ctx, tx, by, audit.KeyCreated, key, nil, key.fields()); err != nil {
		return err
	}
	if issued.Pasted {
		if err := record(ctx, tx, by, audit.SecretPasted, key, nil, pasted(key, issued.Warnings)); err != nil {
			return err
		}
	}
	if !issued.Shows() {
		return nil
	}
	shown := audit.Fields{"api_key": key.Hint, "fingerprint": key.Fingerprint}
	return record(ctx, tx, by, audit.CredentialsShown, key, nil, shown)
}

// refused is why a form made no key. What a form clashes with may be the key that
// it has made itself: then that is the answer, whichever rule was broken first.
func (s *Store) refused(ctx context.Context, by audit.Actor, nonce string, err error) error {
	f, known := fault.Of(err)
	if nonce == "" || !postgres.Violates(err, "form_nonces_pkey") && (!known || f.Kind != fault.Conflict) {
		return err
	}
	if already, lookErr := s.already(ctx, by.WorkspaceID, nonce); lookErr == nil {
		return already
	}
	return err
}

// insertKey writes the key's row under a source that is free. A source that was
// made from the name gets a number where it is taken; one that was asked for does not.
func insertKey(ctx context.Context, tx *sqlx.Tx, by audit.Actor, draft Draft, source string) (uuid.UUID, error) {
	const insert = `
		INSERT INTO webhook_keys (id, workspace_id, name, scheme, source, note, labels, created_by, owner_id, expires_at,
			require_signature, allow_in_url, allowed_cidrs, other_sources, rate_limit, rate_seconds, daily_quota, ref_pointer, identical_bodies, log)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20
		ON CONFLICT (workspace_id, source) WHERE source <> 'webhook' DO NOTHING`

	if err := ownerBelongs(ctx, tx, by.WorkspaceID, draft.OwnerID); err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, err
	}
	for n := 1; n <= 100; n++ {
		candidate := source
		if source == "" {
			candidate = sourceOf(draft.Name)
			if n > 1 {
				candidate += "-" + strconv.Itoa(n)
			}
		}
		result, err := tx.ExecContext(ctx, insert, id, by.WorkspaceID, draft.Name, draft.Scheme, candidate, draft.Note, pq.Array(draft.Labels),
			creator(by), draft.OwnerID, draft.ExpiresAt, draft.RequireSignature, draft.AllowInURL, pq.Array(draft.AllowedCIDRs),
			pq.Array(draft.OtherSources), draft.RateLimit, draft.RateSeconds, draft.DailyQuota, draft.RefPointer, draft.IdenticalBodies, draft.Log)
		if err != nil {
			return uuid.Nil, err
		}
		if rows, err := result.RowsAffected(); err != nil || rows == 1 {
			return id, err
		}
		if source != "" {
			break
		}
	}
	return uuid.Nil, fault.On("source", fault.Conflict, "Another key has that source.")
}

func creator(by audit.Actor) *uuid.UUID {
	if by.Kind == audit.User {
		return &by.UserID
	}
	return nil
}

// claim uses up the form's nonce for the key, or for what it rotates of it.
func (s *Store) claim(ctx context.Context, tx *sqlx.Tx, by audit.Actor, nonce string, id uuid.UUID, rotated What) error {
	const insert = `INSERT INTO form_nonces (workspace_id, nonce, webhook_key_id, shown_to, shown_to_id, rotated) VALUES ($1, $2, $3, $4, $5, $6)`
	if nonce == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, insert, by.WorkspaceID, nonce, id, by.Label, creator(by), rotated)
	return err
}

func (s *Store) already(ctx context.Context, workspace uuid.UUID, nonce string) (*AlreadyIssued, error) {
	const query = `SELECT webhook_key_id, shown_to, created_at, rotated FROM form_nonces WHERE workspace_id = $1 AND nonce = $2`
	var already AlreadyIssued
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error {
		var id uuid.UUID
		err := tx.QueryRowxContext(ctx, query, workspace, nonce).Scan(&id, &already.ShownTo, &already.At, &already.Rotated)
		if err != nil {
			return err
		}
		already.Key, err = find(ctx, tx, workspace, id)
		return err
	})
	return &already, err
}
