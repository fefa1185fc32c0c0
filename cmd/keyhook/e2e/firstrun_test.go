package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	ownerEmail    = "ada@harbourpine.example"
	ownerPassword = "copper-lantern-riverbank-42"
)

var (
	apiKeyPattern = regexp.MustCompile(`khk_[0-9A-Za-z]{38}`)
	secretPattern = regexp.MustCompile(`whsec_[0-9A-Za-z+/]{43}=`)
)

// credentials are what the page that shows them once has on it.
type credentials struct{ apiKey, secret string }

// setUp goes from the set-up link to the empty list of keys.
func (p *tab) setUp(link string) {
	p.t.Helper()
	p.open(link)
	if at := eval[string](p, `location.href`); strings.Contains(at, "token") {
		p.t.Errorf("the link's token stays in the address: %s", p.path())
	}
	p.fill(`input[name=name]`, "Ada Okonkwo")
	p.fill(`input[name=email]`, ownerEmail)
	p.fill(`input[name=password]`, ownerPassword)
	p.fill(`input[name=workspace]`, "Harbour & Pine")
	p.follow(`form[action="/setup"] [type=submit]`)
	if got := p.path(); got != "/w/harbour-pine/keys" {
		p.t.Fatalf("the set-up leads to %s, want the new workspace's keys:\n%s", got, p.where())
	}
}

// createKey fills in the form and returns what the answer shows.
func (p *tab) createKey(name string) credentials {
	p.t.Helper()
	p.follow(`a[href$="/keys/new"]`)
	p.fill(`input[name=name]`, name)
	p.follow(`form[action$="/keys"] [type=submit]`)
	return p.shown()
}

// shown reads the credentials off the page.
func (p *tab) shown() credentials {
	p.t.Helper()
	text := p.everything()
	c := credentials{apiKeyPattern.FindString(text), secretPattern.FindString(text)}
	if c.apiKey == "" || c.secret == "" {
		p.t.Fatalf("the page shows no credentials:\n%s", p.where())
	}
	return c
}

// everything is all that a script could read off the page: markup, form values
// and what the browser stores for it.
func (p *tab) everything() string {
	p.t.Helper()
	return eval[string](p, `(() => {
		let stored = "";
		try { stored = JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage}) } catch { /* a page of the browser's own */ }
		return document.documentElement.outerHTML + "\n" + [...document.querySelectorAll("input, textarea")].map(e => e.value).join("\n") +
			"\n" + stored + JSON.stringify(history.state);
	})()`)
}

// deliveryRow is a request in the table on a key's page.
const deliveryRow = `#key-deliveries tr[id^="delivery-"]`

// TestFirstRun is the story that the product begins with: from the link that
// serve prints to the request that appears on the key's page.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	server := serve(t, newDataDir(t))
	p := openBrowser(t).tab()

	link := server.setupLink()
	p.setUp(link)
	p.shoot("keys-empty")
	c := p.createKey("Warehouse returns desk")
	p.shoot("key-created")
	p.has("Waiting for the first")

	// The lines that the page gives, pasted as they are.
	out := shell(t, p.value("#env")+"\n"+p.content("#code-curl"))
	if !strings.Contains(out, `"success":true`) {
		t.Fatalf("the page's curl line answers:\n%s", out)
	}
	p.wait("#first.first-ok") // green
	p.has("First request accepted")
	p.shoot("key-created-arrived")

	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	p.has("Warehouse returns desk")
	p.wait(deliveryRow)
	p.shoot("key")
	if text := p.everything(); strings.Contains(text, c.apiKey) || strings.Contains(text, c.secret) {
		t.Error("the key's page holds the credentials")
	}
	for _, said := range []string{"Ada Okonkwo", "key.created", "key.credentials_saved"} {
		if trail := p.content("[aria-labelledby=trail-h]"); !strings.Contains(trail, said) {
			t.Errorf("the key's trail does not say %q: %s", said, trail)
		}
	}

	// The next one appears while the page is open.
	headers := map[string]string{"X-API-Key": c.apiKey, "Idempotency-Key": "order-1043"}
	if status, answer := server.post("/hooks/"+keyIDIn(p.value("#hook-url")), `{}`, headers); status != 200 {
		t.Fatalf("a second request: %d %s", status, answer)
	}
	p.wait(deliveryRow + ` ~ tr[id^="delivery-"]`)
	if text := p.content(deliveryRow); !strings.Contains(text, "order-1043") {
		t.Errorf("the newest delivery is %s", text)
	}

	// The link is used up.
	p.open(link)
	p.has("setup-link")
	p.quiet()
}

// TestSnippets runs the page's programs as somebody would who follows it.
func TestSnippets(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	p.createKey("Snippets")
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".env", p.value("#env"))
	write("send.go", p.content("#code-go"))
	for name, script := range map[string]string{
		"curl":         p.value("#env") + "\n" + p.content("#code-curl"),
		"curl, signed": p.value("#env") + "\n" + p.content("#code-sign"),
		"Go":           "cd " + dir + "; set -a; . ./.env; set +a; go run send.go",
	} {
		if out := shell(t, script); !strings.Contains(out, `"success":true`) {
			t.Errorf("%s answers %s", name, out)
		}
	}
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	p.quiet()
}
