package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// TestPastedKey pastes a whole key into the search: it never leaves the page, and
// its hint finds the key.
func TestPastedKey(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	p.createKey("Another one")
	p.click(`[data-gate]`)
	p.open(server.at("/keys"))
	key := p.createKey("Sought").apiKey
	p.click(`[data-gate]`)
	hint := key[:8] + "…" + key[38:]

	p.open(server.at("/keys"))
	p.click(`#q`)
	if _, err := chromedp.Call(p.ctx, input.InsertText, input.InsertTextParams{Text: " " + key}); err != nil {
		t.Fatal(err)
	}
	p.until(`location.search !== ""`)
	p.until(`!document.querySelector("#keys").innerText.includes("Another one")`)
	p.has("Sought")
	if got := p.value(`#q`); got != hint {
		t.Errorf("the search holds %q, want %q", got, hint)
	}
	sent := eval[string](p, `JSON.stringify([location.href, performance.getEntriesByType("resource").map(e => e.name)])`)
	if strings.Contains(sent+p.everything(), key) {
		t.Errorf("the key was sent or stays in the page: %s", sent)
	}

	p.withoutScript(true)
	p.open(server.at("/keys"))
	p.fill(`#q`, key)
	p.follow(`form[role=search] [type=submit]`)
	if at := eval[string](p, `decodeURIComponent(location.search)`); !strings.Contains(at, hint) || strings.Contains(p.everything(), key) {
		t.Errorf("without script the search leads to %s", at)
	}
	p.has("Sought")
	p.quiet()
}
