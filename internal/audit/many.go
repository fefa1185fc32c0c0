package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// A Change is what one entry tells of, among many of one actor.
type Change struct {
	Action        Action
	Target        Target
	Before, After Fields
}

// RecordAll is Record for many changes, in their order, in a few statements.
func RecordAll(ctx context.Context, tx *sqlx.Tx, by Actor, changes []Change) error {
	entries := make([]Entry, len(changes))
	for i, c := range changes {
		var err error
		if entries[i], err = entryOf(by, c); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := addAll(ctx, tx, by.Chain(), entries); err != nil {
		return fmt.Errorf("record %d changes: %w", len(changes), err)
	}
	return nil
}

func entryOf(by Actor, c Change) (Entry, error) {
	entry := Entry{
		Chain: by.Chain(), At: time.Now().UTC().Format(timeFormat),
		ActorKind: by.Kind, ActorID: by.id(), ActorLabel: by.Label, Action: c.Action,
		TargetKind: c.Target.Kind, TargetID: c.Target.ID, TargetLabel: c.Target.Label,
		Address: by.Address, RequestID: by.RequestID,
	}
	var err error
	if entry.Before, err = encodeFields(c.Before); err == nil {
		entry.After, err = encodeFields(c.After)
	}
	if err != nil {
		return entry, fmt.Errorf("record %s: %w", c.Action, err)
	}
	return entry, nil
}

// addAll puts entries at the end of their chain, as add does one.
func addAll(ctx context.Context, tx *sqlx.Tx, chain string, entries []Entry) error {
	const insert = `
		INSERT INTO audit_log (chain, seq, at, actor_kind, actor_id, actor_label, action, target_kind,
			target_id, target_label, address, request_id, before, after, prev_hash, hash)
		SELECT chain, seq, at, actor_kind, actor_id, actor_label, action, target_kind,
			target_id, target_label, address, request_id, before, after, decode(prev_hash, 'base64'), decode(hash, 'base64')
		FROM jsonb_to_recordset($1::jsonb) AS e (chain text, seq bigint, at text, actor_kind text, actor_id text, actor_label text,
			action text, target_kind text, target_id text, target_label text, address text, request_id text, before text, after text,
			prev_hash text, hash text)
		ORDER BY seq`
	seq, hash, err := lockHead(ctx, tx, chain)
	if err != nil {
		return err
	}
	for i := range entries {
		seq++
		entries[i].Seq, entries[i].PrevHash = seq, hash
		hash = entries[i].Sum()
		entries[i].Hash = hash
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insert, string(text)); err != nil {
		return err
	}
	return moveHead(ctx, tx, chain, seq, hash)
}
