package e2e_test

import (
	"flag"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPagesInUse inspects the console full of keys and traffic. Its parts have one
// server, and as many browsers as there are parts at once: a page's inspection keeps
// one processor busy.
func TestPagesInUse(t *testing.T) {
	t.Parallel()
	console := inUse{launch(t, "demo", t.TempDir()), make(chan *tab, atOnce(t))}
	for range cap(console.tabs) {
		console.tabs <- console.signIn(t)
	}
	for name, inspect := range map[string]func(*testing.T, inUse){
		"overview": inspectOverview, "keys": inspectKeys, "people": inspectPeople, "key": inspectKey, "charts": inspectCharts, "deactivation": inspectDeactivation,
		"usage":   inspectUsage,
		"signals": inspectSignals, "tokens": inspectTokens, "schemes": inspectSchemes, "rotation": inspectRotation, "deliveries": inspectDeliveries, "leak": inspectLeak, "import": inspectImport, "handover": inspectHandover, "batches": inspectBatches, "suspect": inspectSuspect, "evidence": inspectEvidence, "audit": inspectAudit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inspect(t, console)
		})
	}
}

// An inUse is the console of a workspace full of keys and traffic, and the tabs in
// which its owner is signed in, each of a browser of its own.
type inUse struct {
	*program
	tabs chan *tab
}

// atOnce is how many parts of a test run at once.
func atOnce(t *testing.T) int {
	n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// at returns an address in the workspace.
func (u inUse) at(path string) string { return u.url + "/w/harbour-pine" + path }

func (u inUse) signIn(t *testing.T) *tab {
	t.Helper()
	p := openBrowser(t).inspectable()
	login := regexp.MustCompile(`as (\S+) with the password (\S+)`).FindStringSubmatch(u.log())
	p.open(u.url + "/sign-in")
	p.fill("input[name=email]", login[1])
	p.fill("input[name=password]", login[2])
	p.follow("form[action='/sign-in'] [type=submit]")
	return p
}

// signedIn gives a part a tab until it ends, which earlier parts may have had: to open a
// browser and to sign in takes as long as a page.
func (u inUse) signedIn(t *testing.T) *tab {
	t.Helper()
	p := <-u.tabs
	t.Cleanup(func() { u.tabs <- p })
	p.t = t
	p.withoutScript(false)
	p.look(1280, "light")
	p.show(inFront())
	p.lock.Lock()
	defer p.lock.Unlock()
	p.reports = nil
	return p
}

// key returns the address of the key with a name.
func (u inUse) key(p *tab, name string) string {
	p.t.Helper()
	p.open(u.at("/keys?q=") + strings.ReplaceAll(name, " ", "+"))
	return eval[string](p, `document.querySelector(".keys tbody a").href`)
}

// A sight is a page and what its inspection is called.
type sight struct{ name, url string }

func (p *tab) inspectAll(pages ...sight) {
	p.t.Helper()
	for _, page := range pages {
		p.open(page.url)
		p.inspect(page.name)
	}
}

func inspectKeys(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.inspectAll(
		sight{"workspaces", console.url + "/workspaces"},
		sight{"keys", console.at("/keys")},
		sight{"keys-no-match", console.at("/keys?q=nothing+like+this")},
		sight{"workspace-new", console.url + "/workspaces/new"},
	)
}
