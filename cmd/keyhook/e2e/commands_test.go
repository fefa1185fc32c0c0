package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A result is what a command left.
type result struct {
	code     int
	out, err string
}

// command runs the program to its end. settings are environment variables.
func command(t *testing.T, dataDir, stdin string, settings []string, args ...string) result {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), "KEYHOOK_DATA_DIR="+dataDir, "DATABASE_URL="), settings...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	code := 0
	if failure, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failure.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return result{code, out.String(), problem.String()}
}

// TestCommands runs every command, first while no serve runs and then beside it.
func TestCommands(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	run := func(stdin string, args ...string) map[string]any {
		t.Helper()
		got := command(t, dir, stdin, nil, append(args, "--json")...)
		if got.code != 0 {
			t.Fatalf("keyhook %s: code %d: %s", strings.Join(args, " "), got.code, got.err)
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(got.out), &object); err != nil {
			var array []map[string]any
			if err := json.Unmarshal([]byte(got.out), &array); err != nil {
				t.Fatalf("keyhook %s prints no JSON: %s", strings.Join(args, " "), got.out)
			}
			return map[string]any{"n": len(array), "text": got.out}
		}
		return object
	}
	for round, beside := range []string{"alone", "beside serve"} {
		var server *program
		if beside != "alone" {
			server = serve(t, dir)
		} else if link := run("", "setup-link")["link"].(string); !strings.Contains(link, "/setup?token=") {
			t.Errorf("setup-link prints %s", link)
		}
		email := fmt.Sprintf("ada%d@example.com", round)
		run("copper-lantern-riverbank-42\n", "user", "create", "--email", email, "--name", "Ada", "--password-stdin")
		if link, _ := run("", "user", "create", "--email", "b"+email, "--name", "B")["link"].(string); !strings.Contains(link, "/password?token=") {
			t.Errorf("user create without a password prints the link %q", link)
		}
		run("", "user", "reset", "--email", "b"+email)
		run("", "user", "disable", "--email", "b"+email)
		if n := run("", "user", "list")["n"]; n != 2*(round+1) {
			t.Errorf("user list has %v users, want %d", n, 2*(round+1))
		}
		slug := run("", "workspace", "create", "--name", "Team "+beside, "--owner", email)["slug"].(string)
		run("", "member", "add", "--workspace", slug, "--email", "b"+email, "--role", "auditor")
		run("", "member", "remove", "--workspace", slug, "--email", "b"+email)
		key := run("", "key", "create", "--workspace", slug, "--name", "Sender", "--expires-in", "90d")
		token := run("", "token", "create", "--workspace", slug, "--name", "Reader", "--can", "read-signals", "--expires-in", "never")
		if text, _ := token["token"].(string); !strings.HasPrefix(text, "kht_") || len(text) != 42 || token["id"] == "" {
			t.Errorf("token create prints %v", token)
		}
		if listed := run("", "token", "list", "--workspace", slug); listed["n"] != 1 || strings.Contains(listed["text"].(string), token["token"].(string)) {
			t.Errorf("token list prints %v", listed)
		}
		for _, action := range []string{"deactivate", "reactivate"} {
			for _, changed := range []bool{true, false} {
				if got := run("", "token", action, "--workspace", slug, token["id"].(string)); got["changed"] != changed {
					t.Errorf("token %s prints %v, want changed %v", action, got, changed)
				}
			}
		}
		for _, field := range []string{"id", "workspace_id", "name", "scheme", "api_key", "secret", "signals_url", "hook_url"} {
			if text, _ := key[field].(string); text == "" {
				t.Errorf("key create leaves out %s: %v", field, key)
			}
		}
		const pasted = "the sender's own secret"
		given := run(pasted+"\n", "key", "create", "--workspace", slug, "--name", "Given", "--secret-stdin")
		if given["secret"] != pasted {
			t.Errorf("key create with a secret of the sender's: %v", given)
		}
		if server != nil {
			sendTo(t, dir, server, given)
		}
		id := key["id"].(string)
		sum := sha256.Sum256([]byte("wk_of-the-origin-" + beside))
		run("", "key", "import", "--workspace", slug, "--name", "Hashed", "--sha256", fmt.Sprintf("%x", sum))
		run("wk_in-plain-text-"+strings.ReplaceAll(beside, " ", "-")+"\n", "key", "import", "--workspace", slug, "--name", "Plain", "--api-key-stdin")
		list := run("", "key", "list", "--workspace", slug)
		if list["n"] != 4 || strings.Contains(list["text"].(string), key["api_key"].(string)) {
			t.Errorf("key list: %v", list)
		}
		if server != nil {
			sendTo(t, dir, server, key)
		}
		for _, action := range []string{"deactivate", "rotate"} {
			if got := command(t, dir, "", nil, "key", action, "--workspace", slug, "--reason", strings.Repeat("x", 201), id); got.code != 2 || !strings.Contains(got.err, "longer than 200 characters") {
				t.Errorf("key %s with a long reason: code %d: %s", action, got.code, got.err)
			}
		}
		if got := run("", "key", "deactivate", "--workspace", slug, "--reason", "not used any more", id); got["changed"] != true {
			t.Errorf("key deactivate: %v", got)
		}
		if got := run("", "key", "deactivate", "--workspace", slug, id); got["changed"] != false {
			t.Errorf("a second key deactivate: %v", got)
		}
		run("", "key", "reactivate", "--workspace", slug, id)
		rotated := run("", "key", "rotate", "--workspace", slug, id, "--what", "api-key", "--overlap", "7d")
		if text, _ := rotated["api_key"].(string); !strings.HasPrefix(text, "khk_") || text == key["api_key"] || rotated["secret"] != nil || rotated["overlap_ends"] == nil || rotated["rotated"] != "api-key" {
			t.Errorf("key rotate of the API key: %v", rotated)
		}
		if server != nil {
			sendTo(t, dir, server, key)
			key["api_key"] = rotated["api_key"]
			sendTo(t, dir, server, key)
		}
		again := command(t, dir, "the sender's next secret\n", nil, "key", "rotate", "--workspace", slug, id, "--overlap", "0", "--secret-stdin", "--json")
		if again.code != 0 || !strings.Contains(again.out, `"stopped_older": 1`) && !strings.Contains(again.out, `"stopped_older":1`) || !strings.Contains(again.out, "the sender's next secret") || !strings.Contains(again.err, "stops them now") {
			t.Errorf("key rotate inside an overlap: %+v", again)
		}
		for _, args := range [][]string{{"--overlap", "soon"}, {"--overlap", "-1h"}, {"--overlap", "91d"}, {"--what", "name"}} {
			if got := command(t, dir, "", nil, append([]string{"key", "rotate", "--workspace", slug, id}, args...)...); got.code != 2 {
				t.Errorf("key rotate %v: %+v, want code 2", args, got)
			}
		}
		for _, changed := range []bool{true, false} {
			if got := run("", "key", "leaked", "--workspace", slug, id); got["changed"] != changed {
				t.Errorf("key leaked: %v, want changed %v", got, changed)
			}
		}
		if got := command(t, dir, "", nil, "key", "rotate", "--workspace", slug, id); got.code != 1 || !strings.Contains(got.err, "reported as leaked") {
			t.Errorf("key rotate after a leak: %+v, want code 1", got)
		}
		renewed := run("", "key", "renew", "--workspace", slug, id)
		if text, _ := renewed["api_key"].(string); !strings.HasPrefix(text, "khk_") || text == key["api_key"] || renewed["secret"] == nil {
			t.Errorf("key renew: %v", renewed)
		}
		run("", "workspace", "list")
		if got := command(t, dir, "", nil, "workspace", "delete", "--workspace", slug); got.code != 2 {
			t.Errorf("workspace delete without --yes: %+v", got)
		}
		run("", "workspace", "delete", "--workspace", slug, "--yes")
		run("", "migrate", "status")
		run("", "version")
		if got := command(t, dir, "", nil, "setup-link"); got.code != 1 || strings.Count(got.err, "\n") != 1 {
			t.Errorf("setup-link with a user there: %+v", got)
		}
	}
	// The whole schema goes and comes back.
	other := newDataDir(t)
	for _, args := range [][]string{{"migrate", "up"}, {"migrate", "down", "--all"}, {"migrate", "up"}, {"migrate", "status"}} {
		if got := command(t, other, "", nil, args...); got.code != 0 {
			t.Errorf("keyhook %v: %+v", args, got)
		}
	}
}

// sendTo sends with the program's own sender, rightly and wrongly.
func sendTo(t *testing.T, dir string, server *program, key map[string]any) {
	t.Helper()
	url := server.url + "/hooks/" + key["id"].(string)
	for _, tt := range []struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		{key["api_key"].(string), []string{"--api-key-stdin"}, 0, `"success":true`},
		{key["secret"].(string), []string{"--secret-stdin", "--scheme", "generic", "--data", `{"x":1}`}, 0, `"success":true`},
		{"whsec_wrong", []string{"--secret-stdin"}, 1, "UNAUTHORIZED"},
		{"", []string{"--api-key-stdin"}, 2, ""},
		{"x", []string{"--api-key-stdin", "--data", "@/no/such/file"}, 2, ""},
	} {
		got := command(t, dir, tt.stdin, nil, append([]string{"send", "--url", url}, tt.args...)...)
		if got.code != tt.code || !strings.Contains(got.out, tt.says) {
			t.Errorf("send %v: %+v, want code %d and %q", tt.args, got, tt.code, tt.says)
		}
	}
}

// TestMisuse: what is wrong with the command line is one line and code 2, before
// anything is started.
func TestMisuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noKey := filepath.Join(t.TempDir(), "no.key")
	if err := os.WriteFile(noKey, []byte("ter2, no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"serve", "--no-such-flag"},
		{"serve", "--addr", "nonsense"},
		{"serve", "--max-body", "1TB"},
		{"serve", "--trusted-proxies", "10.0.0.0/99"},
		{"serve", "--log-format", "xml"},
		{"serve", "--pg-bin", "/no/such/folder"},
		{"serve", "--smtp-url", "smtp://mail.example.com"},
		{"serve", "--smtp-url", "mail.example.com", "--mail-from", "keyhook@example.com"},
		{"nonsense"},
		{"key", "create"},
		{"key", "create", "--workspace", "w", "--name", "n", "--expires-in", "soon"},
		{"key", "create", "--workspace", "w", "--name", ""},
		{"key", "create", "--workspace", "w", "--name", "n", "--secret-stdin"}, // with nothing to read
		{"key", "create", "--workspace", "w", "--name", "n", "--source", "Bad Source"},
		{"key", "create", "--workspace", "w", "--name", "n", "--expires-in", "1000000h"},
		{"key", "deactivate", "--workspace", "w", "not-an-id"},
		{"token", "create", "--workspace", "w", "--name", "n"},
		{"token", "create", "--workspace", "w", "--name", "n", "--can", "rule-all"},
		{"token", "create", "--workspace", "w", "--name", " ", "--can", "read-signals"},
		{"token", "deactivate", "--workspace", "w", "not-an-id"},
		{"key", "import", "--workspace", "w", "--name", "n"},
		{"key", "import", "--workspace", "w", "--name", "n", "--sha256", "zz"},
		{"key", "import", "--workspace", "w", "--name", "n", "--sha256", "abcd"},
		{"key", "import", "--workspace", "w", "--name", " ", "--sha256", strings.Repeat("ab", 32)},
		{"user", "create", "--email", "", "--name", "n"},
		{"workspace", "create", "--name", "", "--owner", "o"},
		{"setup-link", "--public-url", "notaurl"},
		{"user", "create", "--email", "e", "--name", "n", "--public-url", "notaurl"},
		{"user", "reset", "--email", "e", "--public-url", "ftp://x"},
		{"key", "create", "--workspace", "w", "--name", "n", "--public-url", "notaurl"},
		{"key", "create", "--workspace", "w", "--name", "n", "--hooks-url", "notaurl"},
		{"user", "list", "--database-url", "garbage"},
		{"user", "list", "--database-url", "mysql://kh:hunter2@x/y"},
		{"key", "list", "--workspace", "w", "--database-url", "host=x password=hun ter2"},
		{"migrate", "up", "--database-url", "postgres://x/y", "--direct-url", "garbage"},
		{"serve", "--database-url", "garbage"},
		{"serve", "--master-key-file", "/no/such/folder/master.key"},
		{"user", "create", "--email", "e@example.com", "--name", "n", "--master-key-file", "/no/such/folder/master.key"},
		{"user", "create", "--email", "e@example.com", "--name", "n", "--master-key-file", noKey},
		{"serve", "--master-key-file", noKey},
		{"serve", "--signing-key-file", noKey},
		{"serve", "--signing-key-file", "/tmp"},
		{"audit", "checkpoint", "--signing-key-file", noKey},
		{"audit", "public-key", "--signing-key-file", noKey},
		{"serve", "--pg-bin", "/tmp"},
		{"user", "list", "--pg-bin", "/tmp"},
		{"serve", "--data-dir", noKey},
		{"user", "list", "--data-dir", noKey + "/data"},
		{"user", "create", "--email", "bad", "--name", "n"},
		{"user", "create", "--email", "e@example.com", "--name", strings.Repeat("n", 81)},
		{"setup-link", "--master-key-file", "/tmp"},
		{"member", "add", "--workspace", "w", "--email", "e", "--role", "king"},
		{"send", "--url", "ftp://x", "--api-key-stdin"},
		{"migrate", "down", "--steps", "0"},
	} {
		got := command(t, dir, "", nil, args...)
		if got.code != 2 || strings.Count(got.err, "\n") != 1 || !strings.HasPrefix(got.err, "keyhook: ") || got.out != "" || strings.Contains(got.err, "ter2") {
			t.Errorf("keyhook %v: %+v, want code 2 and one line", args, got)
		}
	}
	short := command(t, dir, "hunter2\n", nil, "user", "create", "--email", "e@example.com", "--name", "n", "--password-stdin")
	if short.code != 2 || strings.Count(short.err, "\n") != 1 || !strings.Contains(short.err, "standard input") || strings.Contains(short.err, "ter2") {
		t.Errorf("a short password: %+v, want code 2 and one line", short)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the data folder holds %v, %v; want nothing", entries, err)
	}
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"key", "create", "--help"}, {"send", "--help"}, {}} {
		if got := command(t, dir, "", nil, args...); got.code != 0 || !strings.Contains(got.out, "Usage") {
			t.Errorf("keyhook %v: %+v, want help", args, got)
		}
	}
}
