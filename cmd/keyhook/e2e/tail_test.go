package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestLiveTail follows the deliveries in the browser while requests arrive at another
// instance on the same database.
func TestLiveTail(t *testing.T) {
	t.Parallel()
	dir, url := newDataDir(t), newDatabase(t, commonPostgres(t), "tail")
	first := serve(t, dir, "DATABASE_URL="+url)
	p := openBrowser(t).tab()
	p.setUp(first.setupLink())
	made := command(t, dir, "", []string{"DATABASE_URL=" + url}, "key", "create", "--workspace", "harbour-pine", "--name", "Tailed", "--json")
	apiKey, path := sendableKey(t, made.out)
	second := serve(t, dir, "DATABASE_URL="+url)
	send := func(ref string) {
		t.Helper()
		if status, answer := second.post(path, `{}`, map[string]string{"X-API-Key": apiKey, "Idempotency-Key": ref}); status != 200 {
			t.Fatalf("sending %s = %d %s", ref, status, answer)
		}
	}
	send("before")
	log := first.url + "/w/harbour-pine/deliveries"
	p.look(1280, "light")
	p.open(log)
	p.has("before")
	p.click("[data-tail-toggle]")
	p.has("Live")
	send("while-live")
	p.has("while-live")
	if top := p.content(".deliveries tr.hit"); !strings.Contains(top, "while-live") {
		t.Errorf("the newest request is not in front: %s", top)
	}
	p.shoot("deliveries-tail")

	// Who reads a row keeps the lines where they are.
	eval[any](p, `document.querySelector(".deliveries .c-time a").focus()`)
	send("while-paused")
	p.has("Paused, 1 new.")
	if strings.Contains(p.content(".deliveries"), "while-paused") {
		t.Error("a row came in while the list had the focus")
	}
	p.shoot("deliveries-tail-paused")
	p.click("[data-tail-resume]")
	p.has("while-paused")

	// The link of a row that came later opens beside the list, and holds the list still.
	p.click(".deliveries a[data-drawer]")
	p.wait("#drawer-slot .drawer")
	send("beside-drawer")
	p.has("Paused, 1 new.")
	p.quiet()

	p.withoutScript(true)
	p.open(log)
	p.follow("[data-tail-toggle]")
	send("without-script")
	deadline := time.Now().Add(patience)
	for !strings.Contains(p.where(), "without-script") {
		if time.Now().After(deadline) {
			t.Fatalf("without script the page does not read itself anew:\n%s", p.where())
		}
		time.Sleep(200 * time.Millisecond)
	}
	p.withoutScript(false)
	// With script the same address leads to the live tail.
	p.open(log + "?tail=1")
	p.has("Live")
	if at := eval[string](p, `location.search + location.hash`); at != "#live-tail" {
		t.Errorf("with script ?tail=1 leads to %s", at)
	}
	p.quiet()
}

// sendableKey reads what key create printed: an API key, and where to send with it.
func sendableKey(t *testing.T, text string) (apiKey, path string) {
	t.Helper()
	var key struct {
		APIKey string `json:"api_key"`
		ID     string
	}
	if err := json.Unmarshal([]byte(text), &key); err != nil || key.APIKey == "" {
		t.Fatalf("key create prints %s, %v", text, err)
	}
	return key.APIKey, "/hooks/" + key.ID
}

// TestExportCommand: what the command writes says whether it is whole, and so does
// its exit code.
func TestExportCommand(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	apiKey, path := sendableKey(t, server.run("", "key", "create", "--workspace", server.slug, "--name", "Exported", "--json"))
	server.post(path, `{}`, map[string]string{"X-API-Key": apiKey, "Idempotency-Key": "one"})
	server.post(path, `{}`, map[string]string{"X-API-Key": "khk_wrong", "Idempotency-Key": "two"})
	lines := strings.Split(strings.TrimSpace(server.run("", "export", "deliveries", "--workspace", server.slug, "--outcome", "accepted")), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"sourceRef":"one"`) || !strings.HasPrefix(lines[1], `{"end":true,"rows":1,`) {
		t.Errorf("export deliveries writes %q, want one row and the end", lines)
	}
	text := server.run("", "export", "deliveries", "--workspace", server.slug, "--format", "csv", "--payloads")
	if rows := strings.Split(strings.TrimSpace(text), "\r\n"); len(rows) != 4 || !strings.HasPrefix(rows[3], `"#end","2 rows",`) {
		t.Errorf("export deliveries --format csv writes %q, want a head, two rows and the end", rows)
	}
	shell(t, `set +o pipefail; for wrong in "--outcome rejected" "--after x" "--from soon" "--format xlsx"; do
		"$KEYHOOK" export deliveries --workspace "$WORKSPACE" $wrong > /dev/null 2>&1; [ $? = 2 ] || { echo "$wrong does not exit with 2"; exit 1; }
	done
	"$KEYHOOK" export deliveries --workspace "$WORKSPACE" > /dev/full 2> /dev/null; [ $? = 1 ] || { echo "a full disk does not exit with 1"; exit 1; }`,
		"KEYHOOK="+binary, "WORKSPACE="+server.slug, "KEYHOOK_DATA_DIR="+server.dataDir, "DATABASE_URL=")
}
