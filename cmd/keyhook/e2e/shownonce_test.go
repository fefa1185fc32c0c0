package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// goBack goes one page back and waits until the browser has settled, whatever it
// shows then: the page, what the page's script makes of it, or its own question
// whether to send a form again.
func (p *tab) goBack() { p.t.Helper(); p.travel(-1) }

// goForward goes one page forward, likewise.
func (p *tab) goForward() { p.t.Helper(); p.travel(1) }

func (p *tab) travel(pages int) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`setTimeout(() => history.go(%d), 0) > 0`, pages))
	const state = `document.readyState + " " + location.href + " " + document.documentElement.outerHTML.length`
	last, same := "", 0
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		now, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](state))
		if err != nil || now != last || !strings.HasPrefix(now, "complete") {
			last, same = now, 0
			continue
		}
		if same++; same == 5 {
			return
		}
	}
	p.t.Fatalf("after going through the history the browser does not settle: %s", last)
}

// resend reloads a page that answered a form, which sends the form again.
func (p *tab) resend() {
	p.t.Helper()
	p.do(chromedp.Reload())
}

// keyCount asks the command line how many keys there are.
func (s *team) keyCount() int {
	s.t.Helper()
	var keys []any
	if err := json.Unmarshal([]byte(s.run("", "key", "list", "--workspace", s.slug, "--json")), &keys); err != nil {
		s.t.Fatal(err)
	}
	return len(keys)
}

// TestShownOnce goes back, forward and reloads around the page with the credentials.
func TestShownOnce(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	c := p.createKey("Shown once")
	gone := func(when string) {
		t.Helper()
		if text := p.everything(); strings.Contains(text, c.apiKey) || strings.Contains(text, c.secret) {
			t.Errorf("%s the page holds the credentials", when)
		}
	}

	// The reload sends the form again, also when the page has changed meanwhile.
	if status, answer := server.post("/hooks/"+keyIDIn(p.everything()), `{}`, map[string]string{"X-API-Key": c.apiKey}); status != 200 {
		t.Fatalf("a request with the key: %d %s", status, answer)
	}
	p.has("First request accepted")
	p.click(`[data-gate]`)
	p.resend()
	p.has("No second key was made")
	p.has("already shown to Ada Okonkwo")
	gone("after a reload")
	if n := server.keyCount(); n != 1 {
		t.Errorf("after a reload there are %d keys, want 1", n)
	}

	c = p.createKey("Shown twice")
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	gone("after leaving")
	p.goBack()
	gone("after going back")
	p.goForward()
	gone("after going forward")
	p.open(server.at("/keys"))
	gone("on the list")
	p.goBack()
	gone("after going back again")
	if n := server.keyCount(); n != 2 {
		t.Errorf("there are %d keys, want 2", n)
	}
}

// TestDoubleClick sends the form twice from one page and from two tabs.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	b := openBrowser(t)
	p := b.tab()
	p.join(server)
	p.follow(`a[href$="/keys/new"]`)
	p.fill(`input[name=name]`, "Double click")
	p.do(chromedp.DoubleClick(chromedp.CSS(`#key-form [type=submit]`)))
	p.has("Double click")
	time.Sleep(300 * time.Millisecond) // a second request would come right behind the first
	if n := server.keyCount(); n != 1 {
		t.Errorf("a double click made %d keys, want 1", n)
	}
	p.click(`[data-gate]`)
	p.do(chromedp.DoubleClick(chromedp.CSS(`form[action$="/saved"] [type=submit]`))) // can be said once
	p.has("Audit trail of this key")

	// The same form in two tabs is one form.
	other := b.tab()
	for _, page := range []*tab{p, other} {
		page.open("about:blank")
		page.open(server.at("/keys/new"))
		page.fill(`input[name=name]`, "Two tabs")
	}
	nonce := p.value(`input[name=form_nonce]`)
	other.fill(`input[name=form_nonce]`, nonce)
	p.follow(`#key-form [type=submit]`)
	c := p.shown()
	other.follow(`#key-form [type=submit]`)
	if text := other.everything(); strings.Contains(text, c.apiKey) || strings.Contains(text, c.secret) {
		t.Error("the second tab shows the credentials")
	}
	other.has("already shown to Ada Okonkwo")
	if n := server.keyCount(); n != 2 {
		t.Errorf("two tabs made %d keys in all, want 2", n)
	}
}

// TestWithoutScript plays the story with JavaScript off.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.withoutScript(true)
	p.join(server)
	c := p.createKey("No script")
	if status, answer := server.post("/hooks/"+keyIDIn(p.everything()), `{"a":1}`, map[string]string{"X-API-Key": c.apiKey}); status != 200 {
		t.Fatalf("a request with the key: %d %s", status, answer)
	}
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	p.wait(deliveryRow)

	p.follow(`a[href$="/edit"]`)
	p.fill(`textarea[name=note]`, "changed without script")
	p.follow(`form[action$="/edit"] [type=submit]`)
	p.has("changed without script")

	p.useIsKnown()
	p.follow(`a[href$="/deactivate"]`)
	p.fill(`input[name=confirm]`, "wrong")
	p.follow(`form[action$="/deactivate"] [type=submit]`)
	p.has("not the key")
	p.fill(`input[name=confirm]`, "No script")
	p.follow(`form[action$="/deactivate"] [type=submit]`)
	p.has("deactivated")
	p.follow(`form[action$="/reactivate"] [type=submit]`)
	p.has("active again")

	p.open(server.at("/keys?q=script&sort=name&status=active"))
	p.has("No script")
	const menu = `details:has(form[action="/sign-out"]) > summary`
	p.click(menu)
	p.follow(`form[action="/preferences/theme"] button[value=dark]`)
	if theme := eval[string](p, `document.documentElement.dataset.theme`); theme != "dark" {
		t.Errorf("the theme is %q, want dark", theme)
	}
	p.click(menu)
	p.follow(`form[action="/sign-out"] button`)
	if p.path() != "/sign-in" {
		t.Errorf("signing out leads to %s", p.path())
	}
}

// useIsKnown loads the page of a key in use until it says so, which may take 2 s: only
// then it asks for the key's name before the key is deactivated.
func (p *tab) useIsKnown() {
	p.t.Helper()
	waitUntil(p.t, "the key's last use", func() bool {
		p.do(chromedp.Reload())
		return eval[bool](p, `!!document.querySelector('a[href$="/deactivate"]')`)
	})
}

// keyIDIn finds the key's id in an address on the page.
func keyIDIn(text string) string {
	_, rest, _ := strings.Cut(text, "/hooks/")
	return rest[:36]
}

// TestKeyboardAlone makes and deactivates a key without a pointer.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	c := p.createKey("Keyboard")
	if status, answer := server.post("/hooks/"+keyIDIn(p.everything()), `{}`, map[string]string{"X-API-Key": c.apiKey}); status != 200 {
		t.Fatalf("a request with the key: %d %s", status, answer)
	}
	p.tabTo(`[data-gate]`)
	p.do(chromedp.KeyEvent(" "))
	p.tabTo(`form[action$="/saved"] [type=submit]`)
	p.press(kb.Enter)
	p.has("Audit trail of this key")
	p.useIsKnown()

	p.tabTo(`a[hx-get$="/deactivate/dialog"]`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait("dialog:modal")
	for range 12 { // focus stays inside
		p.do(chromedp.KeyEvent(kb.Tab))
		if !eval[bool](p, `document.activeElement === document.body || !!document.activeElement.closest("dialog")`) {
			t.Fatal("the focus leaves the dialog")
		}
	}
	p.do(chromedp.KeyEvent(kb.Escape))
	p.do(chromedp.WaitNotPresent(chromedp.CSS("dialog")))
	const onOpener = `document.activeElement.matches('a[hx-get$="/deactivate/dialog"]')`
	if !eval[bool](p, onOpener) {
		t.Error("after Escape the focus is not back where it was")
	}
	// It is back at once: who goes on typing does not do so into nowhere.
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait("dialog:modal #confirm:focus")
	if !eval[bool](p, `document.querySelector("dialog").close(), `+onOpener) {
		t.Error("as the dialog closes the focus is not back where it was")
	}
	p.quiet()
}

// tabTo presses Tab until what the selector finds has the focus, and asks of each
// stop that it can be seen.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	for range 120 {
		p.do(chromedp.KeyEvent(kb.Tab))
		if eval[bool](p, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			if !eval[bool](p, `getComputedStyle(document.activeElement).outlineStyle !== "none" || getComputedStyle(document.activeElement).boxShadow !== "none" || !!document.activeElement.closest("label")`) {
				p.t.Errorf("%s has the focus and does not show it", selector)
			}
			return
		}
	}
	p.t.Fatalf("Tab does not reach %s\n%s", selector, p.where())
}

// press presses a key that leads to another page.
func (p *tab) press(key string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
}

// TestPlainHTTPOnAnotherName uses the console under a host name that is not
// loopback's, as a machine in a local network would be.
func TestPlainHTTPOnAnotherName(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t), "KEYHOOK_ADDR=127.0.0.1:0")
	at, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	p := openBrowser(t).tab()
	link := strings.Replace(server.setupLink(), at.Host, otherName+":"+at.Port(), 1)
	p.setUp(link)
	p.has("plain http")
	p.createKey("Other name")
	p.click(`[data-gate]`)
	p.click(`button[data-copy]`)
	p.has("Copied")
	p.follow(`form[action$="/saved"] [type=submit]`)
	p.has("Other name")
	p.quiet()
}
