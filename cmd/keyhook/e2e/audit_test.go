package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditEvidence takes a trail out of a running server, and verifies it there
// and elsewhere, as it is and tampered with.
func TestAuditEvidence(t *testing.T) {
	t.Parallel()
	dir, elsewhere := migratedDataDir(t), t.TempDir()
	server := serve(t, dir)
	server.run("copper-lantern-riverbank-42\n", "user", "create", "--email", "ada@example.com", "--name", "Ada", "--password-stdin")
	var made struct{ ID, Slug string }
	if err := json.Unmarshal([]byte(server.run("", "workspace", "create", "--name", "Home", "--owner", "ada@example.com", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"One", "Two", "Three"} {
		server.run("", "key", "create", "--workspace", made.Slug, "--name", name)
	}
	trail := server.run("", "export", "audit", "--workspace", made.Slug)
	server.run("", "audit", "checkpoint")
	files := map[string]string{"trail": trail, "key": server.run("", "audit", "public-key")}
	points, err := os.ReadFile(filepath.Join(dir, "checkpoints.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	files["points"] = string(points)
	lines := strings.SplitAfter(trail, "\n")
	files["altered"] = strings.Replace(trail, `"Two"`, `"Zwei"`, 1)
	files["removed"] = strings.Join(append(lines[:2:2], lines[3:]...), "")
	files["cut"] = strings.Join(lines[:len(lines)-2], "")
	at := func(name string) string { return filepath.Join(elsewhere, name) }
	for name, text := range files {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server.stop()
	if info, err := os.Stat(filepath.Join(dir, "audit.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the signing key: %v, %v; want a file of mode 0600", info, err)
	}
	offline := []string{"--public-key", at("key"), "--checkpoints", at("points")}
	for name, want := range map[string]string{"trail": "ok, 9 entries", "altered": "broken at 5: altered", "removed": "broken at 3: removed", "cut": "broken at 9: cut"} {
		got := command(t, at("nowhere"), "", nil, append([]string{"audit", "verify", at(name)}, offline...)...)
		if last := lastLine(got.out); last != want || (got.code == 0) != strings.HasPrefix(want, "ok") || got.code > 1 || got.err != "" {
			t.Errorf("audit verify %s: code %d, %s%s; want %s", name, got.code, got.out, got.err, want)
		}
	}
	command(t, dir, "", nil, "workspace", "delete", "--workspace", made.Slug, "--yes")
	for _, args := range [][]string{{}, {"--workspace", made.ID}, offline} {
		got := command(t, dir, "", nil, append([]string{"audit", "verify"}, args...)...)
		if got.code != 0 || !strings.HasPrefix(lastLine(got.out), "ok, ") || !strings.Contains(got.out, made.ID) {
			t.Errorf("audit verify %v: code %d, %s%s; want the deleted workspace's trail verified", args, got.code, got.out, got.err)
		}
	}
	gone := command(t, dir, "", nil, "export", "audit", "--workspace", made.ID)
	if gone.code != 0 || strings.Count(gone.out, "\n") != 12 || !strings.Contains(gone.out, `"workspace.deleted"`) {
		t.Errorf("the deleted workspace's export: code %d, %s%s", gone.code, gone.out, gone.err)
	}
	if got := command(t, dir, "", nil, "export", "audit", "--instance"); got.code != 0 || !strings.Contains(got.out, `"workspace.deleted"`) {
		t.Errorf("the instance's export: code %d, %s%s", got.code, got.out, got.err)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// TestAuditMisuse: what can't be used is one line and changes nothing.
func TestAuditMisuse(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	missing := filepath.Join(dir, "missing")
	for _, args := range [][]string{
		{"audit", "verify", missing},
		{"audit", "verify", "--workspace", "a", missing},
		{"audit", "verify", "--public-key", missing},
		{"audit", "verify", "--checkpoints", missing},
		{"audit", "checkpoint", "--checkpoint-url", "http://example.com/secret"},
		{"audit", "checkpoint", "--signing-key-file", missing + "/audit.key"},
		{"export", "audit"},
		{"export", "audit", "--workspace", "a", "--instance"},
	} {
		got := command(t, dir, "", nil, args...)
		if got.code != 2 || strings.Count(got.err, "\n") != 1 || strings.Contains(got.err, "secret") || got.out != "" {
			t.Errorf("keyhook %s: code %d, %s%s; want one line and code 2", strings.Join(args, " "), got.code, got.out, got.err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the data folder holds %v, %v; want nothing", entries, err)
	}
}
