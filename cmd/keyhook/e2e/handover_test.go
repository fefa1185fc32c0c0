package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHandOver has an admin and a recipient, each with a browser: the link is made
// in one, the credentials in the other, and the status page follows the requests.
// What opens the link is then looked for everywhere that something is kept.
func TestHandOver(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	admin, recipientBrowser := openBrowser(t).tab(), openBrowser(t)
	recipient := recipientBrowser.tab()
	admin.setUp(server.setupLink())
	admin.follow(`a[href$="/keys/new"]`)
	admin.fill(`input[name=name]`, "Northwind orders")
	admin.click(`#give-link`)
	admin.follow(`#key-form [type=submit]`)
	admin.fill(`input[name=recipient]`, "Priya at Northwind")
	admin.follow(`form[action$="/handover"] [type=submit]`)
	link := admin.value("#handover-link")
	admin.resend()
	admin.has("No second link was made")
	admin.goBack()
	_, token, _ := strings.Cut(link, "token=")
	if len(token) < 43 || strings.Contains(admin.everything(), token) {
		t.Fatalf("the link has a token of %d characters, or the page still holds it", len(token))
	}

	recipient.open(link)
	recipient.has("Make my credentials")
	if at := eval[string](recipient, `location.href`); strings.Contains(at, "token") {
		t.Errorf("the token stays in the address: %s", recipient.path())
	}
	page := recipient.path()
	recipient.follow(`form [type=submit]`)
	c := recipient.shown()
	id := keyIDIn(recipient.everything())
	recipient.has("Waiting for the first request")
	send := func(apiKey string, want int) {
		t.Helper()
		if status, answer := server.post("/hooks/"+id, `{}`, map[string]string{"X-API-Key": apiKey}); status != want {
			t.Errorf("a request: %d %s, want %d", status, answer, want)
		}
	}
	send(c.apiKey, 200)
	recipient.wait("#first.first-ok") // green
	recipient.click(`[data-gate]`)
	recipient.resend()
	recipient.has("No second pair was made")
	recipient.goBack()
	recipient.open(link)
	recipient.has("Your credentials work")
	recipient.has("Accepted")
	if text := recipient.everything(); strings.Contains(text, c.apiKey) || strings.Contains(text, c.secret) {
		t.Error("the status page holds the credentials")
	}
	if status, _ := server.post("/hooks/"+id, `{}`, map[string]string{"X-Webhook-Signature": "sha256=" + strings.Repeat("0", 64)}); status != 401 {
		t.Errorf("a wrong signature: %d, want 401", status)
	}
	recipient.has("another secret made it") // the page has asked by itself
	recipient.quiet()
	admin.open(server.url + "/w/harbour-pine/keys/" + id)
	admin.has("Credentials handed over to Priya at Northwind")
	if strings.Contains(admin.everything(), token) {
		t.Error("the key's page holds the token")
	}

	made := server.run("", "key", "handover", "--workspace", "harbour-pine", id, "--for", "Priya again", "--overlap", "0", "--json")
	var second struct{ Link string }
	if err := json.Unmarshal([]byte(made), &second); err != nil || !strings.HasPrefix(second.Link, server.url+"/handover/") {
		t.Fatalf("key handover: %s, %v", made, err)
	}
	recipient.withoutScript(true)
	recipient.open(second.Link)
	recipient.follow(`form [type=submit]`)
	recipient.withoutScript(false)
	next := recipient.shown()
	send(c.apiKey, 401)
	send(next.apiKey, 200)
	recipient.open(server.url + page)
	recipient.has("These credentials have stopped")

	_, secondToken, _ := strings.Cut(second.Link, "token=")
	secrets := map[string]string{"link's token": token, "command's link's token": secondToken, "API key": next.apiKey, "secret": next.secret}
	texts := map[string][]byte{"pg_dump": server.dump()}
	sees(t, map[string]string{"recipient": "Priya at Northwind"}, nil, texts)
	server.stop()
	texts["the program's output"] = []byte(server.log())
	os.Remove(filepath.Join(server.dataDir, "setup-link"))
	for _, find := range search(t, secrets, []string{server.dataDir}, texts) {
		t.Errorf("found %s", find)
	}
}

// inspectHandover looks at every page on both sides of a hand-over.
func inspectHandover(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.open(console.at("/keys/new"))
	p.fill("input[name=name]", "Hand-over of the inspection")
	p.click("#give-link")
	p.follow("#key-form [type=submit]")
	p.inspect("handover")
	p.follow(`form[action$="/handover"] [type=submit]`)
	p.has("Say whom the link is for")
	p.inspectAgain("handover-error")
	p.fill("input[name=recipient]", "Priya Raman, Northwind Logistics <priya.raman@northwind.example>")
	p.fill("textarea[name=note]", "Send us order.created from Monday on.")
	p.follow(`form[action$="/handover"] [type=submit]`)
	link := p.value("#handover-link")
	p.inspect("handover-made")
	key := console.key(p, "Hand-over of the inspection")
	p.open(key)
	p.inspect("key-handover-waiting")

	recipient := openBrowser(t).inspectable()
	recipient.open(link)
	recipient.inspect("handed-ask")
	recipient.follow(`form [type=submit]`)
	c := recipient.shown()
	recipient.inspect("handed-shown")
	recipient.click(`[data-gate]`)
	recipient.follow(`form[action$="/saved"] [type=submit]`)
	recipient.has("No requests yet")
	id := key[strings.LastIndex(key, "/")+1:]
	console.post("/hooks/"+id, `{}`, map[string]string{"X-API-Key": c.apiKey})
	console.post("/hooks/"+id, `{}`, map[string]string{"X-Webhook-Signature": "sha256=" + strings.Repeat("0", 64)})
	recipient.has("another secret made it")
	recipient.inspect("handed-status")
	p.open(key)
	p.has("Credentials handed over")
	p.inspect("key-handed-over")
	p.open(key + "/handover")
	p.inspectAgain("handover-replaces")
	recipient.open(console.url + "/handover/" + id)
	recipient.inspect("handed-gone")
}
