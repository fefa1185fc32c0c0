package e2e_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestPagesInUse inspects the console full of keys and traffic. Its parts have one
// server and one browser with a tab each: a page's inspection keeps one processor busy.
func TestPagesInUse(t *testing.T) {
	t.Parallel()
	console := inUse{program: launch(t, "demo", t.TempDir()), tabs: &tabs{browser: openBrowser(t)}}
	console.signIn()
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

// An inUse is the console of a workspace full of keys and traffic, and a browser in
// which its owner is signed in.
type inUse struct {
	*program
	tabs *tabs
}

type tabs struct {
	browser *browser
	lock    sync.Mutex
	idle    []*tab
}

// at returns an address in the workspace.
func (u inUse) at(path string) string { return u.url + "/w/harbour-pine" + path }

func (u inUse) signIn() {
	p := u.tabs.browser.inspectable()
	login := regexp.MustCompile(`as (\S+) with the password (\S+)`).FindStringSubmatch(u.log())
	p.open(u.url + "/sign-in")
	p.fill("input[name=email]", login[1])
	p.fill("input[name=password]", login[2])
	p.follow("form[action='/sign-in'] [type=submit]")
	u.tabs.idle = []*tab{p}
}

// signedIn gives a part a tab until it ends, one that an earlier part had if there is
// one: to open a tab and to sign in takes as long as a page.
func (u inUse) signedIn(t *testing.T) *tab {
	t.Helper()
	u.tabs.lock.Lock()
	defer u.tabs.lock.Unlock()
	if len(u.tabs.idle) == 0 {
		u.tabs.idle = []*tab{u.tabs.browser.inspectable()}
	}
	last := len(u.tabs.idle) - 1
	p := u.tabs.idle[last]
	u.tabs.idle = u.tabs.idle[:last]
	p.t = t
	t.Cleanup(func() {
		u.tabs.lock.Lock()
		defer u.tabs.lock.Unlock()
		if !t.Failed() { // or nobody knows what is open in it
			u.tabs.idle = append(u.tabs.idle, p)
		}
	})
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
