package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOthersKeys: a member changes keys of their own alone.
func TestOthersKeys(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	c := s.signIn(s.join("member"))
	for pattern, row := range matrix {
		method, path, _ := strings.Cut(pattern, " ")
		if row.may != "change a key" || method != http.MethodPost || !strings.Contains(path, "{key}") {
			continue
		}
		path = strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String()).Replace(path)
		before := s.rows()
		if got := c.post(path, "name", "mine now", "expires", "never", "what", "both", "overlap", "now", "form_nonce", "n", "seen", "2", "until", "2999-01-01"); got.StatusCode != 403 {
			t.Errorf("%s of somebody else's key = %d, want 403", pattern, got.StatusCode)
		}
		if diff := cmp.Diff(before, s.rows()); diff != "" {
			t.Errorf("%s changed something:\n%s", pattern, diff)
		}
	}
	if got := c.get("/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()); strings.Contains(got.body, `/deactivate"`) || strings.Contains(got.body, `/rotate"`) || strings.Contains(got.body, `/leak"`) {
		t.Error("the page offers what would be refused")
	}
}

// TestCrossOrigin sends every form from everywhere.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	c := s.signIn(s.home.owner)
	own := s.server.URL
	for _, pattern := range s.web.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		if method != http.MethodPost {
			continue
		}
		path = strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String(), "{token}", s.home.token.ID.String(), "{batch}", s.home.batch.String()).Replace(path)
		if path == "/sign-out" || path == "/csp-report" {
			path += "?" // asked like the others, but it would end the session
		}
		var before map[string]string // the refused ones come last
		for _, tt := range []struct {
			site, origin string
			passes       bool
		}{
			{"same-origin", own, true},
			{"same-origin", "", true},
			{"none", "", true},
			{"", "", true}, // no browser
			{"", own, true},
			{"", "http://evil.example", false},
			{"", "null", false},
			{"same-site", own, false},
			{"same-site", "", false},
			{"cross-site", own, false},
			{"cross-site", "http://evil.example", false},
			{"cross-site", "null", false},
		} {
			if tt.passes && strings.HasSuffix(path, "?") {
				continue
			}
			if !tt.passes && before == nil {
				before = s.rows()
			}
			got := c.do(method, path, url.Values{"name": {""}}, "Sec-Fetch-Site", tt.site, "Origin", tt.origin)
			if refused := got.StatusCode == 403; refused == tt.passes {
				t.Errorf("%s from site %q, origin %q = %d, want passes %v", pattern, tt.site, tt.origin, got.StatusCode, tt.passes)
			}
		}
		if diff := cmp.Diff(before, s.rows()); diff != "" {
			t.Errorf("%s, refused, changed something:\n%s", pattern, diff)
		}
	}
	got := c.do(http.MethodPost, "/workspaces", nil, "Sec-Fetch-Site", "", "Origin", "https://keys.example.com")
	if !strings.Contains(got.body, "keys.example.com") || !strings.Contains(got.body, strings.TrimPrefix(own, "http://")) || !strings.Contains(got.body, "KEYHOOK_PUBLIC_URL") {
		t.Errorf("a mismatch behind a proxy is not explained by name:\n%.2000s", got.body)
	}
}
