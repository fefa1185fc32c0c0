package e2e_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
)

//go:embed testdata/axe.min.js
var axe string

// runAxe lists what breaks the rules of WCAG 2.2 A and AA and the best practice.
// In a table with dozens of rows it looks at the first and the last: it takes a
// hundred times as long as the check of the layout, which looks at all of them.
const runAxe = `axe.run({exclude: ["tbody tr:nth-child(n+9):nth-last-child(n+10)"]}, {
		runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"], preload: false,
	}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary)))`

var (
	widths = []int{1280, 1024, 360}
	themes = []string{"light", "dark"}
)

// inspect looks at the open page in every width and theme.
func (p *tab) inspect(name string) {
	p.t.Helper()
	eval[bool](p, axe+";true")
	for _, theme := range themes {
		for _, width := range widths {
			p.look(width, theme)
			p.check(fmt.Sprintf("%s-%d-%s", name, width, theme), runAxe, layoutScript)
		}
	}
	for _, width := range []int{320, 768, 1100, 1440} {
		p.look(width, "light")
		p.check(fmt.Sprintf("%s-%d", name, width), layoutScript)
	}
	p.look(1280, "light")
}

// inspectAgain looks at a page that was inspected, with other texts or numbers in
// it: in every width, and once for what does not depend on it.
func (p *tab) inspectAgain(name string) {
	p.t.Helper()
	for _, width := range []int{320, 360, 768, 1024, 1100, 1280, 1440} {
		p.look(width, "light")
		p.check(fmt.Sprintf("%s-%d-light", name, width), layoutScript)
	}
	p.look(1280, "light")
	eval[bool](p, axe+";true")
	p.check(name+"-1280-light", runAxe)
}

// check takes a picture of the page and reports what the scripts find.
func (p *tab) check(look string, scripts ...string) {
	p.t.Helper()
	for _, script := range scripts {
		for _, problem := range eval[[]string](p, script) {
			p.t.Errorf("%s: %s", look, problem)
		}
	}
	p.shoot(look)
}

// inspectable opens a tab in which axe may be put into pages that allow no
// foreign script.
func (b *browser) inspectable() *tab {
	p := b.tab()
	if _, err := chromedp.Call(p.ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}); err != nil {
		b.t.Fatal(err)
	}
	return p
}

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
	p.inspectSecondFactor(server.url)
}

// inspectSecondFactor sets one up for whoever is signed in, signs in anew with a
// recovery code, and looks at each page on the way.
func (p *tab) inspectSecondFactor(url string) {
	p.t.Helper()
	p.open(url + "/account/second-factor")
	p.follow(`form[action="/account/second-factor"] [type=submit]`)
	p.inspect("second-factor-set-up")
	secret := strings.ReplaceAll(eval[string](p, `document.querySelector("#factor-secret").value`), " ", "")
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.fill("input[name=code]", code)
	p.follow(`form[action$="/confirm"] [type=submit]`)
	p.inspect("recovery-codes")
	codes := strings.Fields(eval[string](p, `document.querySelector("#codes").textContent`))
	if len(codes) != 10 {
		p.t.Fatalf("%d recovery codes", len(codes))
	}
	p.click(`[data-gate]`)
	p.follow("form.gate [type=submit]")
	p.inspect("account")
	if text := p.everything(); strings.Contains(text, codes[0]) || strings.Contains(text, secret) {
		p.t.Error("a secret is on the page after the one that shows it")
	}
	eval[bool](p, `document.querySelector("details.menu-up").open = true`)
	p.follow(`form[action="/sign-out"] [type=submit]`)
	p.fill("input[name=email]", "new@example.com")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/sign-in'] [type=submit]")
	p.inspect("sign-in-code")
	p.fill("input[name=code]", codes[0])
	p.follow("form[action='/sign-in/code'] [type=submit]")

	// A password that was changed proves no second factor: what asks for both does so.
	p.open(url + "/account/password")
	p.fill("input[name=current]", ownerPassword)
	p.fill("input[name=password]", "another long password 9")
	p.follow("form[action='/account/password'] [type=submit]")
	p.open(url + "/account/second-factor")
	p.inspect("second-factor")
	p.follow(`form[action$="/codes"] [type=submit]`)
	p.inspect("confirm")
	p.fill("input[name=password]", "another long password 9")
	p.fill("input[name=code]", codes[1])
	p.follow(`form[action="/account/confirm"] [type=submit]`)
	p.has("Save your recovery codes")
}

// TestInspectionFinds is the negative control of the inspection.
func TestInspectionFinds(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	p := openBrowser(t).inspectable()
	p.open(server.url + "/sign-in")
	eval[bool](p, axe+";true")
	if problems := append(p.layout(), eval[[]string](p, runAxe)...); len(problems) > 0 {
		t.Fatalf("the page has problems already: %v", problems)
	}
	for name, spoil := range map[string]string{
		"text on other text": `{
			const label = document.querySelector("label"), a = document.querySelector("h1").getBoundingClientRect(), b = label.getBoundingClientRect();
			label.style.transform = "translate(" + (a.left - b.left) + "px," + (a.top - b.top) + "px)";
		}`,
		"text that leaves its box":  `Object.assign(document.querySelector("button").style, {width: "20px", padding: "0", whiteSpace: "nowrap"})`,
		"a page that goes sideways": `document.querySelector("main").style.width = "3000px"`,
		"pale text":                 `document.querySelector("h1").style.color = "#ddd"`,
		"a field without a label":   `document.querySelector("label").remove()`,
	} {
		p.open(server.url + "/sign-in")
		eval[bool](p, axe+";"+spoil+";true")
		if problems := append(p.layout(), eval[[]string](p, runAxe)...); len(problems) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
}
