package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// failAfter lets the database serve nobody any more as soon as a transaction that
// adds to the table has committed: memberships, without which no page of somebody
// signed in can be drawn, have another name then.
func (s *stage) failAfter(table string) {
	s.t.Helper()
	s.Raw().MustExec(`
		CREATE FUNCTION lose() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
		BEGIN
			ALTER TABLE memberships RENAME TO memberships_gone;
			RETURN NULL;
		END $$`)
	s.Raw().MustExec(`CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON ` + table + ` DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()`)
}

// TestIssuedIsShown: once the key is made, nothing keeps its credentials back.
func TestIssuedIsShown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	nonce := s.nonceOf(c)
	s.failAfter("form_nonces")
	got := c.post("/w/"+s.home.slug+"/keys", "name", "Made", "expires", "never", "form_nonce", nonce)
	if got.StatusCode != 200 || !apiKey.MatchString(got.body) || !secret.MatchString(got.body) {
		t.Errorf("the key is made and the answer is %d: %.500s", got.StatusCode, got.body)
	}
	if again := c.get("/w/" + s.home.slug + "/keys"); again.StatusCode < 500 {
		t.Errorf("the database still answers (%d): the test shows nothing", again.StatusCode)
	}
}

// TestSetUpSignsIn: once the set-up is made, its first user is signed in.
func TestSetUpSignsIn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Raw().MustExec(`DELETE FROM workspaces`)
	s.Raw().MustExec(`DELETE FROM users`)
	link, err := s.accounts.SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.failAfter("workspaces")
	form := url.Values{"name": {"Ada"}, "email": {"ada@example.com"}, "password": {"copper-lantern-riverbank-42"}, "workspace": {"Acme"}}
	got := s.client().do(http.MethodPost, "/setup", form, "Cookie", "kh_link="+link)
	if got.StatusCode != 303 || got.Header.Get("Location") != "/w/acme/keys" {
		t.Fatalf("the set-up = %d to %q: %.500s", got.StatusCode, got.Header.Get("Location"), got.body)
	}
	s.Raw().MustExec(`ALTER TABLE memberships_gone RENAME TO memberships`)
	var cookie string
	for _, set := range got.Cookies() {
		if set.Name == "kh_s" {
			cookie = "kh_s=" + set.Value
		}
	}
	if page := s.client().do(http.MethodGet, "/w/acme/keys", nil, "Cookie", cookie); page.StatusCode != 200 || !strings.Contains(page.body, "Ada") {
		t.Errorf("the next page = %d, want the workspace's keys", page.StatusCode)
	}
}
