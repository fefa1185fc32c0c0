package e2e_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe.min.js
var axe string

// runAxe lists what breaks the rules of WCAG 2.2 A and AA and the best practice.
// In a table with dozens of rows it looks at the first and the last: it takes a
// hundred times as long as the check of the layout, which looks at all of them.
const runAxe = `axe.run({exclude: [".keys tbody tr:nth-child(n+9):nth-last-child(n+10)"]}, {
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
	server := serve(t, newDataDir(t))
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

// strayLabels lists the labels of the usage chart whose middle is not that of a bar
// that begins then, or of a day's bars; the bars' titles tell when they begin.
const strayLabels = `(() => {
	const middle = (boxes) => (boxes[0].left + boxes.at(-1).right) / 2;
	const box = (element) => element.getBoundingClientRect();
	const day = (bar) => bar.title.split(/,| UTC/)[0];
	const bars = [...document.querySelectorAll(".chart g")].map(g => ({title: g.querySelector("title").textContent, box: box(g.querySelector(".band"))}));
	return [...document.querySelectorAll(".x-days span")].filter(label => {
		const text = label.textContent, mine = bars.filter(b => text.includes(":") ? b.title.includes(text) : [day(b), day(b).split(" ")[0]].includes(text));
		return !mine.length || Math.abs(middle(mine.map(b => b.box)) - middle([box(label)])) > 1;
	}).map(label => label.textContent);
})()`

// TestPagesInUse inspects the console full of keys and traffic.
func TestPagesInUse(t *testing.T) {
	t.Parallel()
	server := launch(t, "demo", t.TempDir())
	login := regexp.MustCompile(`as (\S+) with the password (\S+)`).FindStringSubmatch(server.log())
	p := openBrowser(t).inspectable()
	p.open(server.url + "/sign-in")
	p.fill("input[name=email]", login[1])
	p.fill("input[name=password]", login[2])
	p.follow("form[action='/sign-in'] [type=submit]")
	p.inspect("workspaces")

	keys := server.url + "/w/harbour-pine/keys"
	p.open(keys)
	p.inspect("keys")
	busiest := eval[string](p, `[...document.querySelectorAll("a")].find(a => a.innerText.includes("Warehouse scanner fleet")).href`)
	inactive := eval[string](p, `[...document.querySelectorAll("a")].find(a => a.innerText.includes("Zapier sandbox")).href`)
	for _, page := range []struct{ name, url string }{
		{"keys-no-match", keys + "?q=nothing+like+this"},
		{"key-new", keys + "/new"},
		{"key", busiest},
		{"key-inactive", inactive},
		{"key-edit", busiest + "/edit"},
		{"key-deactivate", busiest + "/deactivate"},
		{"key-rotate", busiest + "/rotate"},
		{"workspace-new", server.url + "/workspaces/new"},
		{"change-password", server.url + "/account/password"},
		{"key-not-found", keys + "/00000000-0000-7000-8000-000000000000"},
	} {
		p.open(page.url)
		p.inspect(page.name)
	}
	signals, tokens := server.url+"/w/harbour-pine/signals", server.url+"/w/harbour-pine/tokens"
	p.open(signals)
	first := eval[string](p, `document.querySelector(".sigs .c-time a").href`)
	for _, page := range []struct{ name, url string }{
		{"signals", signals},
		{"signal", first},
		{"signals-retention", signals + "/retention"},
		{"tokens-empty", tokens},
		{"token-new", tokens + "/new"},
	} {
		p.open(page.url)
		p.inspect(page.name)
	}
	p.open(signals + "/retention")
	p.fill("input[name=keep]", "40000")
	p.follow(`form[action$="/retention"] [type=submit]`)
	p.inspect("signals-retention-error")
	p.open(tokens + "/new")
	p.fill("input[name=name]", "Warehouse loader")
	p.follow("#token-form [type=submit]")
	p.inspect("token-created")
	token := eval[string](p, `document.querySelector("#token").value`)
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	if text := p.everything(); strings.Contains(text, token) || len(token) != 42 {
		t.Error("the token is on the page after the one that shows it")
	}
	p.inspect("token")
	server.readSome(token)
	p.open(signals)
	p.inspect("signals-read")
	p.open(tokens)
	p.inspect("tokens")
	p.open(eval[string](p, `document.querySelector(".tokens a").href`) + "/deactivate")
	p.inspect("token-deactivate")

	for _, span := range []string{"24h", "7d", "30d"} {
		p.open(busiest + "?range=" + span)
		p.inspectAgain("key-" + span)
		for _, width := range []int{360, 1280} {
			p.look(width, "light")
			if off := eval[[]string](p, strayLabels); len(off) > 0 {
				t.Errorf("%s at %d px: labels that are not under their bars: %q", span, width, off)
			}
		}
	}

	p.open(keys + "/new")
	p.fill("input[name=name]", "Warehouse scanner fleet")
	p.fill("textarea[name=allowed_cidrs]", "10.0.0.0/33")
	p.follow("#key-form [type=submit]")
	p.has("33")
	p.inspect("key-new-errors")

	p.inspectSchemes(keys)
	p.inspectRotation(busiest)
	p.open(busiest)
	p.click(`a[hx-get$="/deactivate/dialog"]`)
	p.wait("dialog:modal")
	p.inspect("key-deactivate-dialog")
	eval[bool](p, `document.querySelector("#confirm").dataset.confirm = "Two \u00a0 words\u200b\ufeff", true`)
	for text, ready := range map[string]bool{"Two word": false, " Two  words": true, "": false} {
		eval[bool](p, fmt.Sprintf(`{ const i = document.querySelector("#confirm"); i.value = %q; i.dispatchEvent(new Event("input", {bubbles: true})); } true`, text))
		if off := eval[string](p, `document.querySelector("#deactivate-go").getAttribute("aria-disabled")`); (off == "false") != ready {
			t.Errorf("%q typed for a name with odd white space: aria-disabled is %s", text, off)
		}
	}
}

// readSome reads a first page with a token and comes back with its cursor, and waits
// until that is noted.
func (p *program) readSome(token string) {
	p.t.Helper()
	cursor := ""
	for range 2 {
		request, err := http.NewRequest(http.MethodGet, p.url+"/api/v1/signals?limit=50&after="+cursor, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			p.t.Fatal(err)
		}
		response.Body.Close()
		if cursor = response.Header.Get("Keyhook-Cursor"); response.StatusCode != 200 {
			p.t.Fatalf("reading = %d", response.StatusCode)
		}
	}
	time.Sleep(2500 * time.Millisecond) // how far a token has read is noted every second
}

// inspectSchemes looks at what follows the choice of who sends, with scripts on
// and off, and at the keys that come of it.
func (p *tab) inspectSchemes(keys string) {
	p.t.Helper()
	for _, off := range []bool{false, true} {
		p.withoutScript(off)
		p.open(keys + "/new")
		for choice, want := range map[string]string{"stripe": "Stripe-Signature", "standard": "webhook-signature", "url": "Treat it like a password", "basic": "Authorization: Basic"} {
			p.click("#scheme-" + choice)
			if text := p.content("aside.sticky"); !strings.Contains(text, want) {
				p.t.Errorf("with %s chosen (scripts off: %v) the sender needs %q", choice, off, text)
			}
		}
		p.click("#scheme-stripe")
		for selector, want := range map[string]bool{"#secret": true, "#require_signature": false, "#allow_in_url": false, "#ref_pointer": false} {
			if shown := eval[bool](p, fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, selector)); shown != want {
				p.t.Errorf("with Stripe chosen %s is shown: %v, want %v", selector, shown, want)
			}
		}
	}
	p.withoutScript(false)
	p.open(keys + "/new")
	p.click("#scheme-stripe")
	p.fill("input[name=name]", "Stripe of the inspection")
	p.inspect("key-new-stripe")
	p.follow("#key-form [type=submit]")
	p.has("no secret yet")
	p.inspect("key-secret-missing")
	p.fill("input[name=secret]", "whsec_short")
	p.follow("form[action$='/secret'] [type=submit]")
	p.inspect("key-secret-error")
	p.open(keys + "/new")
	p.click("#scheme-github")
	p.fill("input[name=name]", "GitHub of the inspection")
	p.follow("#key-form [type=submit]")
	p.inspect("key-created-github")
}

// TestInspectionFinds is the negative control of the inspection.
func TestInspectionFinds(t *testing.T) {
	t.Parallel()
	server := serve(t, newDataDir(t))
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
