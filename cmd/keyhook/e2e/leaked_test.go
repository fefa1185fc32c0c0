package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// leakedKey is the key of the demonstration whose credentials leak; no other part
// looks at it.
const leakedKey = "SMS delivery status"

// TestLeaked goes from the key's page to what a report lands on and to a new pair:
// on a phone without JavaScript, and with the keyboard alone.
func TestLeaked(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	c := p.createKey("Lost on a train")
	id := keyIDIn(p.everything())
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	key := server.at("/keys/") + id
	send := func(apiKey string, want int) {
		t.Helper()
		if status, answer := server.post("/hooks/"+id, `{}`, map[string]string{"X-API-Key": apiKey}); status != want {
			t.Errorf("a request: %d %s, want %d", status, answer, want)
		}
	}
	send(c.apiKey, 200)

	p.look(360, "light")
	p.withoutScript(true)
	p.open(key)
	p.follow(`a[href$="/leak"]`)
	p.has("It can’t be undone")
	p.follow(`form[action$="/leak"] [type=submit]`)
	if got := p.path(); !strings.HasSuffix(got, id+"/leaked") {
		t.Errorf("the report lands on %s", got)
	}
	send(c.apiKey, 401)
	p.open(key + "/leaked")
	p.has("They have stopped, for good")
	p.has("1 request tried them")
	for _, problem := range p.layout() {
		t.Errorf("at 360 px: %s", problem)
	}
	p.follow(`form[action$="/leaked/renew"] [type=submit]`)
	next := p.shown()
	if next.apiKey == c.apiKey || next.secret == c.secret {
		t.Error("the new pair is the old one")
	}
	send(next.apiKey, 200)
	send(c.apiKey, 401)
	p.resend()
	p.has("cannot be shown again")
	if strings.Contains(p.everything(), next.apiKey) {
		t.Error("after a reload the page holds the new API key")
	}
	p.withoutScript(false)

	p.look(1280, "light")
	p.open(key)
	p.tabTo(`a[href$="/leak"]`)
	p.press(kb.Enter)
	p.wait("dialog:modal")
	p.tabTo(`dialog form[action$="/leak"] [type=submit]`)
	p.press(kb.Enter)
	p.wait(`form[action$="/leaked/renew"]`)
	send(next.apiKey, 401)
	p.has("Reports about this key")
	p.tabTo(`form[action$="/leaked/renew"] [type=submit]`)
	p.press(kb.Enter)
	p.wait("#api-key")
	send(p.shown().apiKey, 200)
}

// inspectLeak looks at the question, at what a report lands on, and at the key
// without credentials.
func inspectLeak(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, leakedKey)
	p.inspectAll(sight{"key-leak", key + "/leak"})
	p.open(key)
	p.click(`a[hx-get$="/leak/dialog"]`)
	p.wait("dialog:modal")
	p.inspect("key-leak-dialog")
	p.follow(`dialog form[action$="/leak"] [type=submit]`)
	p.has("They have stopped")
	p.inspect("key-leaked")
	p.inspectAll(sight{"key-without-credentials", key})
	p.open(key + "/leaked")
	p.follow(`form[action$="/leaked/renew"] [type=submit]`)
	p.inspect("key-renewed")
}
