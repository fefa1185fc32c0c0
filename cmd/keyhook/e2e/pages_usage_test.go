package e2e_test

import "testing"

// inspectUsage looks at the charts of all keys over every range, with their tables
// open, and at those of a workspace without a request.
func inspectUsage(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.inspectAll(sight{"usage", console.at("/usage")}, sight{"usage-empty", console.url + "/w/sandbox/usage?range=13m"})
	p.withoutScript(true) // the pages need none
	for _, span := range []string{"24h", "30d", "90d", "13m"} {
		p.open(console.at("/usage"))
		p.follow(`.ranges a[href$="range=` + span + `"]`)
		for _, width := range []int{360, 1280} {
			p.look(width, "light")
			if off := eval[[]string](p, strayLabels); len(off) > 0 {
				t.Errorf("%s at %d px: labels that are not under their bars: %q", span, width, off)
			}
		}
		if bars := eval[int](p, `document.querySelectorAll(".chart g").length`); bars == 0 || bars > 2*60 {
			t.Errorf("%s: %d columns in two charts, want some and at most 60 in each", span, bars)
		}
		if empty := eval[int](p, `document.querySelectorAll(".chart svg:not(:has(.a))").length`); empty > 0 {
			t.Errorf("%s: %d charts show nothing", span, empty)
		}
	}
	p.withoutScript(false)
	for _, span := range []string{"90d", "13m"} {
		p.open(console.at("/usage?range=" + span))
		eval[bool](p, `document.querySelectorAll("details.as-table").forEach(d => d.open = true), true`)
		p.inspectAgain("usage-" + span + "-tables")
	}
	p.open(console.key(p, busiest) + "?range=13m")
	eval[bool](p, `document.querySelectorAll("#usage-h, details.as-table").forEach(d => d.open = true), true`)
	p.inspectAgain("key-13m-open")
}
