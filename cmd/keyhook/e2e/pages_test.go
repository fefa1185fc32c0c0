package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestPagesBeforeSignIn inspects what strangers and the first user see.
func TestPagesBeforeSignIn(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	p := openBrowser(t).inspectable()
	for _, page := range []struct{ name, path string }{
		{"sign-in", "/sign-in"},
		{"docs-send", "/docs/send"},
		{"docs-errors", "/docs/errors"},
		{"docs-read", "/docs/read"},
		{"not-found", "/nothing/here"},
		{"set-up-gone", "/setup"},
		{"password-link-gone", "/password"},
	} {
		p.open(server.url + page.path)
		p.inspect(page.name)
	}
	p.open(server.setupLink())
	p.inspect("set-up")
	p.setUp(server.setupLink())
	p.inspect("keys-empty")
	p.createKey("Shown")
	p.inspect("key-created")
	p.click(`[data-gate]`)
	p.resend()
	p.has("No second key was made")
	p.inspect("key-already-shown")

	// Somebody new chooses a password and belongs nowhere yet.
	var created struct {
		Link string `json:"link"`
	}
	if err := json.Unmarshal([]byte(server.run("", "user", "create", "--email", "new@example.com", "--name", "New", "--json")), &created); err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(created.Link, "/password")
	p = openBrowser(t).inspectable() // where nobody is signed in
	p.open(server.url + "/password" + token)
	p.inspect("password-link")
	p.fill("input[name=password]", "short")
	p.follow("form[action='/password'] [type=submit]")
	p.inspect("password-link-error")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/password'] [type=submit]")
	p.has("Your password is set")
	p.inspect("sign-in-after-choosing")
	p.fill("input[name=email]", "new@example.com")
	p.fill("input[name=password]", "not the right one")
	p.follow("form[action='/sign-in'] [type=submit]")
	p.inspect("sign-in-error")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/sign-in'] [type=submit]")
	p.open(server.url + "/workspaces")
	p.inspect("workspaces-empty")
}
