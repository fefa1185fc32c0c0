package e2e_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe.min.js
var axe string

//go:embed testdata/structure.js
var structureScript string

// wholeScript is axe with all of these rules on all of the page.
const wholeScript = `axe.run(document, {
		runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"], preload: false,
	}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary)))`

//go:embed testdata/colours.js
var coloursScript string

//go:embed testdata/layout.js
var layoutScript string

var (
	widths = []int{1280, 1024, 360}
	themes = []string{"light", "dark"}
)

// fineWays are the ways in which texts are painted that axe found fine, by theme.
type fineWays struct {
	lock  sync.Mutex
	names map[string][]string
}

func (f *fineWays) in(theme string) []string {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.names[theme]
}

func (f *fineWays) add(theme string, names []string) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.names[theme] = append(f.names[theme], names...)
}

func newFineWays() *fineWays { return &fineWays{names: map[string][]string{}} }

// fine is of all pages: what axe says of one text is true of those that are painted
// alike, on whatever page and in whatever width.
var fine = newFineWays()

// inspect looks at the open page in every width and theme. A theme is nothing but
// colours (TestThemeIsColours in static), so what does not depend on those is looked
// at in one. With KEYHOOK_INSPECT=whole every rule is asked about everything in every
// look, which takes four times as long.
func (p *tab) inspect(name string) {
	p.t.Helper()
	p.loadAxe()
	for _, width := range widths {
		for _, theme := range themes {
			p.look(width, theme)
			p.report(fmt.Sprintf("%s-%d-%s", name, width, theme), p.problems(theme, fine))
		}
	}
	for _, width := range []int{320, 768, 1100, 1440} {
		p.look(width, "light")
		p.report(fmt.Sprintf("%s-%d", name, width), p.layout())
	}
	p.look(1280, "light")
}

// problems lists what is wrong in the look that the page has now.
func (p *tab) problems(theme string, known *fineWays) (found []string) {
	p.t.Helper()
	if os.Getenv("KEYHOOK_INSPECT") == "whole" {
		return append(p.layout(), eval[[]string](p, wholeScript)...)
	}
	if theme == themes[0] {
		found = append(p.layout(), eval[[]string](p, structureScript)...)
	}
	return append(found, p.colours(theme, known)...)
}

// inspectAgain looks at a page that was inspected, with other texts or numbers in
// it: in every width, and once for what does not depend on it.
func (p *tab) inspectAgain(name string) {
	p.t.Helper()
	for _, width := range []int{320, 360, 768, 1024, 1100, 1440} {
		p.look(width, "light")
		p.report(fmt.Sprintf("%s-%d-light", name, width), p.layout())
	}
	p.loadAxe()
	p.look(1280, "light")
	p.report(name+"-1280-light", p.problems("light", fine))
}

// report reports what is wrong in a look, and takes a picture of it.
func (p *tab) report(look string, problems []string) {
	p.t.Helper()
	for _, problem := range problems {
		p.t.Errorf("%s: %s", look, problem)
	}
	p.shoot(look)
}

// axeURL is where pages get axe from, so that Chromium keeps what it made of it.
var axeURL = sync.OnceValue(func() string {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=86400, immutable")
		io.WriteString(w, axe)
	})).URL
})

// loadAxe puts axe into the page.
func (p *tab) loadAxe() {
	p.t.Helper()
	switch {
	case eval[bool](p, `"axe" in window`):
	case p.scriptOff:
		eval[bool](p, axe+";true")
	default:
		eval[bool](p, fmt.Sprintf(`new Promise((done, fail) => {
			const script = Object.assign(document.createElement("script"), {src: %q, onload: () => { script.remove(); done(true); }, onerror: () => fail("axe did not load")});
			document.head.append(script);
		})`, axeURL()))
	}
}

// layout lists what overlaps or leaves its box.
func (p *tab) layout() []string { p.t.Helper(); return eval[[]string](p, layoutScript) }

// colours lists what is wrong with the colours of texts that are painted in ways not
// known to be fine, and makes known those that are.
func (p *tab) colours(theme string, known *fineWays) []string {
	p.t.Helper()
	names, err := json.Marshal(known.in(theme))
	if err != nil {
		p.t.Fatal(err)
	}
	found := eval[struct{ Problems, Fine []string }](p, "("+coloursScript+")("+string(names)+")")
	known.add(theme, found.Fine)
	return found.Problems
}

// inspectable opens a tab in which axe may be put into pages that allow no
// foreign script. It is in the background unless pictures are taken: what is where, and
// in which colours, is known without painting it, which takes a third of the time. Show
// it before a step whose moment matters.
func (b *browser) inspectable() *tab {
	b.t.Helper()
	p := b.tab()
	p.show(inFront())
	if _, err := chromedp.Call(p.ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// inFront tells whether tabs that are inspected are painted.
func inFront() bool {
	return os.Getenv("KEYHOOK_SCREENSHOTS") != "" || os.Getenv("KEYHOOK_INSPECT") == "whole"
}
