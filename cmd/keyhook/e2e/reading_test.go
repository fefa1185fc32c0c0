package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
)

// snippetsOn returns the code on a page of the documentation, by the id of its element.
func snippetsOn(t *testing.T, url string) map[string]string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	doc, err := goquery.NewDocumentFromReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	doc.Find("pre[id]").Each(func(_ int, pre *goquery.Selection) { found[pre.AttrOr("id", "")] = pre.Text() })
	return found
}

var printedID = regexp.MustCompile(`(?m)^([0-9a-f-]{36}) `)

// TestReadSnippets runs the snippets of /docs/read as somebody would who pastes
// them: they print every signal once, and go on where they were stopped, and where an
// answer was cut off.
func TestReadSnippets(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t))
	key := server.newKey()
	env := []string{"KEYHOOK_BASE=" + server.url, "KEYHOOK_TOKEN=" + server.newToken("storm", "Curl")}
	send := func(refs ...string) {
		t.Helper()
		for _, ref := range refs {
			if status, answer := server.post("/hooks/"+key["id"].(string), bodyOf(ref), map[string]string{"X-API-Key": key["api_key"].(string), "Idempotency-Key": ref}); status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
		}
	}
	send("a", "b", "c")
	snippets := snippetsOn(t, server.url+"/docs/read")
	if out := shell(t, snippets["code-read-curl"], env...); strings.Count(out, `"sourceRef"`) != 3 {
		t.Errorf("curl prints %s", out)
	}
	for program, tt := range map[string]struct {
		id, file string
		command  []string
	}{
		"node":   {"code-read-node", "read.mjs", []string{"node", "read.mjs"}},
		"python": {"code-read-python", "read.py", []string{"python3", "read.py"}},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(snippets[tt.id]), 0o600); err != nil {
			t.Fatal(err)
		}
		env := append(os.Environ(), "KEYHOOK_BASE="+cutOnce(t, server.url), "KEYHOOK_TOKEN="+server.newToken("storm", program))
		seen := map[string]bool{}
		for round := range 2 {
			if round > 0 {
				send(program+" d", program+" e")
			}
			for _, id := range readUntil(t, dir, env, tt.command, server, seen) {
				if seen[id] {
					t.Errorf("%s printed %s twice", program, id)
				}
				seen[id] = true
			}
			if n := server.count("SELECT count(*) FROM signals"); len(seen) != n {
				t.Errorf("%s, round %d: it printed %d signals of %d", program, round, len(seen), n)
			}
		}
		cmd := exec.Command(tt.command[0], tt.command[1:]...)
		cmd.Dir, cmd.Env = dir, append(env, "KEYHOOK_TOKEN=kht_wrong")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "UNAUTHORIZED") {
			t.Errorf("%s with a wrong token: %v %s", program, err, out)
		}
	}
	text, err := os.ReadFile("../../../docs/reading.md")
	if err != nil {
		t.Fatal(err)
	}
	for id, snippet := range snippets {
		if strings.HasPrefix(id, "code-read-") && id != "code-read-env" && !bytes.Contains(text, []byte(snippet)) {
			t.Errorf("docs/reading.md lacks the snippet %s as it is on the page", id)
		}
	}
}

// cutOnce is the address of a server through a proxy that cuts its first answer off.
func cutOnce(t *testing.T, server string) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	whole := httputil.NewSingleHostReverseProxy(target)
	var cut atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cut.Swap(true) {
			whole.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"signals":[`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// readUntil runs a reader until it has printed all signals that it should, and
// ends it.
func readUntil(t *testing.T, dir string, env, command []string, server *program, seen map[string]bool) (ids []string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v; scripts/setup test brings it", command[0], err)
	}
	want := server.count("SELECT count(*) FROM signals") - len(seen)
	end := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer end.Stop()
	lines := bufio.NewScanner(out)
	for len(ids) < want && lines.Scan() {
		if found := printedID.FindStringSubmatch(lines.Text()); found != nil {
			ids = append(ids, found[1])
		}
	}
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(20 * time.Millisecond) { // its cursor is on disk
		if cursor, err := os.ReadFile(filepath.Join(dir, "cursor")); err == nil && len(cursor) > 0 {
			break
		}
	}
	time.Sleep(200 * time.Millisecond)
	cmd.Process.Kill()
	cmd.Wait()
	return ids
}
