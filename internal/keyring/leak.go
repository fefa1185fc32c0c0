package keyring

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

var (
	errLeaked        = fault.New(fault.Conflict, "This key’s credentials were reported as leaked and have stopped, so there is nothing to rotate. Make new ones instead.")
	errNotLeaked     = fault.New(fault.Conflict, "This key has credentials. Rotate it to replace them.")
	errNothingLeaked = fault.New(fault.Conflict, "This key has no credentials yet, so none can have leaked.")
	errChanged       = fault.New(fault.Conflict, "The key was given other credentials meanwhile. Look at it again: confirming now stops those too.")
	errLeakedSecret  = fault.On("secret", fault.Invalid, "That secret was reported as leaked. Let the sender have a new one made, and paste that.")
)

// ReportLeaked stops all credentials that a key has, those of an overlap too, at
// once and for good: once it has returned, no request that starts later is
// accepted with one. Secrets are erased; hashes and fingerprints stay.
//
// seen is how many credentials the key had, as the form told; 0: any number. It
// reports whether there was something to stop. What was made since the form was
// opened is not stopped by it.
func (s *Store) ReportLeaked(ctx context.Context, by audit.Actor, id uuid.UUID, seen int) (changed bool, err error) {
	const stop = `
		UPDATE webhook_key_credentials SET ended_at = $2, leaked_at = $2, sealed = NULL
		WHERE webhook_key_id = $1 AND ended_at IS NULL`
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		key, err := lock(ctx, tx, by, id)
		if err != nil {
			return err
		}
		held, at, err := heldBy(ctx, tx, id)
		if err != nil {
			return err
		}
		open := slices.DeleteFunc(slices.Clone(held), func(h holding) bool { return h.Ended })
		switch {
		case len(held) == 0:
			return errNothingLeaked
		case len(open) == 0, seen > 0 && allStopped(held, seen):
			return nil
		case seen > 0 && seen != len(held):
			return errChanged
		}
		if _, err := tx.ExecContext(ctx, stop, id, at); err != nil {
			return err
		}
		changed = true
		was, is := stopped(open)
		return record(ctx, tx, by, audit.KeyLeaked, key, was, is)
	})
	if err != nil {
		return false, conflict(err, "report leaked credentials")
	}
	return changed, nil
}

// allStopped reports whether the first n credentials that a key had are stopped.
func allStopped(held []holding, n int) bool {
	held = slices.Clone(held)
	slices.SortFunc(held, func(a, b holding) int { return slices.Compare(a.ID[:], b.ID[:]) }) // by the time that they were made
	return !slices.ContainsFunc(held[:min(n, len(held))], func(h holding) bool { return !h.Ended })
}

// stopped is what the audit trail tells of credentials that leaked.
func stopped(open []holding) (was, is audit.Fields) {
	was, is = audit.Fields{}, audit.Fields{}
	for _, h := range open {
		field, text, now := "api_key", h.Hint, "stopped"
		if h.Kind == secretKind {
			field, text, now = "fingerprint", short(h.Fingerprint), "stopped, and the secret erased"
		}
		texts, _ := was[field].([]string)
		was[field], is[field] = append(texts, text), now
	}
	return was, is
}

// short is what people tell a secret by.
func short(fingerprint []byte) string {
	return hex.EncodeToString(fingerprint[:min(6, len(fingerprint))])
}

// A Leak is a report that credentials of a key have leaked.
type Leak struct {
	At          time.Time
	Since       time.Time // when the oldest of them was made
	Last        int       // the highest number that requests with them are counted under
	Credentials []Leaked  // the newest first
}

// Leaked is a credential that was reported as leaked. Its number is what requests
// with it were counted under in the end.
type Leaked struct {
	Kind      string // api_key, secret
	Text      string // hint of an API key, short fingerprint of a secret
	CountedAs int
	CreatedAt time.Time
}

// Leaks are the reports about a key, the latest first. Others are the names of the
// workspace's keys that still take a secret which leaked with this one.
type Leaks struct {
	Reports []Leak
	Others  []string
	Seen    int // how many credentials the key has or had; see ReportLeaked and Rotation
}

// LeaksOf returns what was reported about a key.
func (s *Store) LeaksOf(ctx context.Context, workspace, id uuid.UUID) (leaks Leaks, err error) {
	const others = `
		SELECT DISTINCT k.name FROM webhook_key_credentials AS leaked
		JOIN webhook_key_credentials AS c ON c.fingerprint = leaked.fingerprint AND c.ended_at IS NULL
		JOIN webhook_keys AS k ON k.id = c.webhook_key_id AND k.workspace_id = $1 AND k.id <> $2
		WHERE leaked.webhook_key_id = $2 AND leaked.leaked_at IS NOT NULL ORDER BY k.name LIMIT 100`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error {
		if _, err := find(ctx, tx, workspace, id); err != nil {
			return err
		}
		held, _, err := heldBy(ctx, tx, id)
		if err != nil {
			return err
		}
		leaks.Reports, leaks.Seen = leaksIn(held), len(held)
		if len(leaks.Reports) == 0 {
			return nil
		}
		return tx.SelectContext(ctx, &leaks.Others, others, workspace, id)
	})
	if err != nil {
		return Leaks{}, fmt.Errorf("read a key's leaks: %w", err)
	}
	return leaks, nil
}

func leaksIn(held []holding) (reports []Leak) {
	for _, h := range held {
		if h.LeakedAt == nil {
			continue
		}
		i := slices.IndexFunc(reports, func(l Leak) bool { return l.At.Equal(*h.LeakedAt) })
		if i < 0 {
			i, reports = len(reports), append(reports, Leak{At: *h.LeakedAt, Since: h.CreatedAt})
		}
		l := &reports[i]
		if h.CreatedAt.Before(l.Since) {
			l.Since = h.CreatedAt
		}
		l.Last = max(l.Last, h.CountedAs)
		text := h.Hint
		if h.Kind == secretKind {
			text = short(h.Fingerprint)
		}
		l.Credentials = append(l.Credentials, Leaked{h.Kind, text, h.CountedAs, h.CreatedAt})
	}
	slices.SortFunc(reports, func(a, b Leak) int { return b.At.Compare(a.At) })
	return reports
}

// refuseLeaked turns a secret away that was reported as leaked in the workspace.
func (s *Store) refuseLeaked(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, fingerprint []byte) error {
	const query = `
		SELECT EXISTS (SELECT FROM webhook_key_credentials AS c JOIN webhook_keys AS k ON k.id = c.webhook_key_id
			WHERE c.fingerprint = $1 AND c.leaked_at IS NOT NULL AND k.workspace_id = $2)`
	var leaked bool
	if err := tx.GetContext(ctx, &leaked, query, fingerprint, workspace); err != nil {
		return err
	}
	if leaked {
		return errLeakedSecret
	}
	return nil
}
