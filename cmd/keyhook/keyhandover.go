package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/config"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

type keyHandoverCmd struct {
	inWorkspace
	config.Links
	ID      string `arg:"" help:"Id of the key."`
	For     string `required:"" help:"Whom it is for: a name or an e-mail address, for the record."`
	Note    string `help:"Note to the recipient."`
	Overlap string `default:"24h" help:"How long the old credentials go on working once the link is used, such as 1h or 7d; 0 stops them then."`
}

type handoverLink struct {
	ID        string    `json:"id"`
	KeyID     string    `json:"key_id"`
	For       string    `json:"for"`
	Link      string    `json:"link"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Run makes a hand-over link.
func (c *keyHandoverCmd) Run(ctx context.Context, a app) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return misuse("%q is not a key's id", c.ID)
	}
	if err := c.Links.Validate(); err != nil {
		return &usageError{err}
	}
	draft := keyring.HandoverDraft{Recipient: c.For, Note: c.Note}
	if draft.Overlap, err = overlapLength(c.Overlap); err != nil {
		return err
	}
	if f, wrong := fault.Of(draft.Check()); wrong {
		return misuse("--%s: %s", map[string]string{"recipient": "for", "note": "note", "overlap": "overlap"}[f.Field], f.Message)
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	made, token, err := s.keys.HandOver(ctx, by, id, draft)
	if err != nil {
		return err
	}
	link := handoverLink{
		ID: made.ID.String(), KeyID: c.ID, For: made.Recipient, ExpiresAt: made.ExpiresAt.UTC(),
		Link: publicBase(c.Links, c.DataDir) + "/handover/" + made.ID.String() + "?token=" + token.Reveal(),
	}
	return c.print(a.out, link, func(w io.Writer) {
		fmt.Fprintf(w, "link for %s, good once, until %s:\n%s\n", link.For, link.ExpiresAt.Format(time.RFC3339), link.Link)
	})
}
