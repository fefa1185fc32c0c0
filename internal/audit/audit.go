// Package audit keeps the record of who did what: one entry for each change,
// written in the transaction of the change, so that without a record there is no
// change. It owns the tables audit_log,
// audit_heads, audit_checkpoints and audit_verifications.
//
// Entries form a chain for each workspace and one for the instance: an entry's
// hash covers its own fields and the hash before it. Entries name people and
// things by id and by their name at the time and outlive them all.
package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// An ActorKind says what sort of actor made a change.
type ActorKind string

// The kinds of actors. They are stored and hashed, so fixed for ever.
const (
	User   ActorKind = "user"   // a signed-in person
	System ActorKind = "system" // Keyhook itself
	CLI    ActorKind = "cli"    // a command on the machine
	Token  ActorKind = "token"  // a program
	Link   ActorKind = "link"   // whoever holds a one-time link
)

// An Actor is who makes a change, from where, and in which workspace. Every
// method that changes a workspace takes one.
type Actor struct {
	WorkspaceID uuid.UUID // uuid.Nil: the instance
	Kind        ActorKind
	UserID      uuid.UUID // of a User
	ID          string    // of another kind, if it has one
	Label       string    // the name at the time
	Role        string    // of a User in the workspace: for the SQL of "one's own key"
	Address     string
	RequestID   string
}

// In returns by acting in another workspace; uuid.Nil is the instance.
func (by Actor) In(workspace uuid.UUID) Actor {
	by.WorkspaceID = workspace
	return by
}

// As returns by as a person who is known by now.
func (by Actor) As(user uuid.UUID, name string) Actor {
	by.Kind, by.UserID, by.Label = User, user, name
	return by
}

func (by Actor) id() string {
	if by.Kind == User {
		return by.UserID.String()
	}
	return by.ID
}

// Chain returns the name of the chain that by's changes belong to.
func (by Actor) Chain() string { return ChainOf(by.WorkspaceID) }

// ChainOf names a workspace's chain; that of uuid.Nil is the instance's.
func ChainOf(workspace uuid.UUID) string {
	if workspace == uuid.Nil {
		return "instance"
	}
	return workspace.String()
}

// A Target is what a change was made to.
type Target struct {
	Kind  string // key, user, workspace, member, session, link, audit
	ID    string
	Label string // its name at the time
}

// Fields are the parts of a target that a change touched. Secrets are never
// among them.
type Fields map[string]any

// Record adds an entry to the chain of by's workspace as part of tx. Before and
// after may be nil. A transaction that records in several chains does so in the
// order of their names, the instance's last, so that two can't wait for each other.
func Record(ctx context.Context, tx *sqlx.Tx, by Actor, action Action, target Target, before, after Fields) error {
	entry, err := entryOf(by, Change{action, target, before, after})
	if err != nil {
		return err
	}
	if err := add(ctx, tx, entry); err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	return nil
}

func encodeFields(fields Fields) (string, error) {
	if fields == nil {
		return "", nil
	}
	text, err := json.Marshal(fields)
	return string(text), err
}

// add puts entry at the end of its chain.
func add(ctx context.Context, tx *sqlx.Tx, entry Entry) error {
	const insert = `
		INSERT INTO audit_log (chain, seq, at, actor_kind, actor_id, actor_label, action, target_kind,
			target_id, target_label, address, request_id, before, after, prev_hash, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`
	seq, hash, err := lockHead(ctx, tx, entry.Chain)
	if err != nil {
		return err
	}
	entry.Seq, entry.PrevHash = seq+1, hash
	entry.Hash = entry.Sum()
	_, err = tx.ExecContext(ctx, insert, entry.Chain, entry.Seq, entry.At, entry.ActorKind, entry.ActorID, entry.ActorLabel,
		entry.Action, entry.TargetKind, entry.TargetID, entry.TargetLabel, entry.Address, entry.RequestID,
		entry.Before, entry.After, entry.PrevHash, entry.Hash)
	if err != nil {
		return err
	}
	return moveHead(ctx, tx, entry.Chain, entry.Seq, entry.Hash)
}

// lockHead returns where a chain ends. The lock keeps others from the same place.
func lockHead(ctx context.Context, tx *sqlx.Tx, chain string) (seq int64, hash []byte, err error) {
	const open = `
		INSERT INTO audit_heads (chain, seq, hash) VALUES ($1, 0, $2)
		ON CONFLICT (chain) DO NOTHING`
	const lock = `SELECT seq, hash FROM audit_heads WHERE chain = $1 FOR UPDATE`
	if _, err := tx.ExecContext(ctx, open, chain, make([]byte, 32)); err != nil {
		return 0, nil, err
	}
	err = tx.QueryRowxContext(ctx, lock, chain).Scan(&seq, &hash)
	return seq, hash, err
}

func moveHead(ctx context.Context, tx *sqlx.Tx, chain string, seq int64, hash []byte) error {
	const move = `UPDATE audit_heads SET seq = $2, hash = $3 WHERE chain = $1`
	_, err := tx.ExecContext(ctx, move, chain, seq, hash)
	return err
}
