package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestRotation goes from the question to the page with the new credentials, the
// key's page that tells of the overlap, and its end.
func TestRotation(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	p := openBrowser(t).tab()
	p.setUp(server.setupLink())
	c := p.createKey("Rotated")
	id := keyIDIn(p.everything())
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	send := func(apiKey string, want int) {
		t.Helper()
		if status, answer := server.post("/hooks/"+id, `{}`, map[string]string{"X-API-Key": apiKey}); status != want {
			t.Errorf("a request: %d %s, want %d", status, answer, want)
		}
	}
	p.click(`a[hx-get$="/rotate/dialog"]`)
	p.wait("dialog:modal")
	for choice, effect := range map[string]string{"now": "stops at once", "7d": "both work until", "date": "to the end of that day"} {
		p.click("#overlap-" + choice)
		if text := eval[string](p, `[...document.querySelectorAll("dialog .overlap-effect")].filter(e => e.checkVisibility()).map(e => e.innerText).join("|")`); !strings.Contains(text, effect) || strings.Contains(text, "|") {
			t.Errorf("with %s chosen the dialog says %q, want %q alone", choice, text, effect)
		}
	}
	p.click("#overlap-24h")
	p.follow(`dialog form[action$="/rotate"] [type=submit]`)
	p.has("works until")
	next := p.content("#api-key")
	if !strings.HasPrefix(next, "khk_") || next == c.apiKey {
		t.Fatalf("the new API key is %q", next)
	}
	p.click(`[data-gate]`)
	p.resend()
	p.has("was not rotated again")
	if strings.Contains(p.everything(), next) {
		t.Error("after a reload the page holds the new API key")
	}
	send(c.apiKey, 200)
	p.open(server.url + "/w/harbour-pine/keys/" + id)
	p.has("Old pair of API key and secret")
	p.has("The old one is in use")
	p.has("Undo the rotation")
	send(next, 200)
	p.do(chromedp.WaitNotPresent(chromedp.CSS(`form[action$="/overlap/undo"]`))) // the page has asked by itself
	p.follow(`a[href*="/overlap/end"]`)
	p.has("Who is affected")
	p.follow(`form[action$="/overlap/end"] [type=submit]`)
	p.has("stopped: requests with it get 401")
	send(c.apiKey, 401)
	send(next, 200)
}

// inspectRotation looks at the dialog, the new credentials, the overlap and its end.
func inspectRotation(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, "Stripe billing ledger")
	p.inspectAll(sight{"key-rotate", key + "/rotate"})
	p.open(key)
	p.click(`a[hx-get$="/rotate/dialog"]`)
	p.wait("dialog:modal")
	p.inspect("key-rotate-dialog")
	p.open(key + "/rotate")
	p.click("#overlap-date")
	p.follow(`form[action$="/rotate"] [type=submit]`)
	p.has("Write a date")
	p.inspect("key-rotate-error")
	p.click("#overlap-7d")
	p.follow(`form[action$="/rotate"] [type=submit]`)
	p.inspect("key-rotated")
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	p.has("Undo the rotation")
	p.inspect("key-overlap")
	p.open(key + "/overlap/end?what=both")
	p.inspect("key-overlap-end")
	p.open(key + "/rotate")
	p.has("The last rotation is not over")
	p.inspect("key-rotate-again")
}
