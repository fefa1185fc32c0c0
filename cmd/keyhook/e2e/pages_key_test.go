package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// busiest is the key that most pages of the demonstration are looked at with.
const busiest = "Warehouse scanner fleet"

func inspectKey(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, busiest)
	p.inspectAll(
		sight{"key", key},
		sight{"key-inactive", console.key(p, "Zapier sandbox")},
		sight{"key-edit", key + "/edit"},
		sight{"key-new", console.at("/keys/new")},
		sight{"key-not-found", console.at("/keys/00000000-0000-7000-8000-000000000000")},
	)
	p.open(console.at("/keys/new"))
	p.fill("input[name=name]", busiest)
	p.fill("textarea[name=allowed_cidrs]", "10.0.0.0/33")
	p.follow("#key-form [type=submit]")
	p.has("33")
	p.inspect("key-new-errors")
}

// strayLabels lists the labels of the charts whose middle is not that of a bar that
// begins then, or of a day's bars; the bars' titles tell when they begin.
const strayLabels = `[...document.querySelectorAll(".chart")].filter(chart => chart.checkVisibility()).flatMap(chart => {
	const middle = (boxes) => (boxes[0].left + boxes.at(-1).right) / 2;
	const box = (element) => element.getBoundingClientRect();
	const day = (bar) => bar.title.split(/,| UTC/)[0];
	const bars = [...chart.querySelectorAll("g")].map(g => ({title: g.querySelector("title").textContent, box: box(g.querySelector(".band"))}));
	return [...chart.querySelectorAll(".x-days span")].filter(label => {
		const text = label.textContent.replace("’", "20"), mine = bars.filter(b => text.includes(":") ? b.title.includes(text) : [day(b), day(b).split(" ")[0]].includes(text));
		return !mine.length || Math.abs(middle(mine.map(b => b.box)) - middle([box(label)])) > 1;
	}).map(label => label.textContent);
})`

func inspectCharts(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, busiest)
	for _, span := range []string{"24h", "7d", "30d", "90d", "13m"} {
		p.open(key + "?range=" + span)
		p.inspectAgain("key-" + span)
		for _, width := range []int{360, 1280} {
			p.look(width, "light")
			if off := eval[[]string](p, strayLabels); len(off) > 0 {
				t.Errorf("%s at %d px: labels that are not under their bars: %q", span, width, off)
			}
		}
	}
}

func inspectDeactivation(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, busiest)
	p.inspectAll(sight{"key-deactivate", key + "/deactivate"})
	p.open(key)
	p.click(`a[hx-get$="/deactivate/dialog"]`)
	p.wait("dialog:modal")
	p.inspect("key-deactivate-dialog")
	eval[bool](p, `document.querySelector("#confirm").dataset.confirm = "Two \u00a0 words\u200b\ufeff", true`)
	for text, ready := range map[string]bool{"Two word": false, " Two  words": true, "": false} {
		eval[bool](p, fmt.Sprintf(`{ const i = document.querySelector("#confirm"); i.value = %q; i.dispatchEvent(new Event("input", {bubbles: true})); } true`, text))
		if off := eval[string](p, `document.querySelector("#deactivate-go").getAttribute("aria-disabled")`); (off == "false") != ready {
			t.Errorf("%q typed for a name with odd white space: aria-disabled is %s", text, off)
		}
	}
}

// inspectSchemes looks at what follows the choice of who sends, with scripts on
// and off, and at the keys that come of it.
func inspectSchemes(t *testing.T, console inUse) {
	p := console.signedIn(t)
	keys := console.at("/keys")
	for _, off := range []bool{false, true} {
		p.withoutScript(off)
		p.open(keys + "/new")
		for choice, want := range map[string]string{"stripe": "Stripe-Signature", "standard": "webhook-signature", "url": "Treat it like a password", "basic": "Authorization: Basic"} {
			p.click("#scheme-" + choice)
			if text := p.content("aside.sticky"); !strings.Contains(text, want) {
				t.Errorf("with %s chosen (scripts off: %v) the sender needs %q", choice, off, text)
			}
		}
		p.click("#scheme-stripe")
		for selector, want := range map[string]bool{"#secret": true, "#require_signature": false, "#allow_in_url": false, "#ref_pointer": false} {
			if shown := eval[bool](p, fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, selector)); shown != want {
				t.Errorf("with Stripe chosen %s is shown: %v, want %v", selector, shown, want)
			}
		}
	}
	p.withoutScript(false)
	p.open(keys + "/new")
	p.click("#scheme-stripe")
	p.fill("input[name=name]", "Stripe of the inspection")
	p.inspect("key-new-stripe")
	p.follow("#key-form [type=submit]")
	p.has("no secret yet")
	p.inspect("key-secret-missing")
	p.fill("input[name=secret]", "whsec_short")
	p.follow("form[action$='/secret'] [type=submit]")
	p.inspect("key-secret-error")
	p.open(keys + "/new")
	p.click("#scheme-github")
	p.fill("input[name=name]", "GitHub of the inspection")
	p.follow("#key-form [type=submit]")
	p.inspect("key-created-github")
}
