package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// wide is a word as long and as wide as a name may be.
var wide = strings.Repeat("W", 80)

// TestPagesOfExtremes inspects pages full of texts that are as long as they may
// be, and what is seen only with a menu open, in another role or after a mistake.
func TestPagesOfExtremes(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	server.run(ownerPassword+"\n", "user", "create", "--email", ownerEmail, "--name", wide, "--password-stdin")
	var workspace struct{ Slug string }
	if err := json.Unmarshal([]byte(server.run("", "workspace", "create", "--name", wide, "--owner", ownerEmail, "--json")), &workspace); err != nil {
		t.Fatal(err)
	}
	keys := server.url + "/w/" + workspace.Slug + "/keys"
	p := openBrowser(t).inspectable()
	p.open(server.url + "/sign-in?next=/w/" + workspace.Slug + "/keys")
	p.signIn()
	p.open(keys + "/new")
	p.fillAtLength()
	p.follow("#key-form [type=submit]")
	c := p.shown()
	p.inspectAgain("long-key-created")
	id := keyIDIn(p.everything())
	p.click("[data-gate]")

	p.open(keys + "/new")
	p.fill("input[name=name]", strings.Repeat("مفتاح المستودع ", 5))
	p.follow("#key-form [type=submit]")
	p.shown()
	p.click("[data-gate]")
	server.sendAtLength(id, c.apiKey)

	p.open(keys)
	p.inspectAgain("long-keys")
	eval[bool](p, `document.querySelectorAll("details.menu").forEach(menu => menu.open = true), true`)
	p.inspect("long-menus")
	p.open(keys + "/" + id + "?range=24h")
	p.wait(deliveryRow)
	p.inspectAgain("long-key")
	p.open(keys + "/" + id + "/edit")
	p.fill("textarea[name=allowed_cidrs]", wide)
	p.fill("input[name=source]", wide)
	p.follow("#key-form [type=submit]")
	p.has("need a change")
	p.inspectAgain("long-key-edit-errors")
	p.open(keys + "/" + id + "/deactivate")
	p.inspectAgain("long-key-deactivate")

	p.open(server.url + "/workspaces")
	p.inspectAgain("long-workspaces")
	p.open(server.url + "/account/password")
	p.fill("input[name=current]", "not the right one")
	p.fill("input[name=password]", ownerPassword+" and more")
	p.follow("form[action='/account/password'] [type=submit]")
	p.inspect("change-password-error")
	p.open(server.url + "/workspaces/new")
	p.fill("input[name=name]", "\u200b")
	p.follow("form[action='/workspaces'] [type=submit]")
	p.inspect("workspace-new-error")

	server.run(ownerPassword+"\n", "user", "create", "--email", "o@example.com", "--name", "Otto", "--password-stdin")
	server.run("", "member", "add", "--workspace", workspace.Slug, "--email", "o@example.com", "--role", "auditor")
	p.signOut(server)
	p.fill("input[name=email]", "o@example.com")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/sign-in'] [type=submit]")
	p.open(keys + "/new")
	p.inspect("forbidden")
}

// fillAtLength fills in all of the form that makes a key, up to its limits.
func (p *tab) fillAtLength() {
	p.t.Helper()
	p.fill("input[name=name]", wide)
	p.fill("input[name=source]", strings.Repeat("w", 64))
	p.fill("input[name=labels]", strings.Repeat(wide[:40]+",", 2)+strings.Repeat("two words,", 18))
	p.fill("textarea[name=note]", strings.Repeat(wide, 25))
	p.fill("textarea[name=allowed_cidrs]", "127.0.0.0/8\n2001:db8:1111:2222:3333:4444:5555:0/112")
	p.click("input[name=allow_in_url]")
}

// sendAtLength sends a request that is accepted and one that is refused, with
// headers as long as they are kept.
func (p *program) sendAtLength(id, apiKey string) {
	p.t.Helper()
	headers := map[string]string{"X-API-Key": apiKey, "Idempotency-Key": strings.Repeat("W", 255), "User-Agent": strings.Repeat("W", 300)}
	for want, key := range map[int]string{200: apiKey, 401: apiKey + "x"} {
		headers["X-API-Key"] = key
		if status, answer := p.post("/hooks/"+id, `{}`, headers); status != want {
			p.t.Fatalf("a long request: %d %s, want %d", status, answer, want)
		}
	}
}
