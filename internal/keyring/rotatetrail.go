package keyring

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
)

// recordRotated tells the audit trail what was replaced, and what people were shown.
func recordRotated(ctx context.Context, tx *sqlx.Tx, by audit.Actor, before Key, done Rotated) error {
	was, is := changed(recognised(before), recognised(done.Key))
	action := audit.KeyRotated
	if done.Renewed {
		action = audit.KeyRenewed
	} else {
		is["rotated"], is["overlap_ends"] = string(done.What), "now"
	}
	if done.reason != "" {
		is["reason"] = done.reason
	}
	if done.Until != nil {
		is["overlap_ends"] = done.Until.UTC().Format(time.RFC3339)
	}
	if done.Ended > 0 {
		is["stopped_of_earlier_overlap"] = done.Ended
	}
	if err := record(ctx, tx, by, action, done.Key, was, is); err != nil {
		return err
	}
	if done.Pasted {
		if err := record(ctx, tx, by, audit.SecretPasted, done.Key, nil, pasted(done.Key, done.Warnings)); err != nil {
			return err
		}
	}
	if !done.Shows() {
		return nil
	}
	shown := audit.Fields{}
	if done.APIKey.text != "" {
		shown["api_key"] = done.Key.Hint
	}
	if done.Secret.text != "" && !done.Pasted {
		shown["fingerprint"] = done.Key.Fingerprint
	}
	return record(ctx, tx, by, audit.CredentialsShown, done.Key, nil, shown)
}

// recognised are what people tell a key's credentials by.
func recognised(key Key) audit.Fields {
	return audit.Fields{"api_key": key.Hint, "fingerprint": key.Fingerprint}
}
