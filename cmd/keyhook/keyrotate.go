package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

type keyRotateCmd struct {
	inWorkspace
	ID          string `arg:"" help:"Id of the key."`
	What        string `enum:"both,api-key,secret,all" default:"all" help:"What to rotate: ${enum}. all is whatever the key has."`
	Overlap     string `default:"24h" help:"How long the old ones go on working, such as 1h or 7d; 0 stops them now."`
	Reason      string `help:"Why, for the audit trail."`
	SecretStdin bool   `name:"secret-stdin" help:"Read the new signing secret, which the sender has already, from standard input."`
}

// A rotatedKey has null for what was not rotated, and for the end of an overlap
// if there is none.
type rotatedKey struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Rotated      string     `json:"rotated"`
	APIKey       *string    `json:"api_key"`
	Secret       *string    `json:"secret"`
	OverlapEnds  *time.Time `json:"overlap_ends"`
	StoppedOlder int        `json:"stopped_older"` // credentials of an earlier overlap
}

// Run rotates a key.
func (c *keyRotateCmd) Run(ctx context.Context, a app) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return misuse("%q is not a key's id", c.ID)
	}
	rotation, err := c.rotation(a)
	if err != nil {
		return err
	}
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	there, err := s.keys.OverlapsOf(ctx, by.WorkspaceID, id)
	if err != nil {
		return err
	}
	for _, o := range there.Overlaps {
		if rotation.What == "" || rotation.What == keyring.Both || o.What == keyring.Both || o.What == rotation.What {
			fmt.Fprintf(a.err, "keyhook: warning: older credentials (%s) of the last rotation worked until %s; rotating them again stops them now\n",
				flagOf(o.What), o.Until.UTC().Format(time.RFC3339))
		}
	}
	done, err := s.keys.Rotate(ctx, by, id, rotation)
	if f, known := fault.Of(err); err != nil && known && f.Kind == fault.Invalid {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	warn(a, done.Key, done.Warnings)
	return c.tell(a, done)
}

// rotation reads the flags, and the secret on standard input.
func (c *keyRotateCmd) rotation(a app) (r keyring.Rotation, err error) {
	r.Reason = c.Reason
	if c.What != "all" {
		r.What = keyring.What(strings.ReplaceAll(c.What, "-", "_"))
	}
	if r.Overlap, err = overlapLength(c.Overlap); err != nil || !c.SecretStdin {
		return r, err
	}
	r.Secret, err = pastedSecret(a, "")
	return r, err
}

// overlapLength reads a time such as 7d, 90m or 0.
func overlapLength(text string) (time.Duration, error) {
	length, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n <= int(keyring.MaxOverlap/(24*time.Hour)) {
			length = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || length < 0 || length > keyring.MaxOverlap || length == 0 && strings.Trim(text, "0hmsd") != "" {
		return 0, misuse("--overlap %q is not like 24h, 7d or 0, and at most 90d", text)
	}
	return length, nil
}

// flagOf is a part as --what names it.
func flagOf(what keyring.What) string { return strings.ReplaceAll(string(what), "_", "-") }

// tell prints the new credentials.
func (c *keyRotateCmd) tell(a app, done keyring.Rotated) error {
	rotated := rotatedKey{
		ID: done.Key.ID.String(), Name: done.Key.Name, Rotated: flagOf(done.What), APIKey: revealed(done.APIKey), Secret: revealed(done.Secret),
		OverlapEnds: done.Until, StoppedOlder: done.Ended,
	}
	return c.print(a.out, rotated, func(w io.Writer) {
		fmt.Fprintf(w, "rotated key %s\n\nid       %s\n", rotated.Name, rotated.ID)
		if rotated.APIKey != nil {
			fmt.Fprintf(w, "API key  %s\n", *rotated.APIKey)
		}
		if rotated.Secret != nil {
			fmt.Fprintf(w, "secret   %s\n", *rotated.Secret)
		}
		if done.Until != nil {
			fmt.Fprintf(w, "\nShown this once. The old ones work until %s.\n", done.Until.UTC().Format(time.RFC3339))
		} else {
			fmt.Fprint(w, "\nShown this once. The old ones have stopped.\n")
		}
	})
}
