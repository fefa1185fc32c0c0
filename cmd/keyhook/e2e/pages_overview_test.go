package e2e_test

import (
	"strings"
	"testing"
)

// inspectOverview looks at the overview where something is wrong and where nothing
// is, with scripts and without, and follows what it names to where it is mended.
func inspectOverview(t *testing.T, u inUse) {
	p := u.signedIn(t)
	p.inspectAll(sight{"overview", u.at("/overview")}, sight{"overview-calm", u.url + "/w/sandbox/overview"})
	p.has("Nothing is wrong.")
	p.withoutScript(true)
	p.open(u.at("/overview"))
	for _, want := range []string{"need attention", "Stopped credentials of 2 keys are still in use", "Zapier sandbox", "Price tests", "Fleet telematics", "keys have no owner", "Carrier ETA feed"} {
		p.has(want)
	}
	p.withoutScript(false)
	p.open(u.at("/overview"))
	p.follow(`#wrong .about a[href*="/keys/"]`)
	if path := p.path(); !strings.HasPrefix(path, "/w/harbour-pine/keys/") {
		t.Errorf("a key that the overview names leads to %s", path)
	}
	p.inspectAll(sight{"key-ghost", u.key(p, "Zapier sandbox")}, sight{"key-overlap-ending", u.key(p, "Fleet telematics")})
	p.open(u.key(p, "Zapier sandbox"))
	p.has("Stopped credentials still in use")
	p.has("38 requests in the last 7 days")
}
