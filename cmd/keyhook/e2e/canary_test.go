package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// disguises are the forms in which a secret could hide in a file.
func disguises(secret string) map[string][]byte {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(secret)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	forms := map[string][]byte{
		"as it is":    []byte(secret),
		"in hex":      []byte(hex.EncodeToString([]byte(secret))),
		"in UTF-16":   wide,
		"URL-encoded": []byte(url.QueryEscape(secret)),
	}
	// Inside a longer text the base64 of a part depends on where it begins.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		forms["in base64 "+string(rune('0'+shift))] = []byte(text[4 : len(text)-4])
	}
	return forms
}

// search returns where under the folders, or in the named texts, one of the
// secrets can be found.
func search(t *testing.T, secrets map[string]string, folders []string, texts map[string][]byte) (finds []string) {
	t.Helper()
	look := func(place string, content []byte) {
		for name, secret := range secrets {
			for form, pattern := range disguises(secret) {
				if bytes.Contains(content, pattern) {
					finds = append(finds, "the "+name+", "+form+", in "+place)
				}
			}
		}
	}
	for place, text := range texts {
		look(place, text)
	}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			look(path, content)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return finds
}

// TestSearchFinds is the negative control of the canary test: it hides a secret
// by other means than those that the search looks with.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD0000="
	for name, content := range map[string]string{
		"plain":      "before " + secret + " after",
		"hex":        fmt.Sprintf("\\x%x", "before "+secret),
		"URL":        "/path?" + url.Values{"key": {secret}}.Encode(),
		"base64":     base64.StdEncoding.EncodeToString([]byte("x: " + secret + " and more")),
		"base64, +1": base64.StdEncoding.EncodeToString([]byte("xy: " + secret + " and more")),
		"base64, +2": base64.StdEncoding.EncodeToString([]byte("xyz: " + secret + " and more")),
		"two-byte":   strings.Join(strings.Split(secret, ""), "\x00") + "\x00",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if finds := search(t, map[string]string{"secret": secret}, []string{dir}, nil); len(finds) == 0 {
			t.Errorf("%s: the secret was not found", name)
		}
	}
}

// TestCanary plays the whole story with known credentials, refused requests and
// mistakes among it, and then looks for them everywhere that something is kept.
func TestCanary(t *testing.T) {
	t.Parallel()
	server := serve(t, newDataDir(t))
	b := openOwnBrowser(t)
	p := b.tab()
	link := server.setupLink()
	_, setupToken, _ := strings.Cut(link, "token=")
	p.setUp(link)
	c := p.createKey("Canary")
	id := keyIDIn(p.everything())
	p.click(`[data-gate]`)
	p.resend() // the form again, on purpose
	p.open(server.url + "/w/harbour-pine/keys/" + id + "/edit")
	p.click(`input[name=allow_in_url]`)
	p.follow(`form[action$="/edit"] [type=submit]`)

	p.open(server.url + "/w/harbour-pine/tokens/new")
	p.fill("input[name=name]", "Canary reader")
	p.follow("#token-form [type=submit]")
	shownToken := p.value("#token")
	p.click(`[data-gate]`)
	p.resend()
	p.goBack()
	if text := p.everything(); strings.Contains(text, shownToken) {
		t.Error("after going back the page holds the token")
	}
	madeToken := server.newToken("harbour-pine", "Canary command")
	for _, header := range []string{"Bearer " + shownToken, "Bearer " + madeToken, "Basic " + shownToken, "Bearer " + shownToken + "x"} {
		for _, path := range []string{"/api/v1/signals", "/api/v1/signals/" + shownToken, "/api/v1/signals?after=" + madeToken, "/w/" + madeToken} {
			request, _ := http.NewRequest(http.MethodGet, server.url+path, nil)
			request.Header.Set("Authorization", header)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}

	server.sendEveryWay(id, c)
	sum := sha256.Sum256([]byte(c.apiKey + " of the origin"))
	imported := "wk_" + hex.EncodeToString(sum[:16])
	server.run(imported+"\n", "key", "import", "--workspace", "harbour-pine", "--name", "Imported", "--api-key-stdin")
	inTable, onPage, importedSecret := "wk_"+hex.EncodeToString(sum[:15])+"-t", "wk_"+hex.EncodeToString(sum[:15])+"-p", "secret-of-the-origin-"+hex.EncodeToString(sum[16:24])
	server.run("name,api_key,secret\nIn a table,"+inTable+","+importedSecret+"\n", "key", "import", "--workspace", "harbour-pine", "--csv", "-", "--dry-run", "--json")
	server.run("name,api_key,secret\nIn a table,"+inTable+","+importedSecret+"\n", "key", "import", "--workspace", "harbour-pine", "--csv", "-")
	p.open(server.url + "/w/harbour-pine/keys/import")
	eval[bool](p, fmt.Sprintf(`document.querySelector("#text").value = "name,api_key,secret\n" + %q, true`, "On the page,"+onPage+","+importedSecret+"2\n"+onPage+","+onPage+",\n"))
	p.follow("#import-table [type=submit]") // a preview that stays, with a credential in the wrong column
	p.has("1 row is wrong")
	if text := p.everything(); strings.Contains(text, onPage) || strings.Contains(text, importedSecret) {
		t.Error("the preview holds what it imports")
	}
	made := server.run("", "key", "create", "--workspace", "harbour-pine", "--name", "By command", "--json")
	password := "the-other-password-of-the-test-9"
	server.run(password+"\n", "user", "create", "--email", "b@example.com", "--name", "B", "--password-stdin")
	p.open(server.url + "/w/harbour-pine/keys/" + id)
	p.has("Canary")

	secrets := map[string]string{
		"API key": c.apiKey, "secret": c.secret, "password": ownerPassword, "second password": password, "set-up token": setupToken,
		"token": shownToken, "command's token": madeToken, "imported API key": imported, "API key in a table": inTable, "API key on the page": onPage, "imported secret": importedSecret, "command's API key": apiKeyPattern.FindString(made), "command's secret": secretPattern.FindString(made),
	}
	for name, secret := range secrets {
		if len(secret) < 16 {
			t.Fatalf("the test does not know the %s", name)
		}
	}
	texts := map[string][]byte{"pg_dump": server.dump()}
	sees(t, map[string]string{"ref": canaryRef}, nil, texts)
	b.close()
	server.stop()
	texts["the program's output"] = []byte(server.log())
	for _, folder := range []string{"base", "pg_wal"} {
		sees(t, map[string]string{"ref": canaryRef}, []string{filepath.Join(server.dataDir, "postgres", "data", folder)}, nil)
	}
	sees(t, map[string]string{"key's id": id}, []string{b.profile}, nil)
	os.Remove(filepath.Join(server.dataDir, "setup-link")) // where the link is meant to be
	finds := search(t, secrets, []string{server.dataDir}, texts)
	delete(secrets, "set-up token") // the browser remembers the address that was opened; it is used up
	for _, find := range append(finds, search(t, secrets, []string{b.profile}, nil)...) {
		t.Errorf("found %s", find)
	}
}

// canaryRef is what the search must find in the database: it is no secret.
const canaryRef = "a-ref-that-is-kept-in-the-clear"

// sees fails where not even what is kept there on purpose can be found.
func sees(t *testing.T, known map[string]string, folders []string, texts map[string][]byte) {
	t.Helper()
	if finds := search(t, known, folders, texts); len(finds) == 0 {
		t.Errorf("%v is not found in %q, where it is kept", known, folders)
	}
}

// sendEveryWay sends with credentials in every place that a sender could put
// them, right and wrong.
func (p *program) sendEveryWay(id string, c credentials) {
	p.t.Helper()
	const body = `{"verbatim":"hello"}`
	mac := hmac.New(sha256.New, []byte(c.secret))
	mac.Write([]byte(body))
	signature := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	for _, attempt := range []struct {
		path    string
		headers map[string]string
		status  int
	}{
		{"/hooks/" + id, map[string]string{"X-API-Key": c.apiKey}, 200},
		{"/hooks/" + id, map[string]string{"Authorization": "Bearer " + c.apiKey}, 200},
		{"/hooks/" + id, map[string]string{"X-Webhook-Signature": signature}, 200},
		{"/hooks/" + id + "/" + c.apiKey, nil, 200},
		{"/api/webhooks/signals", map[string]string{"X-API-Key": c.apiKey}, 200},
		{"/api/webhooks/signals/" + c.apiKey, nil, 200},
		{"/hooks/" + id, map[string]string{"X-API-Key": c.apiKey + "x"}, 401},
		{"/hooks/" + id, map[string]string{"X-API-Key": c.secret}, 401},
		{"/hooks/" + id, map[string]string{"X-Webhook-Signature": c.secret}, 401},
		{"/hooks/" + c.apiKey, nil, 401},
		{"/hooks/" + c.apiKey + "/" + c.apiKey, nil, 401},
		{"/hooks/" + id + "/" + c.apiKey + "/", nil, 404},
		{"/api/webhooks/" + c.apiKey, nil, 404},
		{"/w/" + c.apiKey, nil, 404},
		{"/nothing?key=" + c.apiKey, nil, 404},
		{"/hooks/" + id, map[string]string{"X-API-Key": c.apiKey, "Content-Encoding": "gzip"}, 415},
		{"/hooks/" + id, map[string]string{"X-API-Key": c.apiKey, "User-Agent": "plain", "Idempotency-Key": canaryRef}, 200},
	} {
		if status, answer := p.post(attempt.path, body, attempt.headers); status != attempt.status {
			p.t.Errorf("%s: %d %s, want %d", strings.ReplaceAll(attempt.path, c.apiKey, "KEY"), status, answer, attempt.status)
		}
	}
}

// dump returns the database as pg_dump writes it.
func (p *program) dump() []byte {
	p.t.Helper()
	sockets := filepath.Join(p.dataDir, "postgres", "run")
	out, err := exec.Command("pg_dump", "-h", sockets, "-U", "keyhook", "keyhook").Output()
	if err != nil {
		p.t.Fatalf("pg_dump: %v", err)
	}
	return out
}
