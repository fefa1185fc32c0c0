package main

import (
	"context"

	"keyhook/internal/audit"
	"keyhook/internal/config"
)

type exportAuditCmd struct {
	config.Database
	Workspace string `placeholder:"SLUG" xor:"chain" required:"" help:"Slug of the workspace; the id of one that was deleted."`
	Instance  bool   `xor:"chain" required:"" help:"The instance's own trail: people, sign-ins, deleted workspaces."`
	Format    string `default:"ndjson" enum:"ndjson,csv" help:"ndjson or csv; ndjson can be verified."`
}

// Run writes a trail to standard output.
func (c *exportAuditCmd) Run(ctx context.Context, a app) error {
	t, err := openTrail(ctx, a, c.Database)
	if err != nil {
		return err
	}
	defer t.close()
	by, label := t.by, "Instance"
	if !c.Instance {
		if by.WorkspaceID, label, err = t.find(ctx, c.Workspace); err != nil {
			return err
		}
	}
	return t.store.Export(ctx, by, audit.Export{Label: label, Format: audit.Format(c.Format)}, a.out)
}
