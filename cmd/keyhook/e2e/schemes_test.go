package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestSchemeCommands makes a key of every scheme, gives it the sender's secret
// where only the sender has one, and sends with it, all on the command line.
func TestSchemeCommands(t *testing.T) {
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
	for scheme, want := range map[string]struct {
		apiKey bool
		secret string // that only the provider makes
	}{
		"generic": {true, ""}, "standard": {true, ""}, "basic": {true, ""}, "github": {false, ""}, "gitlab": {false, ""},
		"stripe": {false, "whsec_abcdefghijklmnopqrstuvwxyz012345"}, "slack": {false, "8f742231b10e8888abcd99aaabbb85a5"},
		"shopify": {false, "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"}, "linear": {false, "lin_wh_abcdefghijklmnopqrstuvwxyz"},
	} {
		key := run("", "key", "create", "--workspace", slug, "--name", scheme, "--scheme", scheme)
		if (key["api_key"] != nil) != want.apiKey || key["scheme"] != scheme {
			t.Errorf("key create --scheme %s: %v", scheme, key)
		}
		secret, made := key["secret"].(string)
		if made != (want.secret == "") {
			t.Errorf("key create --scheme %s has the secret %v", scheme, key["secret"])
			continue
		}
		url := key["hook_url"].(string)
		send := func(secret string, code int, says string, more ...string) {
			t.Helper()
			args := append([]string{"send", "--url", url, "--secret-stdin", "--scheme", scheme, "--data", `{"id":"evt_1","event_id":"evt_1"}`}, more...)
			if got := command(t, dir, secret+"\n", nil, args...); got.code != code || !strings.Contains(got.out, says) {
				t.Errorf("%v: %+v, want code %d and %s", args, got, code, says)
			}
		}
		if !made {
			secret = want.secret
			send(secret, 1, "UNAUTHORIZED")
			got := command(t, dir, secret+"\n", nil, "key", "set-secret", "--workspace", slug, key["id"].(string))
			if got.code != 0 || strings.Contains(got.err, "warning") || strings.Contains(got.out, secret) {
				t.Errorf("key set-secret for %s: %+v", scheme, got)
			}
			if got := command(t, dir, secret+"\n", nil, "key", "set-secret", "--workspace", slug, key["id"].(string)); got.code != 1 || !strings.Contains(got.err, "has a secret already") {
				t.Errorf("a second key set-secret for %s: %+v", scheme, got)
			}
		}
		var ref []string
		if scheme != "stripe" && scheme != "slack" {
			ref = []string{"--ref", "event-1"}
		}
		send(secret, 0, `"duplicate":false`, ref...)
		send(secret, 0, `"duplicate":true`, ref...)
		send("whsec_d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcg", 1, "UNAUTHORIZED")
	}
	shared := command(t, dir, "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\n", nil, "key", "create", "--workspace", slug, "--name", "again", "--scheme", "stripe", "--secret-stdin")
	if shared.code != 0 || !strings.Contains(shared.err, "Another key has the same secret") || !strings.Contains(shared.err, "does not look like a secret for Stripe") {
		t.Errorf("a secret of another form, which another key has: %+v", shared)
	}
	for _, args := range [][]string{
		{"key", "create", "--workspace", slug, "--name", "x", "--scheme", "twilio"},
		{"send", "--url", server.url, "--secret-stdin", "--scheme", "stripe", "--ref", "x"},
		{"send", "--url", server.url, "--secret-stdin", "--scheme", "standard"},
	} {
		if got := command(t, dir, "not base64, not a secret\n", nil, args...); got.code != 2 || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%v: %+v, want code 2 and one line", args, got)
		}
	}
}
