package web_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// sendForm posts a form as a browser does that has a file in it.
func (c *client) sendForm(path, file string, pairs ...string) answer {
	c.stage.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(pairs); i += 2 {
		form.WriteField(pairs[i], pairs[i+1])
	}
	if part, err := form.CreateFormFile("file", "keys.csv"); err == nil {
		part.Write([]byte(file))
	}
	form.Close()
	request, err := http.NewRequest(http.MethodPost, c.stage.server.URL+path, &body)
	if err != nil {
		c.stage.t.Fatal(err)
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := c.Do(request)
	if err != nil {
		c.stage.t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		c.stage.t.Fatal(err)
	}
	return answer{response, text.String()}
}

// preview uploads a table and opens its preview.
func (c *client) preview(table string) (page answer, draft, seen string) {
	c.stage.t.Helper()
	got := c.sendForm("/w/"+c.stage.home.slug+"/keys/import", table, "do", "table")
	if got.StatusCode != 303 {
		c.stage.t.Fatalf("the upload = %d\n%.600s", got.StatusCode, parse(c.stage.t, got.body).Find("main").Text())
	}
	page = c.get(got.Header.Get("Location"))
	doc := parse(c.stage.t, page.body)
	return page, doc.Find("input[name=draft]").AttrOr("value", ""), doc.Find("input[name=seen]").AttrOr("value", "")
}

func (s *stage) keyCount() (n int) {
	s.t.Helper()
	if err := s.Raw().Get(&n, `SELECT count(*) FROM webhook_keys WHERE workspace_id = $1`, s.home.id); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestImportPage goes the whole way: a preview that holds no credential, then the
// button, twice.
func TestImportPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/import"
	const apiKey, secret = "wk_0123456789abcdef0123456789abcdef", "a-signing-secret-of-old"
	page, draft, seen := c.preview("name,api_key,secret,colour\n<b>Shop</b>," + apiKey + "," + secret + ",red\n")
	if page.StatusCode != 200 || !strings.Contains(page.body, "colour") || strings.Contains(page.body, "<b>Shop") || s.keyCount() != 1 {
		t.Errorf("the preview = %d, and %d keys are there:\n%.2000s", page.StatusCode, s.keyCount(), page.body)
	}
	for _, text := range []string{apiKey, secret} {
		if strings.Contains(page.body, text) || strings.Contains(page.Request.URL.String(), text) || strings.Contains(fmt.Sprint(page.Header), text) {
			t.Errorf("the preview holds %s", text)
		}
	}
	for range 2 {
		got := c.post(path, "do", "import", "draft", draft, "seen", seen)
		if list := c.get("/w/" + s.home.slug + "/keys"); got.StatusCode != 303 || !strings.Contains(list.body, "1 key is imported") || s.keyCount() != 2 {
			t.Errorf("the button = %d to %s, and %d keys are there", got.StatusCode, got.Header.Get("Location"), s.keyCount())
		}
	}
	if got := c.get(path + "?draft=" + draft); got.StatusCode != 303 {
		t.Errorf("a used draft's preview = %d, want the way to the keys", got.StatusCode)
	}
	page, _, _ = c.preview("name,api_key\nShop," + apiKey + "\n")
	if doc := parse(t, page.body); !strings.Contains(doc.Find("h1").Text(), "Nothing to import") || doc.Find("form button.btn-primary[type=submit]").Length() != 0 {
		t.Errorf("the same key again: %s", doc.Find("main").Text())
	}
}

// TestImportConflict shows what changed since the preview, and imports that.
func TestImportConflict(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/import"
	_, draft, seen := c.preview("name,api_key\nShop,wk_0123456789abcdef0123456789abcdef\n")
	s.Raw().MustExec(`UPDATE webhook_keys SET name = 'Shop' WHERE id = $1`, s.home.key.ID)
	got := c.post(path, "do", "import", "draft", draft, "seen", seen)
	doc := parse(t, got.body)
	if got.StatusCode != 409 || !strings.Contains(doc.Find("[role=alert]").Text(), "changed") || !strings.Contains(doc.Find(".imports").Text(), "Shop (2)") || s.keyCount() != 1 {
		t.Fatalf("the button = %d: %s", got.StatusCode, doc.Find("main").Text())
	}
	got = c.post(path, "do", "import", "draft", draft, "seen", doc.Find("input[name=seen]").AttrOr("value", ""))
	if got.StatusCode != 303 || s.keyCount() != 2 {
		t.Errorf("the button after that = %d, %d keys", got.StatusCode, s.keyCount())
	}
	colleague := s.signIn(s.join("admin"))
	_, draft, seen = c.preview("name,api_key\nTill,wk_1123456789abcdef0123456789abcdef\n")
	if got := colleague.post(path, "do", "import", "draft", draft, "seen", seen); got.StatusCode != 404 || s.keyCount() != 2 {
		t.Errorf("somebody else's draft = %d", got.StatusCode)
	}
	if got := c.get(path + "?draft=" + uuid.NewString()); got.StatusCode != 404 {
		t.Errorf("a random draft = %d", got.StatusCode)
	}
}

// TestImportRefusals sends what is no table, and keys with mistakes.
func TestImportRefusals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/import"
	for name, tt := range map[string]struct {
		file   string
		status int
		says   string
	}{
		"nothing":   {"", 422, "Choose a file"},
		"UTF-16":    {"\xff\xfen\x00", 422, "UTF-16"},
		"too large": {strings.Repeat("x", 11<<20), 413, "10 MB"},
	} {
		got := c.sendForm(path, tt.file, "do", "table")
		if text := parse(t, got.body).Find("#file-error").Text(); got.StatusCode != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s = %d %q, want %d and %q", name, got.StatusCode, text, tt.status, tt.says)
		}
	}
	page, _, _ := c.preview("name,api_key\nShop,short\nTill,wk_0123456789abcdef0123456789abcdef\n")
	if doc := parse(t, page.body); !strings.Contains(doc.Find("h1").Text(), "1 row is wrong") || doc.Find("form button.btn-primary[type=submit]").Length() != 0 {
		t.Errorf("a wrong row: %s", doc.Find("main").Text())
	}
	for _, tt := range []struct{ field, name, apiKey, sum string }{
		{"name", "", "wk_0123456789abcdef0123456789abcdef", ""},
		{"name", s.home.key.Name, "wk_0123456789abcdef0123456789abcdef", ""},
		{"name", "wk_0123456789abcdef0123456789abcdee", "wk_0123456789abcdef0123456789abcdef", ""},
		{"api_key", "x", "", ""},
		{"api_key", "x", "short", ""},
		{"sha256", "x", "", "zz"},
	} {
		got := c.sendForm(path, "", "do", "one", "name", tt.name, "api_key", tt.apiKey, "sha256", tt.sum)
		if text := parse(t, got.body).Find("#" + tt.field + "-error").Text(); got.StatusCode != 422 || text == "" || strings.Contains(got.body, "0123456789abcdef0123456789abcde") {
			t.Errorf("%+v = %d %q, want 422, a word at the field and no credential", tt, got.StatusCode, text)
		}
	}
	if got := c.do("POST", path, url.Values{"do": {"one"}, "name": {"One"}, "api_key": {"wk_0123456789abcdef0123456789abcdef"}}); got.StatusCode != 303 {
		t.Errorf("one key = %d, want its preview", got.StatusCode)
	}
	if s.keyCount() != 1 {
		t.Errorf("%d keys, want the one from before", s.keyCount())
	}
}
