package main

import (
	"context"
	"fmt"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/web"
)

type exportDeliveriesCmd struct {
	inWorkspace
	Format     string `default:"ndjson" enum:"ndjson,csv" help:"ndjson or csv."`
	After      string `placeholder:"ID" help:"Go on behind this request: the last one that an export has which was cut off."`
	Payloads   bool   `help:"Write the bodies too, as far as they are kept."`
	Range      string `help:"1h, 24h, 7d or 30d back from now."`
	From       string `placeholder:"TIME" help:"Only those from this time on, in UTC, such as 2026-11-23T14:02."`
	Until      string `placeholder:"TIME" help:"Only those before this time."`
	Key        string `placeholder:"ID" help:"Only those of this key."`
	Outcome    string `help:"accepted, duplicate or refused."`
	Reason     string `help:"Why they were refused, such as signature_wrong."`
	Scheme     string `help:"Scheme of the key."`
	Auth       string `placeholder:"METHOD" help:"How they proved who sent them, such as signature or api_key."`
	Generation string `placeholder:"N" help:"Generation of the credential."`
	Address    string `help:"An address, or a network such as 203.0.113.0/24."`
	Source     string `help:"Source of the event."`
	Ref        string `help:"The event's reference (source_ref)."`
	Text       string `help:"Text in the headers or the body."`
}

// filter is what the flags mean, and how a console's address would state it.
func (c *exportDeliveriesCmd) filter() (inbox.DeliveryFilter, string, error) {
	query := url.Values{}
	for field, text := range map[string]string{
		"range": c.Range, "from": c.From, "until": c.Until, "key": c.Key, "outcome": c.Outcome, "reason": c.Reason, "scheme": c.Scheme, "auth": c.Auth,
		"generation": c.Generation, "address": c.Address, "source": c.Source, "ref": c.Ref, "q": c.Text,
	} {
		query.Set(field, text)
	}
	filter, stated, err := web.ParseDeliveryFilter(query, time.Now())
	if f, wrong := fault.Of(err); err != nil && wrong {
		flag := f.Field
		if flag == "q" {
			flag = "text"
		}
		return filter, "", misuse("--%s: %s", flag, f.Message)
	}
	return filter, stated, err
}

// Run writes deliveries to standard output.
func (c *exportDeliveriesCmd) Run(ctx context.Context, a app) error {
	filter, stated, err := c.filter()
	if err != nil {
		return err
	}
	filter.SeesBodies = true
	export := inbox.Export{Filter: filter, Stated: stated, Format: c.Format, Payloads: c.Payloads, KeyNames: map[uuid.UUID]string{}}
	if c.After != "" {
		if export.After, err = uuid.Parse(c.After); err != nil {
			return misuse("--after %q is no request's id", c.After)
		}
	}
	s, by, err := c.look(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	keys, err := keyring.NewStore(s.console, nil).List(ctx, by.WorkspaceID)
	if err != nil {
		return err
	}
	for _, key := range keys {
		export.KeyNames[key.ID] = key.Name
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that leaves is an error of the write, which is recorded, not our end
	done, err := inbox.NewStore(s.console, nil).Export(ctx, by, export, a.out)
	if err != nil && done.Last != uuid.Nil {
		return fmt.Errorf("cut off after %d rows: go on with --after and the id in the last complete line, %s or an earlier one: %w", done.Rows, done.Last, err)
	}
	return err
}
