package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
	"keyhook/web"
)

// TestPastedCredentials: whoever searches for a whole key is led to its hint,
// signed in or not, and nothing repeats the key.
func TestPastedCredentials(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	by := audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Home owner", Role: "owner"}
	issued, err := s.keys.Issue(t.Context(), by, keyring.Draft{Name: "Pasted"}, "")
	if err != nil {
		t.Fatal(err)
	}
	key, secret := issued.APIKey.Reveal(), issued.Secret.Reveal()
	list := "/w/" + s.home.slug + "/keys"
	hinted := list + "?" + url.Values{"q": {issued.Key.Hint}}.Encode()
	for query, want := range map[string]string{
		"q=" + key:                              hinted,
		"q=+%09" + key + "%0A":                  hinted,
		"q=X-API-Key:+" + key:                   hinted,
		"sort=name&q=" + key:                    hinted + "&sort=name",
		"q=" + key[:30]:                         list + "?" + url.Values{"q": {key[:8] + "…" + key[26:30]}}.Encode(),
		"q=" + url.QueryEscape(secret):          list + "?q=whsec_%E2%80%A6",
		"q=wk_4f9a2c7de1b84f9a2c7de1b84f9a2c7d": list + "?q=wk_4f9a%E2%80%A62c7d",
		"q=" + key + "%zz":                      list,
		key:                                     list,
	} {
		for who, c := range map[string]*client{"signed in": s.signIn(s.home.owner), "signed out": s.client()} {
			got := c.get(list + "?" + query)
			if got.StatusCode != 303 || got.Header.Get("Location") != want {
				t.Errorf("%s, %s = %d to %q, want 303 to %q", who, query, got.StatusCode, got.Header.Get("Location"), want)
			}
			if strings.Contains(got.body+got.Header.Get("Location"), key[8:26]) || strings.Contains(got.body, secret[6:20]) {
				t.Errorf("%s, %s: the answer repeats it", who, query)
			}
		}
	}
	if got := s.client().get("/sign-in?next=" + url.QueryEscape(list+"?q="+key)); got.StatusCode != 303 || strings.Contains(got.Header.Get("Location"), key) {
		t.Errorf("the way to sign in holds the key: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if got := s.signIn(s.home.owner).get(hinted); !strings.Contains(got.body, "Pasted") || strings.Contains(got.body, "Home key") {
		t.Error("the hint does not find the key alone")
	}
	if got := s.client().get("/setup?token=wk_4f9a2c7de1b84f9a2c7de1b84f9a2c7d"); got.Cookies()[0].Value != "wk_4f9a2c7de1b84f9a2c7de1b84f9a2c7d" {
		t.Error("a link's token that looks like a key is lost")
	}
}

// TestViolationWithoutQuery: what people searched for is in no log.
func TestViolationWithoutQuery(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	db, box := pgtest.New(t).Console(), pgtest.Box(t)
	config := web.Config{ClientAddr: func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") }}
	server := web.NewServer(config, nil, keyring.NewStore(db, box), inbox.NewStore(db, box), audit.NewStore(db), nil, slog.New(slog.NewTextHandler(&log, nil)))
	for _, report := range []string{
		`{"csp-report":{"document-uri":"https://k.example/w/a/keys?q=sought","referrer":"https://k.example/?q=sought","blocked-uri":"inline","effective-directive":"script-src-elem","line-number":7,"script-sample":"sought"}}`,
		`{"csp-report":{"document-uri":"https://k.example/w/a/keys#sought","source-file":"https://k.example/x?sought"}}`, `?sought`, ``,
	} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/csp-report", strings.NewReader(report)))
		if w.Code != http.StatusNoContent {
			t.Errorf("a report = %d", w.Code)
		}
	}
	if text := log.String(); strings.Contains(text, "sought") || !strings.Contains(text, "https://k.example/w/a/keys") || !strings.Contains(text, "script-src-elem") {
		t.Errorf("the log says:\n%s", text)
	}
}
