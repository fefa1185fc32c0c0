package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long a step may take on a machine that has much else to do.
const patience = 45 * time.Second

// A browser is a real Chromium that nobody used before.
type browser struct {
	t       *testing.T
	ctx     context.Context
	profile string // its folder, if it is known
	tabs    int    // that were asked for
}

// chromium finds the browser under the names that distributions give it; "" is none.
// scripts/setup has the same list.
func chromium() string {
	for _, name := range []string{"chromium", "google-chrome", "google-chrome-stable", "chromium-browser"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// headlessShell finds Chromium without windows, which spends a third less time on pages but
// writes less of a profile; without it, chromium.
func headlessShell() string {
	if path, err := exec.LookPath("/usr/lib/chromium/chromium-headless-shell"); err == nil {
		return path
	}
	return chromium()
}

// spared are parts of Chromium that no test sees, and that cost as much as a page:
// those that chromedp does without, and pages that stand ready below the address bar.
const spared = "Translate,BlinkGenPropertyTrees,MediaRouter,OptimizationHints,PreloadTopChromeWebUI," +
	"WebUIOmniboxPopup,WebUIOmniboxFullPopup,WebUIOmniboxAimPopup,AimServerEligibilityEnabled,AimEnabled"

// plainJS turns off compilers that cost more than they save where no page lives long.
const plainJS = "--no-opt --no-maglev"

// startChromium starts a Chromium on a profile; the function that it returns ends it.
func startChromium(program, profile string) (context.Context, func(), error) {
	if program == "" {
		return nil, nil, errors.New("the browser tests need Chromium: run scripts/setup test")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.WindowSize(1280, 900),
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-features", spared), chromedp.Flag("js-flags", plainJS),
		chromedp.Flag("host-resolver-rules", "MAP "+otherName+" 127.0.0.1"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	end := func() { closeBrowser(); stop() }
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		end()
		return nil, nil, fmt.Errorf("start Chromium: %w", err)
	}
	return ctx, end, nil
}

// otherName is a name of this machine's, in the browser.
const otherName = "keyhook.internal.example"

// shared is the Chromium in which most browsers of the tests are: to start one costs
// as much as many pages.
var shared struct {
	sync.Once
	ctx     context.Context
	profile string
	end     func()
	err     error
}

func endShared() {
	if shared.end != nil {
		shared.end()
	}
	os.RemoveAll(shared.profile)
}

// openBrowser opens a browser that shares its program with others, and nothing that
// a page can tell: cookies, storage and cache are its own.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	shared.Do(func() {
		if shared.profile, shared.err = os.MkdirTemp("", "keyhook-e2e-profile-"); shared.err == nil {
			shared.ctx, shared.end, shared.err = startChromium(headlessShell(), shared.profile)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	ctx, closeContext := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(closeContext)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("open a browser: %v", err)
	}
	return &browser{t: t, ctx: ctx}
}

// openOwnBrowser starts a browser with a profile on disk of its own.
func openOwnBrowser(t *testing.T) *browser {
	t.Helper()
	profile := t.TempDir()
	ctx, end, err := startChromium(chromium(), profile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return &browser{t: t, ctx: ctx, profile: profile}
}

// close ends the browser, so that its profile is on disk.
func (b *browser) close() {
	b.t.Helper()
	if err := chromedp.Cancel(b.ctx); err != nil {
		b.t.Logf("close Chromium: %v", err)
	}
}
