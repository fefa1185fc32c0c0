package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// TestPagesBeforeSignIn inspects what strangers and the first user see.
func TestPagesBeforeSignIn(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t), "KEYHOOK_SMTP_URL=smtp://127.0.0.1:9", "KEYHOOK_MAIL_FROM=keyhook@example.com") // or nobody can ask for a new password
	p := openBrowser(t).inspectable()
	for _, page := range []struct{ name, path string }{
		{"sign-in", "/sign-in"},
		{"forgot-password", "/forgot-password"},
		{"docs-send", "/docs/send"},
		{"docs-errors", "/docs/errors"},
		{"docs-read", "/docs/read"},
		{"not-found", "/nothing/here"},
		{"set-up-gone", "/setup"},
		{"password-link-gone", "/password"},
	} {
		p.open(server.url + page.path)
		p.inspect(page.name)
	}
	p.open(server.setupLink())
	p.inspect("set-up")
	p.setUp(server.setupLink())
	p.inspect("keys-empty")
	p.createKey("Shown")
	p.inspect("key-created")
	p.click(`[data-gate]`)
	p.resend()
	p.has("No second key was made")
	p.inspect("key-already-shown")

	// Somebody new chooses a password and belongs nowhere yet.
	var created struct {
		Link string `json:"link"`
	}
	if err := json.Unmarshal([]byte(server.run("", "user", "create", "--email", "new@example.com", "--name", "New", "--json")), &created); err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(created.Link, "/password")
	p = openBrowser(t).inspectable() // where nobody is signed in
	p.open(server.url + "/password" + token)
	p.inspect("password-link")
	p.fill("input[name=password]", "short")
	p.follow("form[action='/password'] [type=submit]")
	p.inspect("password-link-error")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/password'] [type=submit]")
	p.has("Your password is set")
	p.inspect("sign-in-after-choosing")
	p.fill("input[name=email]", "new@example.com")
	p.fill("input[name=password]", "not the right one")
	p.follow("form[action='/sign-in'] [type=submit]")
	p.inspect("sign-in-error")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/sign-in'] [type=submit]")
	p.open(server.url + "/workspaces")
	p.inspect("workspaces-empty")
	p.inspectSecondFactor(server.url)
}

// inspectSecondFactor sets one up for whoever is signed in, signs in anew with a
// recovery code, and looks at each page on the way.
func (p *tab) inspectSecondFactor(url string) {
	p.t.Helper()
	p.open(url + "/account/second-factor")
	p.follow(`form[action="/account/second-factor"] [type=submit]`)
	p.inspect("second-factor-set-up")
	secret := strings.ReplaceAll(eval[string](p, `document.querySelector("#factor-secret").value`), " ", "")
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.fill("input[name=code]", code)
	p.follow(`form[action$="/confirm"] [type=submit]`)
	p.inspect("recovery-codes")
	codes := strings.Fields(eval[string](p, `document.querySelector("#codes").textContent`))
	if len(codes) != 10 {
		p.t.Fatalf("%d recovery codes", len(codes))
	}
	p.click(`[data-gate]`)
	p.follow("form.gate [type=submit]")
	p.inspect("account")
	if text := p.everything(); strings.Contains(text, codes[0]) || strings.Contains(text, secret) {
		p.t.Error("a secret is on the page after the one that shows it")
	}
	eval[bool](p, `document.querySelector("details.menu-up").open = true`)
	p.follow(`form[action="/sign-out"] [type=submit]`)
	p.fill("input[name=email]", "new@example.com")
	p.fill("input[name=password]", ownerPassword)
	p.follow("form[action='/sign-in'] [type=submit]")
	p.inspect("sign-in-code")
	p.fill("input[name=code]", codes[0])
	p.follow("form[action='/sign-in/code'] [type=submit]")

	// A password that was changed proves no second factor: what asks for both does so.
	p.open(url + "/account/password")
	p.fill("input[name=current]", ownerPassword)
	p.fill("input[name=password]", "another long password 9")
	p.follow("form[action='/account/password'] [type=submit]")
	p.open(url + "/account/second-factor")
	p.inspect("second-factor")
	p.follow(`form[action$="/codes"] [type=submit]`)
	p.inspect("confirm")
	p.fill("input[name=password]", "another long password 9")
	p.fill("input[name=code]", codes[1])
	p.follow(`form[action="/account/confirm"] [type=submit]`)
	p.has("Save your recovery codes")
}
