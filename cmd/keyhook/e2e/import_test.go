package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportedSenders posts in the origin's ways before and after the keys come in:
// the senders change nothing.
func TestImportedSenders(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	var made struct {
		ID string `json:"id"`
	}
	owner := server.run("a-long-password-of-the-test\n", "user", "create", "--email", "ada@example.com", "--name", "Ada", "--password-stdin")
	if owner == "" {
		t.Fatal("no user was made")
	}
	if err := json.Unmarshal([]byte(server.run("", "workspace", "create", "--name", "Harbour & Pine", "--owner", "ada@example.com", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	const plain, hashed, inURL, off, secret = "wk_plainplainplainplainplainplain01", "wk_hashedhashedhashedhashedhashed02", "wk_inurlinurlinurlinurlinurlinur03",
		"wk_offoffoffoffoffoffoffoffoffoff4", "secret-of-the-origin-0123"
	const body = `{"verbatim":"hello"}`
	sum := sha256.Sum256([]byte(hashed))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	signature := hex.EncodeToString(mac.Sum(nil))
	attempts := []struct {
		path    string
		headers map[string]string
		status  int // once the keys are here
	}{
		{"/api/webhooks/signals", map[string]string{"X-API-Key": plain}, 200},
		{"/api/webhooks/signals", map[string]string{"Authorization": "Bearer " + plain}, 200},
		{"/api/webhooks/signals", map[string]string{"X-API-Key": hashed}, 200},
		{"/api/webhooks/signals", map[string]string{"X-Webhook-Signature": "sha256=" + signature, "X-Workspace-ID": made.ID}, 200},
		{"/api/webhooks/signals", map[string]string{"X-Webhook-Signature": signature, "X-Workspace-ID": made.ID}, 200},
		{"/api/webhooks/signals/" + inURL, nil, 200},
		{"/api/webhooks/signals/" + plain, nil, 401}, // it is not allowed in a URL
		{"/api/webhooks/signals", map[string]string{"X-API-Key": off}, 401},
		{"/api/webhooks/signals", map[string]string{"X-API-Key": plain + "x"}, 401},
	}
	for _, a := range attempts {
		if status, answer := server.post(a.path, body, a.headers); status != 401 {
			t.Errorf("before: %v = %d %s, want 401", a, status, answer)
		}
	}
	table := "name,key,sha256,secret,source,allow_in_url,is_active,last_used_at\n" +
		"Plain," + plain + ",," + secret + ",webhook,f,t,2026-01-02 03:04:05+00\n" +
		"Hashed,," + hex.EncodeToString(sum[:]) + ",,webhook,f,t,\n" +
		"In URL," + inURL + ",,,,t,t,\nOff," + off + ",,,,f,f,\n"
	dry := server.run(table, "key", "import", "--workspace", "harbour-pine", "--csv", "-", "--dry-run")
	if !strings.Contains(dry, "4 would be imported") || server.count(`SELECT count(*) FROM webhook_keys`) != 0 {
		t.Errorf("the dry run says %s", dry)
	}
	file := filepath.Join(t.TempDir(), "keys.csv")
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	var told struct {
		Imported int `json:"imported"`
		Rows     []struct {
			ID string `json:"id"`
		} `json:"rows"`
	}
	if err := json.Unmarshal([]byte(server.run("", "key", "import", "--workspace", "harbour-pine", "--csv", file, "--json")), &told); err != nil || told.Imported != 4 || len(told.Rows) != 4 || told.Rows[0].ID == "" {
		t.Fatalf("the import says %+v, %v", told, err)
	}
	if server.count(`SELECT count(*) FROM webhook_keys WHERE last_used_at = '2026-01-02 03:04:05+00'`) != 1 {
		t.Error("the last use is not kept")
	}
	for _, a := range attempts {
		if status, answer := server.post(a.path, body, a.headers); status != a.status {
			t.Errorf("after: %v = %d %s, want %d", a, status, answer, a.status)
		}
	}
	if again := server.run(table, "key", "import", "--workspace", "harbour-pine", "--csv", "-"); !strings.Contains(again, "0 imported, 4 here already") {
		t.Errorf("the same table again: %s", again)
	}
}

// importTable is a table with what a preview has words for. Its keys are made up.
const importTable = `id,name,api_key,sha256,secret,source,is_active,last_used_at,expires_at,created_by,colour
1,Shop,wk_4f9a2c7de1b84f9a2c7de1b84f9a2c71,,a-secret-of-the-shop,webhook,t,2026-10-01 12:00:00+00,,ben@elsewhere.example,red
2,Warehouse scanner fleet,wk_4f9a2c7de1b84f9a2c7de1b84f9a2c72,,,,t,,,,blue
3,=A name that begins like a formula and is as long as a name may be in any worksp,abcdefghijklmnopq,,,,f,,2020-01-01,,
4,Only a hash,,0fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff,,,t,,,,
`

func inspectImport(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.inspectAll(sight{"import", console.at("/keys/import")})
	p.withoutScript(true)
	p.open(console.at("/keys/import"))
	p.fill("#text", importTable)
	p.follow("#import-table [type=submit]")
	p.has("Warehouse scanner fleet (2)")
	p.withoutScript(false)
	address := eval[string](p, `location.href`)
	p.open(address)
	p.inspect("import-preview")
	p.click(".remarks summary")
	p.inspectAgain("import-preview-open")

	p.open(console.at("/keys/import"))
	p.fill("#text", importTable+"5,,short,,,,perhaps,never ever,,,\n6,Again,wk_4f9a2c7de1b84f9a2c7de1b84f9a2c71,,,,t,,,,\n")
	p.follow("#import-table [type=submit]")
	p.has("2 rows are wrong")
	p.inspect("import-preview-wrong")
	p.open(console.at("/keys/import"))
	p.fill("#name", "Shop")
	p.fill("#api_key", "short")
	p.follow("#import-one [type=submit]")
	p.inspect("import-errors")

	p.withoutScript(true)
	p.open(console.at("/keys/import"))
	p.fill("#text", importTable)
	p.follow("#import-table [type=submit]")
	p.follow("form.form-actions [type=submit]")
	p.has("4 keys are imported")
	p.withoutScript(false)
}
