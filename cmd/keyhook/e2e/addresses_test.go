package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestCommandsPrintTheAddressesOfServe: what a command prints leads to the
// instance, wherever that listens and whatever it is called.
func TestCommandsPrintTheAddressesOfServe(t *testing.T) {
	t.Parallel()
	dir := migratedDataDir(t)
	server := serve(t, dir)
	n := 0
	check := func(public, hooks string, settings ...string) {
		t.Helper()
		n++
		var printed struct {
			Link       string `json:"link"`
			HookURL    string `json:"hook_url"`
			SignalsURL string `json:"signals_url"`
		}
		for _, args := range [][]string{
			{"user", "reset", "--email", ownerEmail, "--json"},
			{"key", "create", "--workspace", "addressed", "--name", "Sender " + fmt.Sprint(n), "--json"},
		} {
			got := command(t, dir, "", settings, args...)
			if err := json.Unmarshal([]byte(got.out), &printed); err != nil {
				t.Fatalf("keyhook %v: %+v", args, got)
			}
		}
		if !strings.HasPrefix(printed.Link, public+"/password?token=") {
			t.Errorf("a link is %s, want it on %s", printed.Link, public)
		}
		if !strings.HasPrefix(printed.HookURL, hooks+"/hooks/") || printed.SignalsURL != hooks+"/api/webhooks/signals" {
			t.Errorf("a sender's addresses are %s and %s, want them on %s", printed.HookURL, printed.SignalsURL, hooks)
		}
	}
	server.run("", "user", "create", "--email", ownerEmail, "--name", "Ada")
	server.run("", "workspace", "create", "--name", "Addressed", "--owner", ownerEmail)
	check(server.url, server.url)
	check("https://keys.example.com", "https://keys.example.com", "KEYHOOK_PUBLIC_URL=https://keys.example.com/")
	server.stop()
	serve(t, dir, "KEYHOOK_PUBLIC_URL=https://keys.example.com/", "KEYHOOK_HOOKS_URL=https://hooks.example.com/")
	check("https://keys.example.com", "https://hooks.example.com")
}
