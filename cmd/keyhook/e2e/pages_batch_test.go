package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/uuid"
)

// TestManyKeysByKeyboard stops a key, takes that back and gives all keys to
// somebody, from the list, without a pointer, with scripts on and off.
func TestManyKeysByKeyboard(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	for _, name := range []string{"One", "Two", "Three"} {
		server.run("", "key", "create", "--workspace", server.slug, "--name", name)
	}
	keys := server.at("/keys")
	for _, off := range []bool{true, false} {
		p.withoutScript(off)
		p.open(keys + "?status=never-used&sort=name")
		p.has("Refused requests don’t count")
		p.tabTo(`.c-pick input`)
		p.do(chromedp.KeyEvent(" "))
		p.tabTo(`button[value=deactivate]`)
		p.press(kb.Enter)
		p.has("Deactivate 1 key?")
		p.tabTo(`#deactivate-go`)
		p.press(kb.Enter)
		p.has("1 key deactivated")
		p.tabTo(`form[action$="/undo"] [type=submit]`)
		p.press(kb.Enter)
		p.has("1 key reactivated")
	}
	p.open(keys)
	p.tabTo(`#all`)
	p.do(chromedp.KeyEvent(" "))
	p.tabTo(`button[value=owner]`)
	p.press(kb.Enter)
	p.wait("#owner:focus")
	p.do(chromedp.KeyEvent("A")) // of Ada
	p.tabTo(`.dialog-foot [type=submit]`)
	p.press(kb.Enter)
	p.has("3 keys given to Ada Okonkwo")
	for status, want := range map[string]int{"owner-gone": 0, "never-used": 3, "idle-90": 0} {
		if n := strings.Count(server.run("", "key", "list", "--workspace", server.slug, "--status", status, "--json"), `"id"`); n != want {
			t.Errorf("key list --status %s lists %d keys, want %d", status, n, want)
		}
	}
	p.quiet()
}

// TestSearchGoesWithTabs: what is searched for as one types is kept by the tabs above
// the list.
func TestSearchGoesWithTabs(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	for _, name := range []string{"One", "Other"} {
		server.run("", "key", "create", "--workspace", server.slug, "--name", name)
	}
	p := openBrowser(t).tab()
	p.join(server)
	p.open(server.at("/keys?owner=" + uuid.NewString()))
	p.follow("#keys-of a")
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "One"))
	p.until(`location.search === "?q=One&sort=" && document.activeElement.id === "q" && document.querySelectorAll(".keys tbody tr").length === 1`)
	p.follow(`#key-tabs a[href*="never-used"]`)
	if at := eval[string](p, `location.search`); at != "?q=One&status=never-used" || p.value("#q") != "One" {
		t.Errorf("the tab leads to %s", at)
	}
	p.quiet()
}

// inspectBatches looks at the list's filters, at the questions before many keys are
// changed and at what is told afterwards.
func inspectBatches(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.inspectAll(sight{"keys-idle", console.at("/keys?status=idle")}, sight{"keys-ghosts", console.at("/keys?status=ghost-use")})
	p.open(console.at("/keys?status=never-expires"))
	p.click(".c-pick input")
	p.click(".filters-more summary")
	p.inspect("keys-chosen-menu")
	p.open(console.at("/keys"))
	p.follow(`button[value=deactivate]`)
	p.has("No key is chosen")
	p.inspect("keys-none-chosen")
	p.open(console.at("/keys?q=energy+meters"))
	p.click("#all")
	p.follow(`button[value=owner]`)
	p.inspect("batch-owner")
	p.open(console.at("/keys?q=bank+statements"))
	p.click("#all")
	p.follow(`button[value=deactivate]`)
	p.inspect("batch-deactivate")
	p.fill("#confirm", "2")
	p.follow(`#deactivate-go`)
	p.has("not how many keys")
	p.inspect("batch-error")
	p.fill("#confirm", "1")
	p.follow(`#deactivate-go`)
	p.has("1 key deactivated")
	p.inspect("batch-done")
	p.follow(`form[action$="/undo"] [type=submit]`)
	p.has("1 key reactivated")
	p.inspect("batch-undone")
}
