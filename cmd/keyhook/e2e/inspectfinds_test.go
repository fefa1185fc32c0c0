package e2e_test

import (
	"fmt"
	"testing"
)

// A planted fault is one that is put into the page, and the looks that must find it:
// what is no matter of colour is looked for in one theme.
type planted struct {
	name, spoil string
	in          func(width int, theme string) bool
}

var everywhere = func(int, string) bool { return true }

// rule plants a rule of style.
func rule(css string) string {
	return fmt.Sprintf(`document.head.append(Object.assign(document.createElement("style"), {textContent: %q}))`, css)
}

var faults = []planted{
	{"text on other text", `{
		const label = document.querySelector("label"), a = document.querySelector("h1").getBoundingClientRect(), b = label.getBoundingClientRect();
		label.style.transform = "translate(" + (a.left - b.left) + "px," + (a.top - b.top) + "px)";
	}`, nil},
	{"text that leaves its box", `Object.assign(document.querySelector("button").style, {width: "20px", padding: "0", whiteSpace: "nowrap"})`, nil},
	{"a page that goes sideways", `document.querySelector("main").style.width = "3000px"`, nil},
	{"a field without a label", `document.querySelector("label").remove()`, nil},
	{"pale text", `document.querySelector("h1").style.color = "#888"`, func(_ int, theme string) bool { return theme == "light" }},
	{"pale text that readers do not hear", `document.querySelector("h1").insertAdjacentHTML("beforeend", " <span aria-hidden=true style='color: light-dark(#999, #eee)'>Some words</span>")`, func(_ int, theme string) bool { return theme == "light" }},
	{"a link told from its line by nothing, after one that has none", `document.querySelector("h1").insertAdjacentHTML("afterend", "<p><a href='/' style='color: light-dark(#444, #ccc); text-decoration: none'>a link</a></p><p>Some words before <a href='/' style='color: light-dark(#444, #ccc); text-decoration: none'>a link to it</a> and words after</p>")`, nil},
	{"a target under what is none", `document.querySelector("main").insertAdjacentHTML("beforeend", "<div style='position: relative; height: 60px'><a href='/a' aria-label=a style='position: absolute; left: 0; width: 40px; height: 24px'></a><a href='/b' aria-label=b style='position: absolute; left: 44px; width: 200px; height: 20px'></a><span style='position: absolute; left: 54px; width: 50px; height: 24px; background: CanvasText'></span></div>")`, nil},
	{"dim text", `document.querySelector("h1").style.color = "#555"`, func(_ int, theme string) bool { return theme == "dark" }},
	{"dim text on a phone", rule(`@media (max-width: 400px) { h1 { color: light-dark(#111, #444) } }`), func(width int, theme string) bool { return width == 360 && theme == "dark" }},
	{"pale text on middling windows", rule(`@media (width: 1024px) { label { color: light-dark(#999, #eee) } }`), func(width int, theme string) bool { return width == 1024 && theme == "light" }},
	{"text on what lies under it", `{
		const box = document.querySelector("h1").getBoundingClientRect();
		document.querySelector("h1").style.cssText = "position: relative; z-index: 1";
		document.body.insertAdjacentHTML("beforeend", "<div style='position: absolute; background: light-dark(#fff, #ddd); left: 0; width: 100%; height: 500px; top:" + (box.top - 200) + "px'></div>");
	}`, func(_ int, theme string) bool { return theme == "dark" }},
	{"a link told from its line by nothing", `document.querySelector("h1").insertAdjacentHTML("afterend", "<p>Some words before <a href='/' style='color: light-dark(#444, #ccc); text-decoration: none'>a link to it</a> and words after</p>")`, nil},
	{"no heading on middling windows", rule(`@media (width: 1024px) { h1 { display: none } }`), func(width int, theme string) bool { return width == 1024 && theme == "light" }},
	{"small targets on a phone", rule(`.tiny { display: block; width: 40px; height: 40px } @media (max-width: 400px) { .tiny { width: 9px; height: 9px } }`) +
		`, document.querySelector("main").insertAdjacentHTML("beforeend", "<div><a class=tiny href='/a' aria-label=a></a><a class=tiny href='/b' aria-label=b></a></div>")`, func(width int, theme string) bool { return width == 360 && theme == "light" }},
	{"a target under another", `document.querySelector("main").insertAdjacentHTML("beforeend", "<div style='position: relative; height: 60px'>" + [0, 10].map(top => "<a href='/" + top + "' aria-label=a style='position: absolute; left: 0; width: 60px; height: 30px; top:" + top + "px'></a>").join("") + "</div>")`, func(_ int, theme string) bool { return theme == "light" }},
	{"a button without a name in one row of many", `document.querySelector("main").insertAdjacentHTML("beforeend", "<table><thead><tr><th>Head</th></tr></thead><tbody>" + "<tr><td>row <button aria-label='Open'></button></td></tr>".repeat(30) + "</tbody></table>"), document.querySelector("tr:nth-child(15) button").setAttribute("aria-label", "")`, nil},
	{"a row like others that is pale", `document.querySelector("main").insertAdjacentHTML("beforeend", "<table><thead><tr><th>Head</th></tr></thead><tbody>" + "<tr><td>row</td></tr>".repeat(30) + "</tbody></table>"), document.querySelector("tr:nth-child(15) td").style.color = "#777"`, everywhere},
}

// TestInspectionFinds is the negative control of the inspection: of a page that is
// known to be fine, each fault is found, and one that is in some looks only in those.
func TestInspectionFinds(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).inspectable()
	known := newFineWays()
	look := func(name string, in func(int, string) bool) {
		t.Helper()
		p.loadAxe()
		found := 0
		for _, width := range widths {
			for _, theme := range themes {
				p.look(width, theme)
				problems := p.problems(theme, known)
				found += len(problems)
				if in != nil && in(width, theme) != (len(problems) > 0) {
					t.Errorf("%s at %d px in the theme %s: found %q", name, width, theme, problems)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s was not found", name)
		}
	}
	p.open(server.url + "/sign-in")
	p.loadAxe()
	for range 2 { // the second time all is known to be fine
		for _, width := range widths {
			for _, theme := range themes {
				p.look(width, theme)
				if problems := p.problems(theme, known); len(problems) > 0 {
					t.Fatalf("the page has problems already: %v", problems)
				}
			}
		}
	}
	for _, fault := range faults {
		p.look(1280, "light")
		p.open(server.url + "/sign-in")
		eval[bool](p, fault.spoil+";true")
		look(fault.name, fault.in)
	}
}
