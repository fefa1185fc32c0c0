package e2e_test

import (
	"testing"
	"time"
)

// inspectSuspect looks at where a key's requests come from, at marks of suspect
// signals and at an erasure, from the question to its end.
func inspectSuspect(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, "Support tickets")
	p.inspectAll(sight{"from", key + "/from?range=30d"}, sight{"suspect-empty", key + "/suspect"})
	p.open(key + "/suspect?from=yesterday&until=2026-01-01")
	p.inspect("suspect-error")
	from := time.Now().UTC().Add(-20 * 24 * time.Hour).Format("2006-01-02")
	p.open(key + "/suspect?until=" + time.Now().UTC().Format("2006-01-02") + "+00:00&from=" + from + "+00:00")
	p.inspect("suspect-preview")
	p.fill("input[name=reason]", "The sender's machine was broken into")
	p.follow(`form[method=post][action$="/suspect"] [type=submit]`)
	p.has("Take back")
	p.inspect("suspect-marked")
	p.open(console.at("/signals?suspect=true"))
	p.inspect("signals-suspect")
	p.follow(`.sigs .c-time a`)
	p.has("broken into")
	p.inspect("signal-suspect")

	p.open(console.at("/signals/erase"))
	p.inspect("erase")
	for name, text := range map[string]string{"ref": "nobody-has-this", "reason": "Asked for by the person", "confirm": "another"} {
		p.fill("input[name="+name+"]", text)
	}
	p.follow(`form[action$="/signals/erase"] [type=submit]`)
	p.inspect("erase-error")
	p.fill("input[name=confirm]", "nobody-has-this")
	p.follow(`form[action$="/signals/erase"] [type=submit]`)
	p.has("nobody-has-this")
	p.wait("#erasures .pill-ok")
	p.inspect("erase-done")
}
