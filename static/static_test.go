package static_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"keyhook/static"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	answer := httptest.NewRecorder()
	static.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer
}

func TestFilesAreServedForEver(t *testing.T) {
	t.Parallel()
	for name, mediaType := range map[string]string{
		"app.css":                             "text/css; charset=utf-8",
		"app.js":                              "text/javascript; charset=utf-8",
		"htmx.min.js":                         "text/javascript; charset=utf-8",
		"favicon.svg":                         "image/svg+xml",
		"fonts/inter-latin-wght-normal.woff2": "font/woff2",
	} {
		answer := get(t, static.URL(name))
		if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
			t.Errorf("%s: status %d, %d bytes", name, answer.Code, answer.Body.Len())
		}
		if got := answer.Header().Get("Content-Type"); got != mediaType {
			t.Errorf("%s: type %q, want %q", name, got, mediaType)
		}
		if got := answer.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q", name, got)
		}
	}
}

func TestOtherVersionIsNotKept(t *testing.T) {
	t.Parallel()
	answer := get(t, "/static/0000000000000000/app.css")
	if answer.Code != http.StatusOK || answer.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("status %d, Cache-Control %q", answer.Code, answer.Header().Get("Cache-Control"))
	}
}

func TestUnknownFile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/static/", "/static/x", "/static/x/static.go", "/static/x/../static.go", "/static/x/fonts"} {
		if answer := get(t, path); answer.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, answer.Code)
		}
	}
}

// What was taken in from elsewhere is what the README says it is.
func TestPinnedFiles(t *testing.T) {
	t.Parallel()
	readme, err := os.Open("README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer readme.Close()
	checked := 0
	for lines := bufio.NewScanner(readme); lines.Scan(); {
		want, name, found := strings.Cut(lines.Text(), "  ")
		if !found || len(want) != hex.EncodedLen(sha256.Size) {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s is %s, the README says %s", name, got, want)
		}
		checked++
	}
	if checked != 4 {
		t.Errorf("%d pinned files, want 4", checked)
	}
}

// TestThemeIsColours holds the style sheet to telling the themes apart by colours
// alone, which are all that light-dark() takes: what a page is and where on it things
// are, in one theme, is so in the other. The browser tests rest on it.
func TestThemeIsColours(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(scripts, "app.css", "favicon.svg") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range otherwiseThemed(string(text)) {
			t.Errorf("%s tells the themes apart by %s", name, problem)
		}
	}
	for _, wrong := range []string{
		`@media (prefers-color-scheme: dark) { .x { display: none; } }`, `matchMedia("(prefers-color-scheme: dark)")`,
		`:root[data-theme="dark"] .x { display: none; }`, `[data-theme=dark] { color-scheme: dark; margin: 0; }`, `document.documentElement.dataset.theme`,
		`.x { background: light-dark(url(a.png), url(b.png)); }`, `@container style(--scheme: dark) { .x { margin: 0; } }`,
	} {
		if len(otherwiseThemed(wrong)) == 0 {
			t.Errorf("not found: %s", wrong)
		}
	}
}

var (
	schemeRule  = regexp.MustCompile(`:root\[data-theme="(light|dark)"\]\s*\{ color-scheme: (light|dark); \}`)
	themeChoice = regexp.MustCompile(`root\.dataset\.theme = button\.value;|delete root\.dataset\.theme;|\[data-theme-form\]`)
	themedOther = regexp.MustCompile(`prefers-color-scheme|data-theme[^;]*|dataset\.theme|light-dark\([^;]*(url|image|gradient)\(|@container[^{]*style\(`)
)

// otherwiseThemed lists what in a file may tell the themes apart by more than colours.
func otherwiseThemed(text string) []string {
	return themedOther.FindAllString(themeChoice.ReplaceAllString(schemeRule.ReplaceAllString(text, ""), ""), -1)
}
