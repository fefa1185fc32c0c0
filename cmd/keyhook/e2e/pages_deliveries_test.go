package e2e_test

import (
	"strings"
	"testing"
)

const (
	logLinks = `document.querySelectorAll(".deliveries .c-time a").length`
	inDrawer = `document.activeElement.id === "drawer-h"`
)

// inspectDeliveries looks at the log, filtered and not, and at single requests, and
// goes through them with a mouse, with keys alone and without script.
func inspectDeliveries(t *testing.T, console inUse) {
	p := console.signedIn(t)
	log := console.at("/deliveries")
	p.inspectAll(
		sight{"deliveries", log}, sight{"deliveries-filtered", log + "?range=7d&outcome=refused&scheme=stripe"},
		sight{"deliveries-none", log + "?range=1h&ref=no-such-ref&q=a+text"}, sight{"deliveries-wrong", log + "?from=then&address=here&generation=x"},
		sight{"deliveries-look-up", log + "/look-up?id=x"},
	)
	for _, outcome := range []string{"accepted", "duplicate", "refused"} {
		p.open(log + "?outcome=" + outcome)
		p.inspectAll(sight{"delivery-" + outcome, eval[string](p, `document.querySelector(".deliveries .c-time a").href`)})
	}
	p.show(true)
	throughDeliveries(p, log)
	withoutScriptThroughDeliveries(p, log)
}

// throughDeliveries zooms in, opens a request with the keyboard, goes to the next
// one and back to the list.
func throughDeliveries(p *tab, log string) {
	p.t.Helper()
	p.look(1440, "light")
	p.open(log + "?range=24h")
	all := eval[int](p, logLinks)
	p.open(eval[string](p, `[...document.querySelectorAll(".as-table a")].reverse().find((a) => a.closest("tr").cells[1].textContent !== "0").href`))
	if n := eval[int](p, logLinks); n == 0 || n > all || !strings.Contains(eval[string](p, `location.search`), "until=") {
		p.t.Errorf("zoomed in from %d to %d requests at %s", all, n, p.where())
	}
	p.open(log)
	first := eval[string](p, `document.querySelector(".deliveries tbody tr.hit").id`)
	p.do0(`document.querySelector(".deliveries .c-time a").focus()`)
	p.press("\r")
	p.until(inDrawer)
	if got := p.path(); !strings.HasSuffix(got, strings.TrimPrefix(first, "delivery-")) {
		p.t.Errorf("the drawer of %s is at %s", first, got)
	}
	if mark := eval[string](p, `document.querySelector(".deliveries tr[aria-current]").id`); mark != first {
		p.t.Errorf("%s is marked, want %s", mark, first)
	}
	p.do0(`document.querySelector("[aria-label='Older delivery']").focus()`)
	p.press("\r")
	p.until(inDrawer + ` && !location.pathname.endsWith("` + strings.TrimPrefix(first, "delivery-") + `")`)
	second := eval[string](p, `document.querySelector(".deliveries tr[aria-current]").id`)
	p.press("\x1b")
	p.until(`!document.querySelector(".drawer") && document.activeElement.closest("tr")?.id === "` + second + `"`)
	if got := p.path(); !strings.HasSuffix(got, "/deliveries") {
		p.t.Errorf("after Esc the address is %s", got)
	}
	p.goBack()
	p.until(`document.querySelector("#drawer-h")?.textContent.includes("` + strings.TrimPrefix(second, "delivery-") + `")`)
	p.quiet()
}

// withoutScriptThroughDeliveries filters and opens a request with JavaScript off.
func withoutScriptThroughDeliveries(p *tab, log string) {
	p.t.Helper()
	p.withoutScript(true)
	defer p.withoutScript(false)
	p.open(log)
	p.fill("#ref", "no-such-ref")
	p.follow(`form[aria-label="Filter deliveries"] [type=submit]`)
	p.has("no-such-ref")
	p.open(log + "?outcome=refused")
	p.follow(".deliveries .c-time a")
	p.wait(".drawer .trace .bad")
	p.follow("[data-close-drawer]")
	if got := p.path(); !strings.HasSuffix(got, "/deliveries") {
		p.t.Errorf("closed, the address is %s", got)
	}
}

// do0 runs a script for what it does.
func (p *tab) do0(script string) {
	p.t.Helper()
	eval[bool](p, script+`; true`)
}
