package main

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

type keyCmd struct {
	Create     keyCreateCmd     `cmd:"" help:"Make a key and print its credentials, this once."`
	List       keyListCmd       `cmd:"" help:"List a workspace's keys."`
	Deactivate keyDeactivateCmd `cmd:"" help:"Make a key stop working."`
	Reactivate keyReactivateCmd `cmd:"" help:"Make a deactivated key work again."`
	SetSecret  keySetSecretCmd  `cmd:"" help:"Give a key the secret that its sender signs with, read from standard input."`
	Rotate     keyRotateCmd     `cmd:"" help:"Make new credentials for a key and print them, this once; the old ones work on for a while."`
	Leaked     keyLeakedCmd     `cmd:"" help:"Stop the credentials of a key at once and for good, because somebody else has them."`
	Renew      keyRenewCmd      `cmd:"" help:"Make new credentials for a key whose old ones leaked, and print them, this once."`
	Handover   keyHandoverCmd   `cmd:"" help:"Make a link by which whoever it is for makes the key's credentials; nobody else sees them."`
	Import     keyImportCmd     `cmd:"" help:"Take a key that was made elsewhere, so that its sender changes nothing."`
}

// inWorkspace are the flags of every command on a workspace's keys.
type inWorkspace struct {
	common
	Workspace string `required:"" placeholder:"SLUG" help:"Slug of the workspace."`
}

// begin opens the stores, with the actor in the workspace.
func (c *inWorkspace) begin(ctx context.Context, a app) (*session, audit.Actor, error) {
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	return c.enter(ctx, s, err)
}

// look is begin for a command that lists.
func (c *inWorkspace) look(ctx context.Context, a app) (*session, audit.Actor, error) {
	s, err := look(ctx, a, c.Database)
	return c.enter(ctx, s, err)
}

func (c *inWorkspace) enter(ctx context.Context, s *session, err error) (*session, audit.Actor, error) {
	if err != nil {
		return nil, audit.Actor{}, err
	}
	by, err := s.in(ctx, c.Workspace)
	if err != nil {
		s.close()
		return nil, by, err
	}
	return s, by, nil
}

// checkDraft says which flag has a value that no key can have.
func checkDraft(draft keyring.Draft) error {
	f, wrong := fault.Of(draft.Check())
	if !wrong {
		return nil
	}
	return misuse("--%s: %s", flagOfField(f.Field), f.Message)
}

// lifetime returns the end of a time such as 90d or 36h from now; never has none.
func lifetime(text string, now time.Time) (*time.Time, error) {
	if text == "never" {
		return nil, nil
	}
	var life time.Duration
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 3650 {
			return nil, misuse("--expires-in %q is not like 90d, 36h or never", text)
		}
		life = time.Duration(n) * 24 * time.Hour
	} else {
		var err error
		if life, err = time.ParseDuration(text); err != nil || life <= 0 {
			return nil, misuse("--expires-in %q is not like 90d, 36h or never", text)
		}
	}
	at := now.Add(life).UTC()
	return &at, nil
}

type keyListCmd struct {
	inWorkspace
	Status string `default:"" enum:",active,expiring,never-used,idle,idle-90,never-expires,owner-gone,inactive,ghost-use" placeholder:"CLAIM" help:"Only keys of which this is true: active, expiring, never-used, idle, idle-90, never-expires, owner-gone, inactive or ghost-use."`
}

// A listedKey is a key without its credentials.
type listedKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scheme     string     `json:"scheme"`
	Source     string     `json:"source"`
	Status     string     `json:"status"`
	IsActive   bool       `json:"is_active"`
	Hint       string     `json:"hint"`
	Owner      string     `json:"owner"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Rotating   *time.Time `json:"rotating_until"` // null: no old credentials work
}

// Run lists keys.
func (c *keyListCmd) Run(ctx context.Context, a app) error {
	s, by, err := c.look(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	now := time.Now()
	filter := keyring.Filter{At: now, Claim: keyring.Claim(c.Status)}
	if filter.Claim == keyring.GhostUse {
		events := inbox.NewStore(s.console, s.box)
		found, err := events.Ghosts(ctx, by.WorkspaceID, uuid.Nil, now)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		for _, ghost := range found {
			ids = append(ids, ghost.KeyID)
		}
		works, err := s.keys.Working(ctx, ids)
		if err != nil {
			return err
		}
		filter.Ghosts = inbox.Haunted(found, works)
	}
	keys, err := s.keys.Search(ctx, by.WorkspaceID, filter)
	if err != nil {
		return err
	}
	listed, rows := []listedKey{}, [][]string{{"NAME", "STATUS", "LAST USED", "EXPIRES", "ID"}}
	for _, k := range keys {
		status := string(k.StatusAt(now))
		listed = append(listed, listedKey{
			ID: k.ID.String(), Name: k.Name, Scheme: k.Scheme, Source: k.Source, Status: status, IsActive: k.Active, Hint: k.Hint,
			Owner: k.OwnerName, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt, Rotating: k.RotatingUntil,
		})
		rows = append(rows, []string{k.Name, status, moment(k.LastUsedAt), moment(k.ExpiresAt), k.ID.String()})
	}
	return c.print(a.out, listed, func(w io.Writer) { table(w, rows...) })
}

type keyDeactivateCmd struct {
	inWorkspace
	Reason string `help:"Why, for the audit trail."`
	ID     string `arg:"" help:"Id of the key."`
}

// Run deactivates a key.
func (c *keyDeactivateCmd) Run(ctx context.Context, a app) error {
	deactivate := func(s *keyring.Store, ctx context.Context, by audit.Actor, id uuid.UUID) (bool, error) {
		changed, err := s.Deactivate(ctx, by, id, c.Reason)
		if f, known := fault.Of(err); err != nil && known && f.Kind == fault.Invalid {
			return false, &usageError{err}
		}
		return changed, err
	}
	return c.change(ctx, a, c.ID, "key", "deactivated", deactivate)
}

type keyReactivateCmd struct {
	inWorkspace
	ID string `arg:"" help:"Id of the key."`
}

// Run reactivates a key.
func (c *keyReactivateCmd) Run(ctx context.Context, a app) error {
	return c.change(ctx, a, c.ID, "key", "reactivated", (*keyring.Store).Reactivate)
}
