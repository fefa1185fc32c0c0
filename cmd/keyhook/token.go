package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

type tokenCmd struct {
	Create     tokenCreateCmd     `cmd:"" help:"Make a token for a program and print it, this once."`
	List       tokenListCmd       `cmd:"" help:"List a workspace's tokens."`
	Deactivate tokenDeactivateCmd `cmd:"" help:"Make a token stop working."`
	Reactivate tokenReactivateCmd `cmd:"" help:"Make a deactivated token work again."`
}

type tokenCreateCmd struct {
	inWorkspace
	Name      string   `required:"" help:"Name of the program."`
	Can       []string `required:"" placeholder:"SCOPE" help:"What it may do: read-signals."`
	ExpiresIn string   `default:"365d" help:"How long it works, such as 90d, or never."`
}

type createdToken struct {
	ID          string     `json:"id"`
	Token       string     `json:"token"`
	WorkspaceID string     `json:"workspace_id"`
	Name        string     `json:"name"`
	Can         []string   `json:"can"`
	ExpiresAt   *time.Time `json:"expires_at"`
}

// Run makes a token.
func (c *tokenCreateCmd) Run(ctx context.Context, a app) error {
	expires, err := lifetime(c.ExpiresIn, time.Now())
	if err != nil {
		return err
	}
	draft := keyring.TokenDraft{Name: c.Name, ExpiresAt: expires}
	for _, scope := range c.Can {
		draft.Scopes = append(draft.Scopes, keyring.Scope(scope))
	}
	if f, wrong := fault.Of(draft.Check()); wrong {
		flag := map[string]string{"scopes": "can", "expires": "expires-in"}[f.Field]
		if flag == "" {
			flag = f.Field
		}
		return misuse("--%s: %s", flag, f.Message)
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	issued, err := s.keys.IssueToken(ctx, by, draft, "")
	if err != nil {
		return err
	}
	created := createdToken{
		ID: issued.Token.ID.String(), Token: issued.Text.Reveal(), WorkspaceID: issued.Token.WorkspaceID.String(), Name: issued.Token.Name,
		Can: issued.Token.Scopes, ExpiresAt: issued.Token.ExpiresAt,
	}
	return c.print(a.out, created, func(w io.Writer) {
		fmt.Fprintf(w, "made token %s\n\nid     %s\ntoken  %s\n\nThe token is shown this once.\n", created.Name, created.ID, created.Token)
	})
}

type tokenListCmd struct{ inWorkspace }

// A listedToken is a token without what programs present.
type listedToken struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Can        []string   `json:"can"`
	Status     string     `json:"status"`
	IsActive   bool       `json:"is_active"`
	Hint       string     `json:"hint"`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// Run lists tokens.
func (c *tokenListCmd) Run(ctx context.Context, a app) error {
	s, by, err := c.look(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	tokens, err := s.keys.Tokens(ctx, by.WorkspaceID)
	if err != nil {
		return err
	}
	listed, rows := []listedToken{}, [][]string{{"NAME", "STATUS", "CAN", "LAST USED", "EXPIRES", "ID"}}
	for _, t := range tokens {
		status := string(t.StatusAt(time.Now()))
		listed = append(listed, listedToken{
			ID: t.ID.String(), Name: t.Name, Can: t.Scopes, Status: status, IsActive: t.Active, Hint: t.Hint,
			CreatedAt: t.CreatedAt, CreatedBy: t.CreatedByName, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt,
		})
		rows = append(rows, []string{t.Name, status, strings.Join(t.Scopes, ","), moment(t.LastUsedAt), moment(t.ExpiresAt), t.ID.String()})
	}
	return c.print(a.out, listed, func(w io.Writer) { table(w, rows...) })
}

type tokenDeactivateCmd struct {
	inWorkspace
	ID string `arg:"" help:"Id of the token."`
}

// Run deactivates a token.
func (c *tokenDeactivateCmd) Run(ctx context.Context, a app) error {
	return c.change(ctx, a, c.ID, "token", "deactivated", (*keyring.Store).DeactivateToken)
}

type tokenReactivateCmd struct {
	inWorkspace
	ID string `arg:"" help:"Id of the token."`
}

// Run reactivates a token.
func (c *tokenReactivateCmd) Run(ctx context.Context, a app) error {
	return c.change(ctx, a, c.ID, "token", "reactivated", (*keyring.Store).ReactivateToken)
}

// change deactivates or reactivates what an id names.
func (c *inWorkspace) change(ctx context.Context, a app, text, what, done string, act func(*keyring.Store, context.Context, audit.Actor, uuid.UUID) (bool, error)) error {
	id, err := uuid.Parse(text)
	if err != nil {
		return misuse("%q is not a %s's id", text, what)
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	changed, err := act(s.keys, ctx, by, id)
	if err != nil {
		return err
	}
	return c.print(a.out, map[string]any{"id": id, "changed": changed}, func(w io.Writer) {
		if changed {
			fmt.Fprintf(w, "%s %s\n", done, id)
		} else {
			fmt.Fprintf(w, "%s was %s already\n", id, done)
		}
	})
}
