package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestPollsKeepNoSessionAlive: what an open page asks by itself is no sign of
// life, even where it fails; what somebody asks is.
func TestPollsKeepNoSessionAlive(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	c := s.signIn(s.home.owner)
	key := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	for _, tt := range []struct {
		path         string
		status, seen int
	}{
		{key + "/deliveries", 200, 0},
		{key + "/first", 200, 0},
		{strings.Replace(key, s.home.slug, "gone", 1) + "/deliveries", 404, 0},
		{key, 200, 1},
	} {
		s.Raw().MustExec(`UPDATE sessions SET last_seen_at = now() - interval '29 minutes'`)
		if got := c.get(tt.path); got.StatusCode != tt.status {
			t.Errorf("%s = %d, want %d", tt.path, got.StatusCode, tt.status)
		}
		var seen int
		if err := s.Raw().Get(&seen, `SELECT count(*) FROM sessions WHERE last_seen_at > now() - interval '1 minute'`); err != nil || seen != tt.seen {
			t.Errorf("%s moves the last sign of life of %d sessions, %v; want %d", tt.path, seen, err, tt.seen)
		}
	}
	s.Raw().MustExec(`UPDATE sessions SET last_seen_at = now() - interval '31 minutes'`)
	if got := c.get(key + "/deliveries"); got.StatusCode != 303 {
		t.Errorf("a poll after half an hour = %d, want the way to sign in", got.StatusCode)
	}
}

// TestHTMXWithoutSession: what htmx asks for after the session has ended is never
// answered by a page that it would put into the open one.
func TestHTMXWithoutSession(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	for _, pattern := range s.web.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		if !strings.Contains(path, "{workspace}") {
			continue
		}
		path = strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String(), "{$}", "").Replace(path)
		got := s.client().do(method, path, url.Values{}, "HX-Request", "true", "HX-Current-URL", s.server.URL+"/w/home/keys?q=a&sort=name#x")
		want := "/sign-in?next=%2Fw%2Fhome%2Fkeys%3Fq%3Da%26sort%3Dname"
		if strings.HasSuffix(path, "/first") {
			want = "" // its page shows credentials that would be gone
		}
		if got.StatusCode != 401 || got.body != "" || got.Header.Get("HX-Redirect") != want || got.Header.Get("Location") != "" {
			t.Errorf("%s = %d, on to %q, with %d bytes; want 401 on to %q", pattern, got.StatusCode, got.Header.Get("HX-Redirect"), len(got.body), want)
		}
	}
	for _, from := range []string{"", "://", "https://evil.example", "javascript:alert(1)", s.server.URL + "//evil.example"} {
		got := s.client().do(http.MethodGet, "/w/home/keys", nil, "HX-Request", "true", "HX-Current-URL", from)
		if to := got.Header.Get("HX-Redirect"); to != "/sign-in" {
			t.Errorf("from %q it leads to %q, want the sign-in page alone", from, to)
		}
	}
}
