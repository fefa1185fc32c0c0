package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestKeyRulesByCommand makes a key with every rule as a flag, finds them in the
// database's own words, and is told of each wrong one before anything is started.
func TestKeyRulesByCommand(t *testing.T) {
	t.Parallel()
	dir := migratedDataDir(t)
	server := serve(t, dir)
	server.run("copper-lantern-riverbank-42\n", "user", "create", "--email", "ada@example.com", "--name", "Ada", "--password-stdin")
	var made struct {
		Slug   string `json:"slug"`
		ID     string `json:"id"`
		APIKey string `json:"api_key"`
	}
	parsed := func(text string) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &made); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	parsed(server.run("", "workspace", "create", "--name", "Rules", "--owner", "ada@example.com", "--json"))
	rules := []string{
		"--note", "Ask Bo.", "--label", "eu", "--label", "live", "--owner", "ADA@example.com", "--require-signature", "--allow-in-url",
		"--allow-from", "192.0.2.7/24", "--allow-from", "2001:db8::1", "--other-source", "returns", "--rate-limit", "600/hour",
		"--daily-quota", "5000", "--ref-pointer", "/data/id", "--identical-bodies", "duplicate", "--expires-in", "never",
	}
	create := func(more ...string) []string {
		return append([]string{"key", "create", "--workspace", made.Slug}, more...)
	}
	parsed(server.run("", create(append(rules, "--name", "Ruled", "--json")...)...))
	if status, answer := server.post("/hooks/"+made.ID, "{}", map[string]string{"X-API-Key": made.APIKey}); status != 403 || !strings.Contains(answer, "signature") {
		t.Errorf("a key that demands a signature = %d %s", status, answer)
	}
	for flag, wrong := range map[string][]string{
		"--note": {strings.Repeat("n", 2001)}, "--label": {strings.Repeat("l", 41)}, "--owner": {"bo@example.com"}, "--allow-from": {"192.0.2.0/33"},
		"--other-source": {"Not A Slug"}, "--rate-limit": {"600", "x/hour", "0/hour", "5/day"}, "--daily-quota": {"0", "x"}, "--ref-pointer": {"data/id"},
		"--identical-bodies": {"drop"}, "--expires-in": {"-1h", "0", "20y", "4000d"},
	} {
		for _, value := range wrong {
			got := command(t, dir, "", nil, create("--name", "Wrong", flag, value)...)
			if got.code != 2 || !strings.Contains(got.err, flag) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("%s %.20s = %+v, want one line about the flag and code 2", flag, value, got)
			}
		}
	}
	got := command(t, dir, "", nil, "key", "rotate", "--workspace", made.Slug, made.ID, "--json")
	var listed []struct {
		Status        string  `json:"status"`
		Owner         string  `json:"owner"`
		ExpiresAt     *string `json:"expires_at"`
		RotatingUntil *string `json:"rotating_until"`
	}
	text := server.run("", "key", "list", "--workspace", made.Slug, "--json")
	if err := json.Unmarshal([]byte(text), &listed); err != nil || got.code != 0 {
		t.Fatalf("%v: %+v, %s", err, got, text)
	}
	if len(listed) != 1 || listed[0].Status != "rotating" || listed[0].RotatingUntil == nil || listed[0].Owner != "Ada" || listed[0].ExpiresAt != nil {
		t.Errorf("key list = %s, want the one key, rotating, Ada's, without an end", text)
	}
}
