package web_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestThemeComesBack: without script, choosing a theme comes back to the page with its
// query, and from the answer to a form to one that can be asked for.
func TestThemeComesBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	next := func(page answer) string {
		t.Helper()
		next, found := parse(t, page.body).Find(`form[action="/preferences/theme"] input[name=next]`).Attr("value")
		if !found {
			t.Fatalf("no theme to choose: %d %.300s", page.StatusCode, page.body)
		}
		return next
	}
	home := "/w/" + s.home.slug
	for _, address := range []string{
		home + "/deliveries?outcome=refused&q=a%20%26b", home + "/keys?status=active&q=x", "/account", "/nothing?like=this",
	} {
		want := address
		if strings.HasPrefix(address, "/nothing") {
			want = "/"
		}
		if got := next(c.get(address)); got != want {
			t.Errorf("on %s it comes back to %s, want %s", address, got, want)
		}
	}
	key := home + "/keys/" + s.home.key.ID.String()
	for _, tt := range []struct {
		path, want string
		form       []string
		status     int
	}{
		{"/account/profile", "/account", []string{"name", ""}, http.StatusUnprocessableEntity},
		{home + "/invitations", home, []string{"emails", "new@example.com", "role", "member"}, http.StatusOK},
		{key + "/edit", key + "/edit", []string{"name", ""}, http.StatusUnprocessableEntity},
		{key + "/secret", key, []string{"secret", ""}, http.StatusUnprocessableEntity},
		{home + "/keys", home + "/keys", []string{"name", ""}, http.StatusUnprocessableEntity},
		{home + "/nothing", "/", nil, http.StatusNotFound},
	} {
		page := c.post(tt.path, tt.form...)
		got := next(page)
		if page.StatusCode != tt.status || got != tt.want {
			t.Errorf("POST %s = %d and comes back to %s, want %d and %s", tt.path, page.StatusCode, got, tt.status, tt.want)
		}
		if page := c.get(got); page.StatusCode >= http.StatusBadRequest {
			t.Errorf("GET %s, where POST %s comes back to, = %d", got, tt.path, page.StatusCode)
		}
	}
}
