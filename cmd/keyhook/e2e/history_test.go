package e2e_test

import (
	"strings"
	"testing"
)

// TestBackInDeliveries goes back and forward among requests that opened beside the
// list, under the page's own policy: what is shown is what the address says.
func TestBackInDeliveries(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	apiKey, path := sendableKey(t, server.run("", "key", "create", "--workspace", server.slug, "--name", "Looked back at", "--json"))
	send := func(ref string) {
		t.Helper()
		if status, answer := server.post(path, `{}`, map[string]string{"X-API-Key": apiKey, "Idempotency-Key": ref}); status != 200 {
			t.Fatalf("sending %s = %d %s", ref, status, answer)
		}
	}
	send("one")
	send("two")
	p := openBrowser(t).tab()
	p.join(server)
	p.look(1440, "light")
	p.open(server.at("/deliveries"))
	eval[bool](p, `window.sameDocument = true`)
	shown := func(id string) {
		t.Helper()
		want := `!document.querySelector(".drawer") && location.pathname.endsWith("/deliveries")`
		if id != "" {
			want = `document.querySelector("#drawer-h")?.textContent.includes("` + id + `") && location.pathname.endsWith("/` + id + `")`
		}
		p.until(want + ` && window.sameDocument`)
	}
	id := func(row string) string {
		return strings.TrimPrefix(eval[string](p, `document.querySelectorAll(".deliveries tr.hit")[`+row+`].id`), "delivery-")
	}
	newest, older := id("0"), id("1")

	p.click(".deliveries .c-time a")
	shown(newest)
	p.click("[aria-label='Older delivery']")
	shown(older)
	p.goBack()
	shown(newest)
	p.goBack()
	shown("")
	p.goForward()
	shown(newest)
	// So does closing a request.
	p.press("\x1b")
	shown("")
	p.goBack()
	shown(newest)
	p.goForward()
	shown("")

	// The list that was put back has a live tail, which outlives the next one.
	p.click("[data-tail-toggle]")
	p.has("Live")
	eval[any](p, `document.activeElement.blur()`)
	send("three")
	p.has("three")
	p.goBack()
	shown(newest)
	p.has("Paused")
	p.quiet()
}

// TestThemeInPlace chooses a theme where a page shows what is shown once.
func TestThemeInPlace(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).tab()
	p.join(server)
	p.open(server.at("/invitations/new"))
	p.fill("[name=emails]", "new@example.com")
	p.follow(`form[action$="/invitations"] [type=submit]`)
	const link, theme = `document.querySelector("main").innerHTML.includes("/invitation?token=")`, `document.documentElement.dataset.theme`
	p.until(link)
	p.click(`details:has(form[action="/sign-out"]) > summary`)
	p.click(`[data-theme-form] [value=dark]`)
	p.until(theme + ` === "dark" && document.querySelector("[data-theme-form] [aria-pressed=true]").value === "dark"`)
	if !eval[bool](p, link) {
		t.Error("choosing a theme lost the link")
	}
	p.open(server.at("/keys?q=x"))
	p.until(theme + ` === "dark"`)
	p.click(`details:has(form[action="/sign-out"]) > summary`)
	p.click(`[data-theme-form] [value=""]`)
	p.until(`!("theme" in document.documentElement.dataset) && location.search === "?q=x"`)
	p.open(server.at("/keys"))
	p.until(`!("theme" in document.documentElement.dataset)`)
	p.quiet()
}
