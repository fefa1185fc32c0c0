// Command keyhook is where a team issues the keys that let other systems send it
// webhooks, sees what each key is used for, and can prove it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"keyhook/internal/config"
	"keyhook/internal/signature"
)

// Exit codes.
const (
	failed       = 1 // the command could not do its work
	misused      = 2 // an unknown flag, a bad value, a missing file
	databaseDied = 3 // the private PostgreSQL ended under us
)

// cli is the command line: a struct for each command.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the console and ingestion."`
	Migrate   migrateCmd   `cmd:"" help:"Apply, undo or list schema migrations."`
	SetupLink setupLinkCmd `cmd:"" name:"setup-link" help:"Print the one-time set-up link while no user exists."`
	User      userCmd      `cmd:"" help:"Manage users."`
	Workspace workspaceCmd `cmd:"" help:"Manage workspaces."`
	Member    memberCmd    `cmd:"" help:"Manage who belongs to a workspace."`
	Key       keyCmd       `cmd:"" help:"Manage webhook keys."`
	Token     tokenCmd     `cmd:"" help:"Manage tokens, with which programs read what arrived."`
	Export    exportCmd    `cmd:"" help:"Write what is stored to standard output."`
	Audit     auditCmd     `cmd:"" help:"Prove that the audit trail was not touched."`
	Send      sendCmd      `cmd:"" help:"Sign and post a request as a sender would, and print the answer."`
	Bench     benchCmd     `cmd:"" help:"Measure ingestion on this machine."`
	Demo      demoCmd      `cmd:"" help:"Run on a throw-away data folder with believable data."`
	Version   versionCmd   `cmd:"" help:"Print version, commit and Go version."`
}

// An app is what a command gets beside its flags.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
}

func main() {
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if <-signals == syscall.SIGTERM {
			stop(errTerminated)
		}
		stop(nil)
	}()
	os.Exit(run(ctx, os.Args[1:], app{os.Stdin, os.Stdout, os.Stderr, os.Getenv}))
}

// errTerminated is the cause of a context that SIGTERM ended, which an orchestrator
// sends while it still sends requests; a person sends an interrupt, and waits.
var errTerminated = fmt.Errorf("terminated: %w", context.Canceled)

// run runs one command and returns the exit code.
func run(ctx context.Context, args []string, a app) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c, kong.Name("keyhook"),
		kong.Description("Issues the keys that let other systems send you webhooks, and shows what each is used for."),
		kong.DefaultEnvars("KEYHOOK"), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Writers(a.out, a.err),
		kong.Exit(func(code int) { exit = code }),
		kong.Vars{"data_dir": config.DefaultDataDir(a.env, os.Geteuid() == 0), "schemes": strings.Join(signature.Names(), ",")},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(a))
	if err != nil {
		return report(a, err, failed)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit // help was asked for
	}
	if err != nil {
		return report(a, err, misused)
	}
	if err := command.Run(); err != nil {
		if errors.Is(err, errBroken) {
			return failed // its verdict is the last line
		}
		if bad, ok := errors.AsType[*usageError](err); ok {
			return report(a, bad, misused)
		}
		if errors.Is(err, errDatabaseDied) {
			return report(a, err, databaseDied)
		}
		return report(a, err, failed)
	}
	return 0
}

// report writes an error as one line.
func report(a app, err error, code int) int {
	fmt.Fprintln(a.err, "keyhook:", plainly(strings.Join(strings.Fields(err.Error()), " "), escapeText))
	return code
}

// A usageError is a flag or a file that can't be used, found before anything was
// started.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func misuse(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// filled refuses the first flag that has nothing in it: names and values in turn.
func filled(flags ...string) error {
	for i := 0; i < len(flags); i += 2 {
		if strings.TrimSpace(flags[i+1]) == "" {
			return misuse("--%s is empty", flags[i])
		}
	}
	return nil
}

// operator names who runs a command, for the audit trail.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}
