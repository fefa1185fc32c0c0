package web_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"keyhook/internal/audit"
	"keyhook/web"
)

func parse(t *testing.T, body string) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

var (
	apiKey = regexp.MustCompile(`khk_[0-9A-Za-z]{38}`)
	secret = regexp.MustCompile(`whsec_[0-9A-Za-z+/&#;]{43,}=`)
)

func (s *stage) nonceOf(c *client) string {
	s.t.Helper()
	nonce, ok := parse(s.t, c.get("/w/"+s.home.slug+"/keys/new").body).Find("input[name=form_nonce]").Attr("value")
	if !ok || len(nonce) < 20 {
		s.t.Fatalf("the form has the nonce %q", nonce)
	}
	return nonce
}

// TestOneFormOneKey sends one form fifty times at once.
func TestOneFormOneKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	form := []string{"name", "Fifty", "expires", "never", "form_nonce", s.nonceOf(c)}
	var lock sync.Mutex
	var shown, told int
	var senders sync.WaitGroup
	for range 50 {
		senders.Go(func() {
			got := c.post("/w/"+s.home.slug+"/keys", form...)
			lock.Lock()
			defer lock.Unlock()
			switch {
			case got.StatusCode != 200:
				t.Errorf("status %d: %.300s", got.StatusCode, got.body)
			case apiKey.MatchString(got.body) && secret.MatchString(got.body):
				shown++
				if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("ETag") != "" || got.Header.Get("Location") != "" {
					t.Errorf("the page with the credentials may be kept: %v", got.Header)
				}
			case strings.Contains(got.body, "Home owner"):
				told++
			}
		})
	}
	senders.Wait()
	if shown != 1 || told != 49 {
		t.Errorf("%d pages show credentials and %d say to whom they were shown, want 1 and 49", shown, told)
	}
	for _, path := range []string{"/w/" + s.home.slug + "/keys", "/w/" + s.home.slug + "/keys/new"} {
		if got := c.get(path); apiKey.MatchString(got.body) || secret.MatchString(got.body) {
			t.Errorf("%s holds credentials", path)
		}
	}
}

// TestHeaders looks at what every answer carries.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	key := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	nonces := map[string]bool{}
	for _, path := range []string{
		"/sign-in", "/docs/send", "/docs/errors", "/nothing", "/", "/workspaces", "/w/" + s.home.slug + "/keys", "/w/" + s.home.slug + "/keys/new", "/w/" + s.home.slug + "/keys/import",
		key, key + "/first", key + "/deliveries", key + "/edit", key + "/deactivate", key + "/deactivate/dialog", "/setup", "/password", "/account/password",
		"/docs/read", "/w/" + s.home.slug + "/signals", "/w/" + s.home.slug + "/signals/" + s.home.at.String(), "/w/" + s.home.slug + "/signals/retention",
		"/w/" + s.home.slug + "/tokens", "/w/" + s.home.slug + "/tokens/new", "/w/" + s.home.slug + "/tokens/" + s.home.token.ID.String(),
	} {
		got := c.get(path)
		policy := got.Header.Get("Content-Security-Policy")
		nonce := regexp.MustCompile(`'nonce-([^']+)'`).FindStringSubmatch(policy)
		if nonce == nil || nonces[nonce[1]] {
			t.Errorf("%s: the policy's nonce is missing or used before: %s", path, policy)
			continue
		}
		nonces[nonce[1]] = true
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "require-trusted-types-for 'script'", "report-uri /csp-report"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s", path, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy allows something unsafe: %s", path, policy)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store", "Strict-Transport-Security": "",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got.Header.Get(name), want)
			}
		}
		if got.Header.Get("X-Request-ID") == "" {
			t.Errorf("%s has no request id", path)
		}
	}
}

// TestCookies looks at the session's cookie over http and https.
func TestCookies(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		s := newStage(t, func(c *web.Config) { c.Secure = secure })
		link, err := s.accounts.ResetUser(t.Context(), audit.Actor{Kind: audit.CLI}, s.home.owner.String()+"@example.com")
		if err != nil {
			t.Fatal(err)
		}
		c := s.client()
		c.Transport = &http.Transport{TLSClientConfig: &tls.Config{}}
		linked := c.get("/password?token=" + link)
		if linked.StatusCode != 303 || linked.Header.Get("Location") != "/password" {
			t.Fatalf("the link's token stays in the address: %d %s", linked.StatusCode, linked.Header.Get("Location"))
		}
		const password = "copper-lantern-riverbank-42"
		chosen := c.do(http.MethodPost, "/password", url.Values{"password": {password}}, "Cookie", "kh_link="+link)
		if chosen.StatusCode != 303 {
			t.Fatalf("choosing a password = %d: %.500s", chosen.StatusCode, chosen.body)
		}
		in := c.post("/sign-in", "email", s.home.owner.String()+"@example.com", "password", password, "next", "//evil.example")
		if in.StatusCode != 303 || in.Header.Get("Location") != "/" {
			t.Fatalf("signing in = %d to %q", in.StatusCode, in.Header.Get("Location"))
		}
		cookie := in.Cookies()[0]
		name := map[bool]string{false: "kh_s", true: "__Host-kh_s"}[secure]
		if cookie.Name != name || !cookie.HttpOnly || cookie.Secure != secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
			t.Errorf("secure %v: the cookie is %+v", secure, cookie)
		}
		if hsts := in.Header.Get("Strict-Transport-Security"); (hsts != "") != secure {
			t.Errorf("secure %v: Strict-Transport-Security = %q", secure, hsts)
		}
		out := c.do(http.MethodPost, "/sign-out", nil, "Cookie", name+"="+cookie.Value)
		if out.StatusCode != 303 || !strings.Contains(out.Header.Get("Clear-Site-Data"), "storage") {
			t.Errorf("signing out = %d, %v", out.StatusCode, out.Header)
		}
		if again := s.client().do(http.MethodGet, "/workspaces", nil, "Cookie", name+"="+cookie.Value); again.StatusCode != 303 {
			t.Errorf("the old cookie after signing out = %d, want the way to sign in", again.StatusCode)
		}
	}
}

// TestSignInTellsNothing gets the same answer for whoever is not let in.
func TestSignInTellsNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	disabled := s.join("member")
	s.Raw().MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, disabled)
	var answers []string
	for _, email := range []string{s.home.owner.String() + "@example.com", disabled.String() + "@example.com", "nobody@example.com"} {
		got := s.client().post("/sign-in", "email", email, "password", "wrong-wrong-wrong")
		if got.StatusCode != 401 {
			t.Errorf("status %d, want 401", got.StatusCode)
		}
		answers = append(answers, strings.ReplaceAll(got.masked(), email, "EMAIL"))
	}
	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}@example.com|EMAIL|@example.com`)
	for _, a := range answers[1:] {
		if id.ReplaceAllString(a, "") != id.ReplaceAllString(answers[0], "") {
			t.Error("the answers differ")
		}
	}
}

// TestHostileForms sends what no browser would.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	keys := "/w/" + s.home.slug + "/keys"
	for name, form := range map[string][]string{
		"empty":         {},
		"no nonce":      {"name", "x"},
		"NUL":           {"name", "a\x00b", "form_nonce", "n1", "note", "\x00", "owner", "\x00", "labels", "\x00", "source", "\x00"},
		"bad UTF-8":     {"name", "a\xffb", "form_nonce", "n2", "ref_pointer", "/\xff"},
		"huge name":     {"name", strings.Repeat("x", 500_000), "form_nonce", "n3"},
		"bad numbers":   {"name", "x", "form_nonce", "n4", "rate_limit", "99999999999999999999", "daily_quota", "-1", "expires", "date", "expires_on", "31.12.2027"},
		"bad owner":     {"name", "x", "form_nonce", "n5", "owner", "' OR 1=1"},
		"huge nonce":    {"name", "x", "form_nonce", strings.Repeat("n", 100_000)},
		"NUL nonce":     {"name", "x", "form_nonce", "n\x00"},
		"bad nonce":     {"name", "x", "form_nonce", "n\xff"},
		"many networks": {"name", "x", "form_nonce", "n6", "allowed_cidrs", strings.Repeat("10.0.0.0/8\n192.0.2.1\n", 20_000) + "999"},
	} {
		got := c.post(keys, form...)
		if got.StatusCode != 422 {
			t.Errorf("%s = %d, want 422\n%.500s", name, got.StatusCode, got.body)
		}
	}
	if got := c.post(keys, "name", strings.Repeat("x", 2<<20)); got.StatusCode != 413 {
		t.Errorf("a form of 2 MiB = %d, want 413", got.StatusCode)
	}
	got := c.post(keys, "name", "", "rate_limit", "x", "allowed_cidrs", "10.0.0.0/33", "note", "kept", "expires", "never", "form_nonce", "n7")
	doc := parse(t, got.body)
	if n := doc.Find("[aria-invalid=true]").Length(); n != 3 || doc.Find("textarea[name=note]").Text() != "kept" {
		t.Errorf("%d fields are marked, want 3; the note is %q", n, doc.Find("textarea[name=note]").Text())
	}
	for _, query := range []string{"?q=%00", "?q=%ff&sort=x&status=y", "?q=" + strings.Repeat("a", 4000), "?status=active&sort=name&q=home"} {
		if got := c.get(keys + query); got.StatusCode != 200 {
			t.Errorf("%.30s = %d, want 200", query, got.StatusCode)
		}
	}
}

// TestDeactivateAsksFirst: a key in use wants its name typed, and the server
// checks it; one that is not stops with one click that can be undone.
func TestDeactivateAsksFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	active := func() (is bool) {
		if err := s.Raw().Get(&is, `SELECT is_active FROM webhook_keys WHERE id = $1`, s.home.key.ID); err != nil {
			t.Fatal(err)
		}
		return is
	}
	if got := c.post(path + "/deactivate"); got.StatusCode != 303 || active() {
		t.Errorf("an idle key: %d, active %v", got.StatusCode, active())
	}
	page := c.get(path)
	if parse(t, page.body).Find(`form[action$="/reactivate"]`).Length() == 0 || !strings.Contains(page.body, "is deactivated") {
		t.Error("the next page does not say so, or offers no way back")
	}
	if strings.Contains(c.get(path).body, "is deactivated:") {
		t.Error("the message is shown twice")
	}
	if got := c.post(path + "/reactivate"); got.StatusCode != 303 || !active() {
		t.Errorf("reactivating: %d, active %v", got.StatusCode, active())
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET last_used_at = now() WHERE id = $1`, s.home.key.ID)
	for _, confirm := range []string{"", "home key", "Foreign key"} {
		if got := c.post(path+"/deactivate", "confirm", confirm); got.StatusCode != 422 || !active() {
			t.Errorf("a key in use with %q typed: %d, active %v", confirm, got.StatusCode, active())
		}
	}
	if got := c.post(path+"/deactivate", "confirm", "Home key", "reason", strings.Repeat("x", 201)); got.StatusCode != 422 || !active() || parse(t, got.body).Find("#reason-error").Length() != 1 ||
		parse(t, got.body).Find("#reason").AttrOr("value", "") != strings.Repeat("x", 201) {
		t.Errorf("a reason that is too long = %d, active %v", got.StatusCode, active())
	}
	if got := c.post(path+"/deactivate", "confirm", " Home key "); got.StatusCode != 303 || active() {
		t.Errorf("a key in use with its name typed: %d, active %v", got.StatusCode, active())
	}
	// Names from before they were folded hold what nobody can type.
	s.Raw().MustExec(`UPDATE webhook_keys SET is_active = true, name = E'Home \u00a0 key\u200b' WHERE id = $1`, s.home.key.ID)
	if got := c.post(path+"/deactivate", "confirm", "Home key"); got.StatusCode != 303 || active() {
		t.Errorf("a key in use with an odd name typed as it looks: %d, active %v", got.StatusCode, active())
	}
}

// TestFixedHost: with a public URL set by hand, other names don't show the console.
func TestFixedHost(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *web.Config) { c.PublicURL, c.FixedHost = "https://keys.example.com", true })
	request, _ := http.NewRequest(http.MethodGet, s.server.URL+"/sign-in", nil)
	for host, want := range map[string]int{"keys.example.com": 200, "KEYS.example.com:443": 200, "evil.example": 403} {
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("Host %s = %d, want %d", host, response.StatusCode, want)
		}
	}
}

// TestNewWorkspace: whoever is signed in makes a workspace and owns it, unless who
// operates the instance keeps that to themselves.
func TestNewWorkspace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.newUser("Bo"))
	if a := c.post("/workspaces", "name", " "); a.StatusCode != 422 || parse(t, a.body).Find(`#name[aria-invalid="true"]`).Length() != 1 {
		t.Errorf("without a name = %d, want 422 and the error at its field", a.StatusCode)
	}
	if a := c.post("/workspaces", "name", "Night shift"); a.StatusCode != 303 || a.Header.Get("Location") != "/w/night-shift/keys" {
		t.Errorf("= %d to %q, want 303 to its keys", a.StatusCode, a.Header.Get("Location"))
	}
	if a := c.get("/w/night-shift/keys/new"); a.StatusCode != 200 {
		t.Errorf("its owner's form for a key = %d, want 200", a.StatusCode)
	}
	operated := newStage(t, func(c *web.Config) { c.Operator = true })
	c = operated.signIn(operated.home.owner)
	for _, a := range []answer{c.get("/workspaces/new"), c.post("/workspaces", "name", "Night shift")} {
		if a.StatusCode != 403 || !strings.Contains(a.body, "Ask them for one") {
			t.Errorf("where the operator makes workspaces = %d, want 403 with what to do", a.StatusCode)
		}
	}
	if parse(t, c.get("/workspaces").body).Find(`a[href="/workspaces/new"]`).Length() != 0 {
		t.Error("the list offers what is refused")
	}
}

func TestSafeNext(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"": "/", "/": "/", "/w/a/keys?q=1&sort=name": "/w/a/keys?q=1&sort=name", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/",
		"javascript:alert(1)": "/", "/%2f/evil": "/", "/a\r\nSet-Cookie: x": "/", "w/a": "/", "/a#b": "/a#b", "/\tevil": "/",
	} {
		if got := web.SafeNext(next); got != want {
			t.Errorf("SafeNext(%q) = %q, want %q", next, got, want)
		}
	}
}

func FuzzSafeNext(f *testing.F) {
	for _, next := range []string{"/", "//a", "/\\a", "/w/a/keys?q=%2f", "http://a"} {
		f.Add(next)
	}
	base, _ := url.Parse("https://keys.example.com/")
	f.Fuzz(func(t *testing.T, next string) {
		got, err := base.Parse(web.SafeNext(next))
		if err != nil || got.Host != base.Host || got.Scheme != base.Scheme {
			t.Errorf("SafeNext(%q) leads to %v, %v", next, got, err)
		}
	})
}
