package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// enter presses Enter and waits for the page that it leads to.
func (p *tab) enter() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.KeyEvent(kb.Enter))); err != nil {
		p.t.Fatalf("Enter: %v\n%s", err, p.where())
	}
}

// write types into the field that has the focus, in place of what is there.
func (p *tab) write(text string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.End, chromedp.KeyModifiers(chromedp.ModifierShift)))
	if _, err := chromedp.Call(p.ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		p.t.Fatal(err)
	}
}

var tokenPattern = regexp.MustCompile(`kht_[0-9A-Za-z]{38}`)

// reads asks for signals with a token and returns the status.
func (p *program) reads(token string) int {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodGet, p.url+"/api/v1/signals", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// TestReadingPages uses the pages of reading with the keyboard alone: a token is
// made, used and ended, and the retention changed, without script; signals are paged
// through and one is opened with it and without.
func TestReadingPages(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	c := p.createKey("Sender")
	hook := "/hooks/" + keyIDIn(p.everything())
	for n := range 55 { // two pages
		if status, answer := server.post(hook, fmt.Sprintf(`{"n":%d}`, n), map[string]string{"X-API-Key": c.apiKey, "Idempotency-Key": fmt.Sprint("event-", n)}); status != 200 {
			t.Fatalf("event %d: %d %s", n, status, answer)
		}
	}
	p.withoutScript(true)
	p.makeToken(server)
	p.changeRetention(server)
	p.pageThrough(server)
	p.withoutScript(false)
	p.pageThrough(server)
	p.quiet()
}

// makeToken creates a token, which then reads, and deactivates it.
func (p *tab) makeToken(server *team) {
	p.t.Helper()
	p.open(server.at("/tokens"))
	p.tabTo(`a[href$="/tokens/new"]`)
	p.enter()
	const onName = `document.activeElement?.matches("#token-form #name") ?? false`
	p.until(onName) // the page begins there
	p.tabTo(`#token-form [type=submit]`)
	p.do(chromedp.KeyEvent(kb.Enter)) // refused by the browser, which leads back: there is no name
	p.until(onName)
	p.write("Loader")
	p.tabTo(`#token-form [type=submit]`)
	p.enter()
	token := tokenPattern.FindString(p.everything())
	if status := server.reads(token); status != 200 {
		p.t.Fatalf("reading with the token %q = %d\n%s", token, status, p.where())
	}
	p.tabTo(`[data-gate]`)
	p.do(chromedp.KeyEvent(" "))
	p.tabTo(`form[action$="/saved"] [type=submit]`)
	p.enter()
	p.has("How far it has read")
	if strings.Contains(p.everything(), token) {
		p.t.Error("the token is shown a second time")
	}
	p.tabTo(`a[href$="/deactivate"], form[action$="/deactivate"] [type=submit]`)
	p.enter()
	if strings.HasSuffix(p.path(), "/deactivate") { // it is in use: its name is asked for
		p.tabTo(`#confirm`)
		p.write("Loader")
		p.tabTo(`#deactivate-go`)
		p.enter()
	}
	p.has("This token is deactivated.")
	if status := server.reads(token); status != 401 {
		p.t.Errorf("reading with the deactivated token = %d, want 401", status)
	}
}

// changeRetention is first refused, with the fault beside its field.
func (p *tab) changeRetention(server *team) {
	p.t.Helper()
	p.open(server.at("/signals"))
	p.tabTo(`a[href$="/signals/retention"]`)
	p.enter()
	p.tabTo(`#keep`)
	p.write("60")
	p.tabTo(`#unread`)
	p.write("14")
	p.tabTo(`form [type=submit].btn-primary`)
	p.enter()
	if fault := p.content(`#unread-error`) + p.content(`#keep-error`); fault == "" || p.value(`#unread`) != "14" {
		p.t.Fatalf("14 days for unread ones and 60 for read ones are not refused where they were typed:\n%s", p.where())
	}
	p.tabTo(`#keep`)
	p.write("14")
	p.tabTo(`#unread`)
	p.write("60")
	p.tabTo(`form [type=submit].btn-primary`)
	p.enter()
	p.has("Signals are kept for 14 days and until every reader here has read them, but no longer than 60 days.")
	if n := server.count(`SELECT count(*) FROM workspaces WHERE keep_signals_days = 14 AND keep_unread_days = 60 AND slug = '` + server.slug + `'`); n != 1 {
		p.t.Error("the retention that the page shows is not the stored one")
	}
}

// pageThrough goes to the oldest signals and back to the newest, opens one and
// returns to the list.
func (p *tab) pageThrough(server *team) {
	p.t.Helper()
	rows := func() int { return eval[int](p, `document.querySelectorAll("#signals tr.hit").length`) }
	p.open(server.at("/signals"))
	if n := rows(); n != 50 {
		p.t.Fatalf("the first page has %d signals, want 50", n)
	}
	p.tabTo(`#signals nav a[href*="before="]`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`location.search.includes("before=") && document.querySelectorAll("#signals tr.hit").length === 5`)
	p.tabTo(`#signals nav a[href*="after="]`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`location.search.includes("after=") && document.querySelectorAll("#signals tr.hit").length === 50`)
	p.tabTo(`#signals tr.hit a`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`/\/signals\/[0-9a-f-]{36}$/.test(location.pathname) && document.body.innerText.includes('"n": 54')`)
	p.tabTo(`.crumbs a[href$="/signals"]`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`location.pathname.endsWith("/signals") && document.querySelectorAll("#signals tr.hit").length === 50`)
}
