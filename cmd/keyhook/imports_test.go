package main_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the drawing of docs/architecture.md: which of our packages each
// of ours may import. cmd/keyhook may import all of them.
var mayImport = map[string][]string{
	"web":                {"views", "account", "keyring", "inbox", "signature", "audit", "evidence", "mail", "fault", "oneline", "sheet", "static"},
	"web/api":            {"keyring", "inbox", "postgres", "fault"},
	"web/api/client":     {},
	"views":              {"static"},
	"static":             {},
	"migrations":         {},
	"internal/account":   {"audit", "seal", "postgres", "fault", "oneline", "slug"},
	"internal/keyring":   {"signature", "audit", "seal", "postgres", "fault", "oneline", "slug", "sheet"},
	"internal/inbox":     {"audit", "seal", "postgres", "fault"},
	"internal/ingest":    {"keyring", "inbox", "signature", "audit", "seal", "postgres", "fault"},
	"internal/instance":  {"seal", "postgres"},
	"internal/demo":      {"account", "keyring", "audit", "postgres"},
	"internal/bench":     {"account", "keyring", "inbox", "ingest", "audit", "instance", "seal", "postgres", "pgembed", "migrations"},
	"internal/evidence":  {"account", "keyring", "inbox", "audit", "postgres", "fault", "oneline"},
	"internal/audit":     {"postgres", "fault"},
	"cmd/keyhook/e2e":    {},
	"internal/pgtest":    {"postgres", "migrations", "pgembed", "seal"},
	"internal/signature": {},
	"internal/seal":      {},
	"internal/mail":      {},
	"internal/mailtest":  {},
	"internal/oneline":   {},
	"internal/slug":      {},
	"internal/sheet":     {"fault"},
	"internal/fault":     {},
	"internal/config":    {},
	"internal/pgembed":   {},
	"internal/postgres":  {"fault"},
}

// onlyFor names the packages that one place alone may import, so that what it
// guards can't be gone around.
var onlyFor = map[string][]string{
	"github.com/gorilla/sessions":                    {"web"},
	"github.com/lib/pq":                              {"cmd/keyhook", "internal/postgres", "internal/keyring", "internal/inbox", "internal/account", "internal/pgembed", "internal/pgtest", "internal/demo", "internal/bench"},
	"github.com/rubenv/sql-migrate":                  {"migrations"},
	"keyhook/internal/pgtest":                        {},
	"github.com/chromedp/chromedp":                   {},
	"github.com/google/go-cmp/cmp":                   {},
	"github.com/PuerkitoBio/goquery":                 {},
	"pgregory.net/rapid":                             {},
	"golang.org/x/crypto/argon2":                     {"internal/account"},
	"github.com/pquerna/otp/hotp":                    {"internal/account"},
	"github.com/boombuler/barcode/qr":                {"web"},
	"github.com/wneessen/go-mail":                    {"internal/mail"},
	"github.com/emersion/go-smtp":                    {"internal/mailtest"},
	"keyhook/internal/mailtest":                      {},
	"github.com/prometheus/client_golang/prometheus": {"cmd/keyhook", "internal/ingest", "web/api"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	const module = "keyhook/"
	for pkg, imports := range packages(t) {
		pkg = strings.TrimPrefix(pkg, module)
		allowed, drawn := mayImport[pkg]
		if !drawn && pkg != "cmd/keyhook" {
			t.Errorf("package %s is not in the drawing", pkg)
		}
		for _, imported := range imports {
			if users, guarded := onlyFor[imported]; guarded && !slices.Contains(users, pkg) {
				t.Errorf("%s imports %s, which is for %v alone", pkg, imported, users)
			}
			ours, ok := strings.CutPrefix(imported, module)
			short := strings.TrimPrefix(ours, "internal/")
			if ok && pkg != "cmd/keyhook" && !slices.Contains(allowed, short) {
				t.Errorf("%s imports %s, which the drawing does not allow", pkg, ours)
			}
		}
	}
}

// packages lists our packages with what their code, tests apart, imports.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	command := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		found[fields[0]] = fields[1:]
	}
	return found
}

// TestWritesAreInTransactions keeps the pool, on which the driver may run a
// write twice, out of everything but the package that wraps it, the migrations
// and what only tests and the private server's start use.
func TestWritesAreInTransactions(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{`sqlx\.DB\b`, `sql\.DB\b`, `sql\.Open`, `sqlx\.Open`, `sqlx\.Connect`, `sqlx\.NewDb`, `postgres\.Connect\(`} {
		command := exec.Command("git", "grep", "-nE", pattern, "--", "*.go", ":!*_test.go",
			":!internal/postgres", ":!migrations", ":!internal/pgembed", ":!internal/pgtest")
		command.Dir = "../.."
		out, _ := command.Output() // it fails when it finds nothing
		for line := range strings.Lines(string(out)) {
			if file, _, _ := strings.Cut(line, ":"); file == "cmd/keyhook/database.go" || file == "cmd/keyhook/migrate.go" {
				continue // the direct connection, which migrations alone use
			}
			t.Errorf("a pool outside internal/postgres: %s", line)
		}
	}
}
