package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"keyhook/internal/config"
)

type setupLinkCmd struct {
	common
	config.Links
}

// Run prints a set-up link.
func (c *setupLinkCmd) Run(ctx context.Context, a app) error {
	if err := c.Links.Validate(); err != nil {
		return &usageError{err}
	}
	s, err := begin(ctx, a, c.Database, c.MasterKey)
	if err != nil {
		return err
	}
	defer s.close()
	token, err := s.accounts.SetupLink(ctx)
	if err != nil {
		return err
	}
	link := publicBase(c.Links, c.DataDir) + "/setup?token=" + token
	return c.print(a.out, map[string]string{"link": link}, func(w io.Writer) { fmt.Fprintln(w, link) })
}

// offerSetUp makes the set-up link while there is no user: printed where somebody
// reads it, else in a file that only we can read.
func (c *serveCmd) offerSetUp(ctx context.Context, a app, h *house, log *slog.Logger) error {
	users, err := h.accounts.UserCount(ctx)
	if err != nil || users > 0 {
		return err
	}
	token, err := h.accounts.SetupLink(ctx)
	if err != nil {
		return err
	}
	link := c.PublicURL + "/setup?token=" + token
	if c.PrintSetupLink || isTerminal(a.out) {
		fmt.Fprintf(a.out, "\nOpen this link once to make the first user and workspace:\n\n  %s\n\n", link)
		return nil
	}
	if err := makeDataDir(c.DataDir); err != nil {
		return err
	}
	path := filepath.Join(c.DataDir, "setup-link")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(path, []byte(link+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the set-up link: %w", err)
	}
	log.Info("no user exists yet: the set-up link is in a file", "file", path)
	return nil
}
