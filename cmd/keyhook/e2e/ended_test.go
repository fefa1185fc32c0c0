package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// until waits for a script to say yes.
func (p *tab) until(script string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](script)) // fails between two pages
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("never true, %v: %s\n%s", err, script, p.where())
		}
	}
}

// signOut ends the session of the browser's tabs from this one.
func (p *tab) signOut(server *program) {
	p.t.Helper()
	p.open(server.url + "/workspaces")
	p.click(`details:has(form[action="/sign-out"]) > summary`)
	p.follow(`form[action="/sign-out"] button`)
}

// signIn fills in the sign-in page that is open.
func (p *tab) signIn() {
	p.t.Helper()
	p.fill(`input[name=email]`, ownerEmail)
	p.fill(`input[name=password]`, ownerPassword)
	p.follow(`form[action="/sign-in"] [type=submit]`)
}

// TestSessionEnds: open pages go to sign in as a whole and come back, and the one
// with the credentials stays.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	b := openBrowser(t)
	p, other := b.tab(), b.tab()
	p.setUp(server.setupLink())
	c := p.createKey("Left open")
	key := "/w/harbour-pine/keys/" + keyIDIn(p.everything())

	other.signOut(server)
	p.until(`performance.getEntriesByType("resource").some(e => e.name.endsWith("/first") && e.responseStatus === 401)`)
	if text := p.everything(); !strings.Contains(text, c.apiKey) || !strings.Contains(text, c.secret) || p.path() != "/w/harbour-pine/keys" {
		t.Errorf("the session's end took the credentials away:\n%s", p.where())
	}
	p.click(`[data-gate]`)

	other.signIn()
	p.open(server.url + key) // the deliveries ask again every 5 s
	other.signOut(server)
	p.until(fmt.Sprintf(`location.pathname + location.search === "/sign-in?next=" + encodeURIComponent(%q)`, key))
	p.wait(`form[action="/sign-in"]`)
	if n := eval[int](p, `document.querySelectorAll("main").length`); n != 1 {
		t.Errorf("there are %d pages in the page", n)
	}
	p.signIn()
	if p.path() != key {
		t.Errorf("signing in leads to %s, want back to %s", p.path(), key)
	}

	p.open(server.url + "/w/harbour-pine/keys?sort=name")
	other.signOut(server)
	p.do(chromedp.SendKeys(chromedp.CSS(`#q`), "left"))
	p.until(`location.pathname === "/sign-in" && !!document.querySelector("form[action='/sign-in']")`)
	p.signIn()
	if at := eval[string](p, `location.pathname + location.search`); at != "/w/harbour-pine/keys?sort=name" {
		t.Errorf("signing in leads to %s, want back to the list", at)
	}
	p.quiet()
}
