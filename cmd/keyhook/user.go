package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/config"
	"keyhook/internal/fault"
)

// common are the settings of every command that works on people or keys.
type common struct {
	config.Database
	config.MasterKey
	jsonFlag
}

type userCmd struct {
	Create  userCreateCmd  `cmd:"" help:"Make a user. Without a password, print a one-time link to choose one."`
	List    userListCmd    `cmd:"" help:"List users."`
	Reset   userResetCmd   `cmd:"" help:"Take a user's password away and print a one-time link to choose another."`
	Disable userDisableCmd `cmd:"" help:"Keep a user out and end their sessions."`
}

type userCreateCmd struct {
	common
	config.Links
	Email         string `required:"" help:"E-mail address."`
	Name          string `required:"" help:"Name."`
	PasswordStdin bool   `help:"Read the password from standard input."`
}

type createdUser struct {
	account.User
	Link string `json:"link,omitempty"`
}

// Run makes a user.
func (c *userCreateCmd) Run(ctx context.Context, a app) error {
	if err := c.Links.Validate(); err != nil {
		return &usageError{err}
	}
	if err := filled("email", c.Email, "name", c.Name); err != nil {
		return err
	}
	password := ""
	if c.PasswordStdin {
		var err error
		if password, err = readSecret(a.in); err != nil {
			return err
		}
	}
	if err := checkUser(account.NewUser{Name: c.Name, Email: c.Email, Password: password}); err != nil {
		return err
	}
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	user, token, err := s.accounts.CreateUser(ctx, s.by, c.Email, c.Name, password)
	if err != nil {
		return err
	}
	created := createdUser{User: user}
	if token != "" {
		created.Link = publicBase(c.Links, c.DataDir) + "/password?token=" + token
	}
	return c.print(a.out, created, func(w io.Writer) {
		fmt.Fprintf(w, "made user %s (%s)\n", user.Email, user.ID)
		if created.Link != "" {
			fmt.Fprintf(w, "link to choose a password, good once, for 72 hours:\n%s\n", created.Link)
		}
	})
}

// checkUser says which flag, or whether the password, is one that no user can have.
func checkUser(user account.NewUser) error {
	f, wrong := fault.Of(user.Check())
	switch {
	case !wrong:
		return nil
	case f.Field == "password":
		return misuse("the password on standard input: %s", f.Message)
	}
	return misuse("--%s: %s", f.Field, f.Message)
}

type userListCmd struct{ common }

// Run lists users.
func (c *userListCmd) Run(ctx context.Context, a app) error {
	s, err := look(ctx, a, c.Database)
	if err != nil {
		return err
	}
	defer s.close()
	users, err := s.accounts.Users(ctx)
	if err != nil {
		return err
	}
	if users == nil {
		users = []account.User{}
	}
	return c.print(a.out, users, func(w io.Writer) {
		rows := [][]string{{"EMAIL", "NAME", "LAST SEEN", "STATE"}}
		for _, u := range users {
			rows = append(rows, []string{u.Email, u.Name, moment(u.LastSeenAt), userState(u)})
		}
		table(w, rows...)
	})
}

func userState(u account.User) string {
	switch {
	case u.DisabledAt != nil:
		return "disabled"
	case !u.HasPassword:
		return "no password yet"
	}
	return "active"
}

func moment(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}

type userResetCmd struct {
	common
	config.Links
	Email string `required:"" help:"E-mail address."`
}

// Run takes a password away.
func (c *userResetCmd) Run(ctx context.Context, a app) error {
	if err := c.Links.Validate(); err != nil {
		return &usageError{err}
	}
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	token, err := s.accounts.ResetUser(ctx, s.by, c.Email)
	if err != nil {
		return err
	}
	link := publicBase(c.Links, c.DataDir) + "/password?token=" + token
	return c.print(a.out, map[string]string{"link": link}, func(w io.Writer) {
		fmt.Fprintf(w, "link to choose a password, good once, for 30 minutes:\n%s\n", link)
	})
}

type userDisableCmd struct {
	common
	Email string `required:"" help:"E-mail address."`
}

// Run keeps a user out.
func (c *userDisableCmd) Run(ctx context.Context, a app) error {
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.accounts.DisableUser(ctx, s.by, c.Email); err != nil {
		return err
	}
	return c.print(a.out, map[string]string{"disabled": c.Email}, func(w io.Writer) { fmt.Fprintf(w, "disabled %s\n", c.Email) })
}
