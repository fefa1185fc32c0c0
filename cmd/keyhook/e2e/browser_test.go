package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A tab is one page of a browser. What the page reports to its console, policy
// violations among it, is collected.
type tab struct {
	t   *testing.T
	ctx context.Context

	scriptOff bool // JavaScript of the page's

	lock    sync.Mutex
	reports []string
}

func (b *browser) tab() *tab {
	b.t.Helper()
	ctx := b.ctx // has a tab itself: to open another one costs as much as a page
	if b.tabs++; b.tabs > 1 {
		var closeTab func()
		ctx, closeTab = chromedp.NewContext(b.ctx)
		b.t.Cleanup(closeTab)
		// The context of the first step is the tab's for its whole life: no limit on it.
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			b.t.Fatal(err)
		}
	}
	p := &tab{t: b.t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		b.t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{})
	if err == nil { // or only one of the windows had the focus
		_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// show takes the tab to the front, or into the background, where nothing is painted
// and timers are slow.
func (p *tab) show(front bool) {
	p.t.Helper()
	state := cdpbrowser.WindowStateMinimized
	if front {
		state = cdpbrowser.WindowStateNormal
	}
	window, err := chromedp.Call(p.ctx, cdpbrowser.GetWindowForTarget, cdpbrowser.GetWindowForTargetParams{})
	if err == nil {
		_, err = chromedp.Call(p.ctx, cdpbrowser.SetWindowBounds, cdpbrowser.SetWindowBoundsParams{WindowID: window.WindowID, Bounds: &cdpbrowser.Bounds{WindowState: state}})
	}
	if err == nil { // it counts as seen where the focus is emulated
		_, err = chromedp.Call(p.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: front})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) note(event any) {
	var text string
	switch event := event.(type) {
	case *cdplog.EventEntryAdded:
		text = fmt.Sprintf("%s: %s", event.Entry.Source, event.Entry.Text)
	case *page.EventJavascriptDialogOpening:
		// The page with the credentials asks before it is left: leave it.
		go func() {
			_, err := chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
			if err != nil && p.ctx.Err() == nil {
				p.t.Logf("answer a dialog: %v", err)
			}
		}()
		return
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("exception: %s", event.ExceptionDetails.Text)
	default:
		return
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	p.reports = append(p.reports, text)
}

// quiet fails the test if the page reported anything but a refused request,
// which the test asked for itself.
func (p *tab) quiet() {
	p.t.Helper()
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, report := range p.reports {
		// That a slow page comes after the reader has put the focus elsewhere is as it should be.
		if !strings.Contains(report, "Failed to load resource") && !strings.Contains(report, "Autofocus processing was blocked") {
			p.t.Errorf("the browser's console says: %s", report)
		}
	}
	p.reports = nil
}

// do runs steps, each as long as patience lasts.
func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			p.t.Fatalf("in the browser: %v\n%s", err, p.where())
		}
	}
}

func (p *tab) where() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + "\n" + (document.body?.innerText ?? "").slice(0, 1500)`))
	if err != nil {
		return err.Error()
	}
	return text
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
	// It does not wait for the page where the one before changes its address as it goes.
	waitUntil(p.t, url, func() bool { return eval[string](p, `document.readyState`) == "complete" })
}

// follow clicks what the selector finds and waits for the page that it leads to.
func (p *tab) follow(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.CSS(selector))))
	if err != nil {
		p.t.Fatalf("follow %s: %v\n%s", selector, err, p.where())
	}
}

func (p *tab) click(selector string) { p.t.Helper(); p.do(chromedp.Click(chromedp.CSS(selector))) }

func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.do(chromedp.SetValue(chromedp.CSS(selector), text))
}

func (p *tab) wait(selector string) { p.t.Helper(); p.do(chromedp.WaitVisible(chromedp.CSS(selector))) }

// content is an element's text, whether it is shown or not.
func (p *tab) content(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`(document.querySelector(%q)?.textContent ?? "")`, selector))
}

// value is what a form's field holds.
func (p *tab) value(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`(document.querySelector(%q)?.value ?? "")`, selector))
}

func (p *tab) path() string { p.t.Helper(); return eval[string](p, `location.pathname`) }

// has waits for the page to show text.
func (p *tab) has(text string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(eval[string](p, `document.body?.innerText ?? ""`), text) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the page does not say %q:\n%s", text, p.where())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func eval[T any](p *tab, script string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate in the page: %v\n%s", err, p.where())
	}
	return value
}

// withoutScript turns JavaScript off or on again.
func (p *tab) withoutScript(off bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
	if err != nil {
		p.t.Fatal(err)
	}
	p.scriptOff = off
}

// look sets the window's width and the theme that the system asks for. Motion is
// off, or the checks would see colours on their way from one theme to the other.
func (p *tab) look(width int, theme string) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(int64(width), 900))
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	if err != nil {
		p.t.Fatal(err)
	}
}

// shoot saves a picture of the page's beginning in the folder KEYHOOK_SCREENSHOTS, if
// that is set: in each look that KEYHOOK_SCREENSHOT_LOOKS names, or in all.
func (p *tab) shoot(name string) {
	p.t.Helper()
	folder, looks := os.Getenv("KEYHOOK_SCREENSHOTS"), strings.Fields(os.Getenv("KEYHOOK_SCREENSHOT_LOOKS"))
	wanted := func(look string) bool { return strings.HasSuffix(name, "-"+look) }
	if folder == "" || len(looks) > 0 && !slices.ContainsFunc(looks, wanted) {
		return
	}
	size := eval[struct{ W, H float64 }](p, `({W: innerWidth, H: Math.min(1400, Math.max(innerHeight, document.documentElement.scrollHeight))})`)
	picture, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatWebp, Quality: new(int64(55)), CaptureBeyondViewport: new(size.H > 900),
		Clip: &page.Viewport{Width: size.W, Height: size.H, Scale: 1},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".webp"), picture.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
