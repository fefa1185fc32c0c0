package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestRotation goes from the question to the page with the new credentials, the
// key's page that tells of the overlap, and its end.
func TestRotation(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
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
	p.open(server.at("/keys/") + id)
	p.has("Old pair of API key and secret")
	p.has("The old one is in use")
	p.has("Undo the rotation")
	send(next, 200)
	p.do(chromedp.WaitNotPresent(chromedp.CSS(`form[action$="/overlap/undo"]`))) // the page has asked by itself
	p.follow(`a[href*="/overlap/end"]`)
	p.has("Who is affected")
	p.follow(`form[action$="/overlap/end"] [type=submit]`)
	p.has("stopped for good: requests with it get 401")
	send(c.apiKey, 401)
	send(next, 200)
}

// TestRotationByKeyboard rotates, moves the end, takes it back, rotates once more
// and ends the overlap: on a phone's width, with keys alone, with scripts and without.
func TestRotationByKeyboard(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	p.createKey("By keyboard")
	key := server.at("/keys/") + keyIDIn(p.everything())
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	p.look(360, "light")
	rotate := func() {
		t.Helper()
		p.open(key)
		p.tabTo(`a[href$="/rotate"]`)
		p.press(kb.Enter)
		p.wait(`form[action$="/rotate"]`)
		p.tabTo(`form[action$="/rotate"] [name=overlap]`)
		p.press(kb.ArrowRight)
		p.until(`document.querySelector("#overlap-7d").checked`)
		p.tabTo(`form[action$="/rotate"] [type=submit]`)
		p.press(kb.Enter)
		p.until(`document.querySelector("#api-key") !== null`)
		p.tabTo(`[data-gate]`)
		p.press(" ")
		p.tabTo(`form[action$="/saved"] [type=submit]`)
		p.press(kb.Enter)
		p.until(`document.querySelector("#end-both") !== null`)
	}
	for _, off := range []bool{false, true} {
		p.withoutScript(off)
		rotate()
		p.has("Rotating")
		p.tabTo(`details:has(#end-both) > summary`)
		p.press(kb.Enter)
		p.tabTo(`#end-both [name=overlap]`)
		p.press(kb.ArrowRight)
		p.press(kb.ArrowRight)
		p.until(`document.querySelector("#end-both-date").checked`)
		p.tabTo(`#end-both-until`)
		if off := p.layout(); len(off) > 0 {
			t.Errorf("the form for another end at 360 px: %q", off)
		}
		p.tabTo(`form[action$="/overlap/move"] [type=submit]`)
		p.press(kb.Enter)
		p.has("works until")
		p.tabTo(`form[action$="/overlap/undo"] [type=submit]`)
		p.press(kb.Enter)
		p.has("The rotation is undone")
		rotate()
		p.tabTo(`a[href*="/overlap/end"]`)
		p.press(kb.Enter)
		p.has("this can’t be undone")
		p.tabTo(`form[action$="/overlap/end"] [type=submit]`)
		p.press(kb.Enter)
		p.has("stopped for good")
	}
	p.withoutScript(false)
	p.quiet()
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
	p.click(`details:has(#end-both) > summary`)
	p.click("#end-both-date")
	eval[bool](p, `document.querySelector("#end-both-until").value = ""; true`)
	p.follow(`form[action$="/overlap/move"] [type=submit]`)
	p.has("Write a date")
	p.inspect("key-overlap-error")
	p.open(console.at("/keys?q=Stripe+billing+ledger"))
	p.inspectAgain("keys-rotating")
	p.open(key + "/overlap/end?what=both")
	p.inspect("key-overlap-end")
	p.open(key + "/rotate")
	p.has("The last rotation is not over")
	p.inspect("key-rotate-again")
	p.open(key + "/edit")
	eval[bool](p, `document.querySelector("[name=seen]").value = "older"; true`)
	p.fill("textarea[name=note]", "Written while somebody else wrote.")
	p.follow("#key-form [type=submit]")
	p.has("Nothing of yours is saved yet")
	p.inspect("key-edit-clash")
}
