package e2e_test

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
)

// inspectAudit verifies a trail, finds it right, and another one broken, as the page
// shows it and as it prints.
func inspectAudit(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.open(console.at("/audit"))
	p.has("Never verified here")
	p.click(`form[action$="/audit/verify"] button`)
	p.wait("#verification.verify-ok")
	p.has("entries verified")
	p.inspect("audit")
	p.click(".audit-more summary")
	p.has("Hash before it")
	p.follow(`.audit .facts a[href*="?q="], .audit .c-tgt > a`)

	p.open(console.url + "/workspaces/new") // one that nobody else looks at
	p.fill("input[name=name]", "Tampered with")
	p.follow("form[action='/workspaces'] [type=submit]")
	p.open(console.url + "/w/tampered-with/audit")
	console.tamper(t, `UPDATE audit_log SET actor_label = 'Eve' WHERE seq = 2 AND chain = (SELECT id::text FROM workspaces WHERE slug = 'tampered-with')`)
	p.click(`form[action$="/audit/verify"] button`)
	p.wait("#verification.verify-bad")
	p.has("Verification failed at entry 2")
	p.inspect("audit-broken")
	p.follow(`#verification a[href*="?entry=2"]`)
	p.has("As stored now, may be false")

	p.open(console.at("/audit"))
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	if !eval[bool](p, `(() => { const seen = (s) => getComputedStyle(document.querySelector(s)).display !== "none";
		return seen(".hash-full") && seen(".print-only") && !seen(".hash-short") && !seen("#outside") && !seen(".side") && !seen(".audit-more") && getComputedStyle(document.body).page === "trail"; })()`) {
		t.Error("in print the full hashes are missing, or what is no use there is not, or a page is left free before it")
	}
	p.shoot("audit-print")
}

// tamper changes the trail as the database's owner could.
func (u inUse) tamper(t *testing.T, statement string) {
	t.Helper()
	dir := regexp.MustCompile(`throw-away data folder (\S+)`).FindStringSubmatch(u.log())[1]
	url, ok := pgembed.Running(t.Context(), filepath.Join(dir, "postgres"))
	if !ok {
		t.Fatal("the private database does not run")
	}
	db, err := postgres.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{`ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only`, statement, `ALTER TABLE audit_log ENABLE TRIGGER audit_log_append_only`} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}
