package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/web/api"
)

// TestList: a reader that follows the cursor gets each signal once, whatever the
// size of its pages, and what it gets is what came.
func TestList(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if p := s.list(""); len(p.Signals) != 0 {
		t.Errorf("an empty workspace has %d signals", len(p.Signals))
	}
	start := s.list("").Cursor
	refs := s.addMany(s.home, "a", 95)
	s.addMany(s.foreign, "foreign", 10)
	for _, limit := range []int{1, 7, 95, 1000} {
		for _, from := range []string{"", start} {
			if got, _ := s.all(from, limit); !cmp.Equal(sorted(got), sorted(refs)) {
				t.Errorf("in pages of %d from %q: %d signals, want %d once each", limit, from, len(got), len(refs))
			}
		}
	}
	once, end := s.all("", 10)
	again, _ := s.all("", 33)
	if !cmp.Equal(once, again) {
		t.Error("the order is not the same twice")
	}
	if p := s.list("after=" + end); p.Cursor != end {
		t.Errorf("an empty page ends at %s, want %s", p.Cursor, end)
	}
	if p := s.list("after=latest"); p.Cursor != end {
		t.Errorf("the latest is %s, want %s", p.Cursor, end)
	}
	if p := s.list(""); len(p.Signals) != 95 {
		t.Errorf("without a limit a page has %d signals, want all 95", len(p.Signals))
	}
}

func sorted(refs []string) map[string]int {
	n := map[string]int{}
	for _, ref := range refs {
		n[ref]++
	}
	return n
}

// TestSignal looks at all that is told of a signal, of bodies of every sort.
func TestSignal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for _, tt := range []struct {
		contentType, body string
		embedded          bool
	}{
		{"application/json", `{"a":[1,2.5e3,"\u00e9\ud83d\ude00",null,true]}`, true},
		{"application/json; charset=utf-8", "{\r\n  \"a\": \"<script>\"\n}\n", true},
		{"application/cloudevents+json", ` "é"`, true},
		{"", `1`, true},
		{"text/plain", `1`, false},
		{"application/json", "", false},
		{"application/json", "{", false},
		{"application/json", "\"\xff\"", false},
		{"application/json", `"\ud800"`, false},
		{"application/json", `"\udc00\ud800"`, false},
		{"application/json", `1e400`, false},
		{"application/json", strings.Repeat("9", 400), false},
		{"application/json", deep, false},
		{"application/octet-stream", "\x00\x01\xfe\xff", false},
		{"application/x-www-form-urlencoded", "a=1&b=%20", false},
		{"<script>", "<script>alert(1)</script>", false},
	} {
		a := s.arrival(s.home, "", tt.contentType, tt.body)
		s.add(a)
		single := s.get("/api/v1/signals/" + a.ID.String())
		var got signal
		single.json(t, &got)
		sum := sha256.Sum256([]byte(tt.body))
		if got.ID != a.ID.String() || *got.Key != s.home.key.ID.String() || got.Source != "sender" || got.SourceRef != nil || *got.EventType != "order.created" ||
			got.ContentType != tt.contentType || got.SHA256 != hex.EncodeToString(sum[:]) || got.Auth.Method != "api_key" || got.Auth.Generation != 1 ||
			!got.ReceivedAt.Equal(a.ReceivedAt) || got.Headers["user-agent"] != `test "1"` || got.Cursor == nil {
			t.Errorf("%q: %s", tt.body, single.body)
		}
		if tt.embedded {
			var want, have any
			if json.Unmarshal([]byte(tt.body), &want) != nil || json.Unmarshal(got.Body, &have) != nil || !cmp.Equal(want, have) || got.BodyEncoding != "" {
				t.Errorf("%q: the body is %s, %s", tt.body, got.Body, got.BodyEncoding)
			}
		} else if text, err := base64.StdEncoding.DecodeString(strings.Trim(string(got.Body), `"`)); err != nil || string(text) != tt.body || got.BodyEncoding != "base64" {
			t.Errorf("%q: the body is %s, %s", tt.body, got.Body, got.BodyEncoding)
		}
		if bytes.ContainsAny(single.body, "\r\n") {
			t.Errorf("%q: the signal takes more than one line", tt.body)
		}
		raw := s.get("/api/v1/signals/" + a.ID.String() + "/body")
		if string(raw.body) != tt.body || raw.Header.Get("Keyhook-SHA256") != got.SHA256 {
			t.Errorf("%q: the raw body is %q", tt.body, raw.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
			"Content-Disposition": `attachment; filename="` + a.ID.String() + `.bin"`,
		} {
			if raw.Header.Get(name) != want {
				t.Errorf("%q: %s = %q, want %q", tt.body, name, raw.Header.Get(name), want)
			}
		}
		if policy := raw.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("the raw body's policy is %s", policy)
		}
	}
	all := s.list("limit=1000")
	if len(all.Signals) != 16 {
		t.Errorf("the page has %d signals, want 16", len(all.Signals))
	}
}

// TestRefusals asks what can't be answered.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.addMany(s.home, "a", 3)
	s.addMany(s.foreign, "b", 3)
	cursor := s.list("limit=1").Cursor
	foreign := s.ask("GET", "/api/v1/signals?limit=1", "Bearer "+s.foreign.token.Text.Reveal())
	var there page
	foreign.json(t, &there)
	flipped := "B" + cursor[1:]
	future := inbox.Position{Epoch: 7, XID: 1}.Cursor(s.home.id)
	ahead := inbox.Position{Epoch: 1, XID: 1 << 60}.Cursor(s.home.id)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/api/v1/signals?after=" + there.Cursor:                {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=" + flipped:                     {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=" + cursor + "A":                {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=%00":                            {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=%ff":                            {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=" + strings.Repeat("A", 4000):   {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=" + future:                      {400, "INVALID_CURSOR"},
		"/api/v1/signals?after=" + ahead:                       {400, "INVALID_CURSOR"},
		"/api/v1/signals/stream?after=" + there.Cursor:         {400, "INVALID_CURSOR"},
		"/api/v1/signals/stream?after=" + ahead:                {400, "INVALID_CURSOR"},
		"/api/v1/signals?limit=0":                              {400, "VALIDATION_ERROR"},
		"/api/v1/signals?limit=1001":                           {400, "VALIDATION_ERROR"},
		"/api/v1/signals?limit=x":                              {400, "VALIDATION_ERROR"},
		"/api/v1/signals?wait=31":                              {400, "VALIDATION_ERROR"},
		"/api/v1/signals?wait=-1":                              {400, "VALIDATION_ERROR"},
		"/api/v1/signals?limit=%zz":                            {400, "VALIDATION_ERROR"},
		"/api/v1/signals/" + there.Signals[0].ID:               {404, "NOT_FOUND"},
		"/api/v1/signals/" + there.Signals[0].ID + "/body":     {404, "NOT_FOUND"},
		"/api/v1/signals/" + uuid.NewString():                  {404, "NOT_FOUND"},
		"/api/v1/signals/x'--":                                 {404, "NOT_FOUND"},
		"/api/v1/signals/" + strings.ToUpper(uuid.NewString()): {404, "NOT_FOUND"},
		"/api/v1/signals/%7B" + uuid.NewString() + "%7D":       {404, "NOT_FOUND"},
		"/api/v1/nothing":                                      {404, "NOT_FOUND"},
	} {
		a := s.get(path)
		if p := s.problem(a); a.StatusCode != want.status || p.Code != want.code || !strings.HasPrefix(p.Type, "http://docs.example/docs/read#") {
			t.Errorf("%.60s = %d %s, want %d %s", path, a.StatusCode, a.body, want.status, want.code)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "HEAD", "OPTIONS"} {
		if a := s.ask(method, "/api/v1/signals", "Bearer "+s.home.token.Text.Reveal()); a.StatusCode != 405 || a.Header.Get("Allow") != "GET" {
			t.Errorf("%s = %d, Allow %q; want 405", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
}

// TestTokens: one answer for whatever is wrong with a token, on every address.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ended, expired, narrow := s.issue(s.home, "ended"), s.issue(s.home, "expired"), s.issue(s.home, "narrow")
	if _, err := s.keys.DeactivateToken(t.Context(), s.home.by, ended.Token.ID); err != nil {
		t.Fatal(err)
	}
	s.Raw().MustExec(`UPDATE tokens SET expires_at = now() - interval '1 s' WHERE name = 'expired'`)
	s.Raw().MustExec(`UPDATE tokens SET scopes = '{something-else}' WHERE name = 'narrow'`)
	good := s.home.token.Text.Reveal()
	id := uuid.NewString()
	for _, path := range []string{"/api/v1/signals", "/api/v1/signals/stream", "/api/v1/signals/" + id, "/api/v1/signals/" + id + "/body"} {
		bodies := map[string]bool{}
		for name, header := range map[string]string{
			"none": "", "ended": "Bearer " + ended.Text.Reveal(), "expired": "Bearer " + expired.Text.Reveal(), "unknown": "Bearer " + keyring.NewToken().Reveal(),
			"no scheme": good, "another scheme": "Basic " + good, "cut": "Bearer " + good[:30], "typo": "Bearer " + good[:41] + "!", "two": "Bearer " + good + " " + good,
		} {
			a := s.ask("GET", path, header)
			if a.StatusCode != 401 || s.problem(a).Code != "UNAUTHORIZED" || a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s = %d %s, want 401", path, name, a.StatusCode, a.body)
			}
			p := s.problem(a)
			p.RequestID, p.ServerTime = "", ""
			text, _ := json.Marshal(p)
			bodies[string(text)] = true
		}
		if len(bodies) != 1 {
			t.Errorf("%s has %d answers for tokens that don't work, want one", path, len(bodies))
		}
		if a := s.ask("GET", path, "Bearer "+narrow.Text.Reveal()); a.StatusCode != 403 || s.problem(a).Code != "FORBIDDEN" {
			t.Errorf("%s without the scope = %d, want 403", path, a.StatusCode)
		}
	}
	if a := s.ask("GET", "/api/v1/openapi.json", ""); a.StatusCode != 200 || !bytes.Equal(a.body, api.Description()) {
		t.Errorf("the description without a token = %d", a.StatusCode)
	}
	if a := s.ask("GET", "/api/v1/signals", "bearer "+good); a.StatusCode != http.StatusOK {
		t.Errorf("a scheme in small letters = %d, want 200", a.StatusCode)
	}
}

// TestWait: a long poll waits beyond the server's own limits, returns with the first
// signal, empty at its end, and at once when the instance is to stop.
func TestWait(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cursor := s.list("").Cursor
	began := time.Now()
	if p := s.list("wait=4&after=" + cursor); len(p.Signals) != 0 || p.Cursor != cursor || time.Since(began) < 4*time.Second {
		t.Errorf("after %s: %d signals, %s", time.Since(began), len(p.Signals), p.Cursor)
	}
	for n := range 3 {
		time.AfterFunc(100*time.Millisecond, func() { s.addMany(s.home, "waited "+string(rune('a'+n))+" ", 3) })
		began = time.Now()
		p := s.list("wait=20&limit=2&after=" + cursor)
		if took := time.Since(began); len(p.Signals) != 2 || took > 5*time.Second {
			t.Errorf("%d signals after %s, want 2 soon", len(p.Signals), took)
		}
		if p = s.list("after=" + p.Cursor); len(p.Signals) != 1 {
			t.Errorf("%d signals are left, want 1", len(p.Signals))
		}
		cursor = p.Cursor
	}
	time.AfterFunc(200*time.Millisecond, s.api.Drain)
	began = time.Now()
	if p := s.list("wait=20&after=" + cursor); len(p.Signals) != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("at the end: %d signals after %s", len(p.Signals), time.Since(began))
	}
	if p := s.list("wait=20&after=" + cursor); len(p.Signals) != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("after the end: %d signals after %s", len(p.Signals), time.Since(began))
	}
}

// TestBigPages: a page ends where its bodies are large, and has one at least.
func TestBigPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := `"` + strings.Repeat("x", 900<<10) + `"`
	for range 6 {
		s.add(s.arrival(s.home, "", "application/json", body))
	}
	s.add(s.arrival(s.home, "", "application/json", `"`+strings.Repeat("x", 5<<20)+`"`))
	cursor, sizes := "", []int{}
	for {
		p := s.list("limit=1000&after=" + cursor)
		if len(p.Signals) == 0 {
			break
		}
		sizes, cursor = append(sizes, len(p.Signals)), p.Cursor
	}
	if want := []int{3, 3, 1}; !cmp.Equal(sizes, want) {
		t.Errorf("the pages have %v signals, want %v", sizes, want)
	}
}

func FuzzEmbeddable(f *testing.F) {
	for _, body := range []string{`{"a":1}`, `"\ud83d\ude00"`, `"\ud800"`, "[1e5,-0.1]", "\"\\\\\"", ""} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !api.Embeddable(body) {
			return
		}
		var first, second any
		if err := json.Unmarshal(body, &first); err != nil {
			t.Fatalf("%q is taken and can't be read: %v", body, err)
		}
		text, err := json.Marshal(first)
		if err != nil || json.Unmarshal(text, &second) != nil || !cmp.Equal(first, second) {
			t.Errorf("%q is taken and does not survive", body)
		}
	})
}
