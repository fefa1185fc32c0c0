package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"keyhook/internal/account"
)

type workspaceCmd struct {
	Create workspaceCreateCmd `cmd:"" help:"Make a workspace."`
	List   workspaceListCmd   `cmd:"" help:"List workspaces."`
	Delete workspaceDeleteCmd `cmd:"" help:"Delete a workspace with all that is in it. Its audit trail stays."`
}

type workspaceCreateCmd struct {
	common
	Name  string `required:"" help:"Name."`
	Owner string `required:"" help:"E-mail address of its owner."`
}

// Run makes a workspace.
func (c *workspaceCreateCmd) Run(ctx context.Context, a app) error {
	if err := filled("name", c.Name, "owner", c.Owner); err != nil {
		return err
	}
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	users, err := s.accounts.Users(ctx)
	if err != nil {
		return err
	}
	for _, user := range users {
		if !strings.EqualFold(user.Email, strings.TrimSpace(c.Owner)) {
			continue
		}
		workspace, err := s.accounts.CreateWorkspace(ctx, s.by, c.Name, user.ID)
		if err != nil {
			return err
		}
		created := map[string]string{"id": workspace.ID.String(), "slug": workspace.Slug, "name": workspace.Name}
		return c.print(a.out, created, func(w io.Writer) {
			fmt.Fprintf(w, "made workspace %s\nid    %s\nslug  %s\n", workspace.Name, workspace.ID, workspace.Slug)
		})
	}
	return fmt.Errorf("there is no user %s", c.Owner)
}

type workspaceListCmd struct{ common }

// Run lists workspaces.
func (c *workspaceListCmd) Run(ctx context.Context, a app) error {
	s, err := look(ctx, a, c.Database)
	if err != nil {
		return err
	}
	defer s.close()
	workspaces, err := s.accounts.Workspaces(ctx)
	if err != nil {
		return err
	}
	if workspaces == nil {
		workspaces = []account.Workspace{}
	}
	return c.print(a.out, workspaces, func(w io.Writer) {
		rows := [][]string{{"SLUG", "NAME", "ID", "STATE"}}
		for _, workspace := range workspaces {
			state := "in use"
			if workspace.DeletingAt != nil {
				state = "being deleted"
			}
			rows = append(rows, []string{workspace.Slug, workspace.Name, workspace.ID.String(), state})
		}
		table(w, rows...)
	})
}

type workspaceDeleteCmd struct {
	common
	Workspace string `required:"" placeholder:"SLUG" help:"Slug of the workspace."`
	Yes       bool   `help:"Do it: it can't be undone."`
}

// Run deletes a workspace.
func (c *workspaceDeleteCmd) Run(ctx context.Context, a app) error {
	if !c.Yes {
		return misuse("deleting a workspace can't be undone: add --yes")
	}
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.accounts.DeleteWorkspace(ctx, s.by, c.Workspace); err != nil {
		return err
	}
	// With millions of rows it takes longer than the console's pool allows. What is
	// cut off here, serve goes on with.
	if err := account.NewStore(s.db.maintenance, s.box, s.log).EraseDeleted(ctx); err != nil {
		return err
	}
	return c.print(a.out, map[string]string{"deleted": c.Workspace}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", c.Workspace) })
}

type memberCmd struct {
	Add    memberAddCmd    `cmd:"" help:"Make a user part of a workspace."`
	Remove memberRemoveCmd `cmd:"" help:"Take a user out of a workspace."`
}

type memberAddCmd struct {
	common
	Workspace string `required:"" placeholder:"SLUG" help:"Slug of the workspace."`
	Email     string `required:"" help:"E-mail address of the user."`
	Role      string `default:"member" enum:"owner,admin,member,auditor" help:"owner, admin, member or auditor."`
}

// Run adds a member.
func (c *memberAddCmd) Run(ctx context.Context, a app) error {
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.accounts.AddMember(ctx, s.by, c.Workspace, c.Email, account.Role(c.Role)); err != nil {
		return err
	}
	added := map[string]string{"workspace": c.Workspace, "email": c.Email, "role": c.Role}
	return c.print(a.out, added, func(w io.Writer) { fmt.Fprintf(w, "%s is %s of %s\n", c.Email, c.Role, c.Workspace) })
}

type memberRemoveCmd struct {
	common
	Workspace string `required:"" placeholder:"SLUG" help:"Slug of the workspace."`
	Email     string `required:"" help:"E-mail address of the user."`
}

// Run removes a member.
func (c *memberRemoveCmd) Run(ctx context.Context, a app) error {
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.accounts.RemoveMember(ctx, s.by, c.Workspace, c.Email); err != nil {
		return err
	}
	removed := map[string]string{"workspace": c.Workspace, "email": c.Email}
	return c.print(a.out, removed, func(w io.Writer) { fmt.Fprintf(w, "%s is no longer part of %s\n", c.Email, c.Workspace) })
}
