package main

import (
	"context"
	"time"

	"keyhook/internal/inbox"
)

// forget does away with what is past its time, by the rules of each workspace.
func (h *house) forget(ctx context.Context) error {
	workspaces, err := h.accounts.Workspaces(ctx)
	if err != nil {
		return err
	}
	var rules []inbox.Rule
	for _, w := range workspaces {
		if w.DeletingAt != nil {
			continue // all of it is going
		}
		rule := inbox.Rule{
			Workspace: w.ID, Keep: days(w.KeepSignalsDays), KeepUnread: days(w.KeepUnreadDays),
			Log: days(w.KeepDeliveriesDays), Payloads: days(w.KeepPayloadsDays),
		}
		tokens, err := h.keys.Tokens(ctx, w.ID)
		if err != nil {
			return err
		}
		for _, token := range tokens {
			if token.Reads(time.Now()) {
				rule.Readers = append(rule.Readers, token.ID)
			}
		}
		rules = append(rules, rule)
	}
	return h.upkeep.Forget(ctx, time.Now(), rules)
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
