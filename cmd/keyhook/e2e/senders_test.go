package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A sent request is signed by a sender's own library and posted.
type sent struct {
	Library string `json:"library"`
	URL     string `json:"url"`
	Secret  string `json:"secret"`
	ID      string `json:"id"`
	Body    string `json:"body"`
	Age     int    `json:"age,omitempty"`     // seconds that its signature is old
	Altered string `json:"altered,omitempty"` // what came to the body on the way
}

// TestSendersLibraries posts with the libraries that senders really use, from
// npm, pinned in testdata/senders: accepted, repeated, stale, altered.
func TestSendersLibraries(t *testing.T) {
	t.Parallel()
	dir := migratedDataDir(t)
	server := serve(t, dir)
	run := func(stdin string, args ...string) map[string]any {
		t.Helper()
		var found map[string]any
		if err := json.Unmarshal([]byte(server.run(stdin, append(args, "--json")...)), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	run("copper-lantern-riverbank-42\n", "user", "create", "--email", "ada@example.com", "--name", "Ada", "--password-stdin")
	slug := run("", "workspace", "create", "--name", "Acme", "--owner", "ada@example.com")["slug"].(string)
	schemes := map[string]string{"standardwebhooks": "standard", "svix": "standard", "stripe": "stripe", "octokit": "github"}
	for library, scheme := range schemes {
		secret, args := "", []string{"key", "create", "--workspace", slug, "--name", library, "--scheme", scheme}
		if scheme == "stripe" {
			secret = "whsec_abcdefghijklmnopqrstuvwxyz0123456789"
			args = append(args, "--secret-stdin")
		}
		key := run(secret, args...)
		request := sent{Library: library, URL: server.url + "/hooks/" + key["id"].(string), Secret: key["secret"].(string), ID: "evt_1", Body: `{"id":"evt_1","type":"order.created"}`}
		again, stale, altered, other := request, request, request, request
		stale.Age, stale.ID, altered.Altered = 302, "evt_2", " "
		other.ID, other.Body = "evt_3", `{"id":"evt_3","text":"Grüße, 日本"}`
		answers := node(t, request, again, stale, altered, other)
		want := []int{200, 200, 401, 401, 200}
		if library == "octokit" { // GitHub signs no time
			want[2] = 200
		}
		for i, answer := range answers {
			if answer.Status != want[i] {
				t.Errorf("%s, request %d: %+v, want %d", library, i, answer, want[i])
			}
		}
		if answers[0].Duplicate || !answers[1].Duplicate || answers[0].SignalID == "" || answers[0].SignalID != answers[1].SignalID {
			t.Errorf("%s: sent again = %+v after %+v, want a duplicate", library, answers[1], answers[0])
		}
		if answers[4].Duplicate || answers[4].SignalID == answers[0].SignalID {
			t.Errorf("%s: another event = %+v", library, answers[4])
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

type answered struct {
	Status    int
	SignalID  string
	Duplicate bool
	Hints     []string
	Detail    string
}

// node sends requests with the script in testdata/senders.
func node(t *testing.T, requests ...sent) []answered {
	t.Helper()
	tools, err := filepath.Abs("../../../.tools")
	if err != nil {
		t.Fatal(err)
	}
	modules, program := filepath.Join(tools, "senders/node_modules"), "node"
	if own := filepath.Join(tools, "node/bin/node"); exists(own) {
		program = own
	}
	if !exists(modules) {
		t.Fatal("the senders' libraries are missing: scripts/setup test brings them")
	}
	folder := t.TempDir()
	script, err := os.ReadFile("testdata/senders/send.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "send.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "send.mjs")
	command.Dir, command.Stdin = folder, bytes.NewReader(text)
	var trouble bytes.Buffer
	command.Stderr = &trouble
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, trouble.String())
	}
	var answers []answered
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(requests) {
		t.Fatalf("node printed %q: %v", out, err)
	}
	return answers
}
