package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
)

func TestAccountPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c, other := s.signIn(s.home.owner), s.signIn(s.home.owner)
	s.Raw().MustExec(`UPDATE sessions SET user_agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 <b>'`)
	page := parse(t, c.get("/account").body)
	if n := page.Find(".pill").Length(); n != 1 || page.Find("button[value=others]").Length() != 1 || !strings.Contains(page.Text(), "Firefox on Linux") || page.Find("#zones option").Length() < 400 {
		t.Errorf("%d sessions are this one", n)
	}
	if got := c.post("/account/profile", "name", " "); got.StatusCode != 422 || parse(t, got.body).Find("#name-error").Length() != 1 {
		t.Errorf("no name = %d", got.StatusCode)
	}
	if got := c.post("/account/profile", "name", "Ada Lovelace"); got.StatusCode != 303 || !strings.Contains(c.get("/account").body, "Ada Lovelace") {
		t.Errorf("a name = %d", got.StatusCode)
	}
	if got := c.post("/account/preferences", "time_zone", "Mars/Olympus", "shortcuts_off", "true"); got.StatusCode != 422 || value(t, got, "time_zone") != "Mars/Olympus" || !strings.Contains(got.body, "checked") {
		t.Errorf("a wrong zone = %d", got.StatusCode)
	}
	if got := c.post("/account/preferences", "time_zone", "", "shortcuts_off", "true"); got.StatusCode != 303 || !strings.Contains(c.get("/account").body, `data-shortcuts="off"`) {
		t.Errorf("shortcuts off = %d", got.StatusCode)
	}
	id, _ := page.Find("button[name=session]:not([value=others])").Attr("value")
	if got := c.post("/account/sessions/end", "session", id); got.StatusCode != 303 || other.get("/account").StatusCode != 303 || c.get("/account").StatusCode != 200 {
		t.Errorf("ending the other = %d", got.StatusCode)
	}
	for _, which := range []string{"", "x", uuid.NewString() + "0"} {
		if got := c.post("/account/sessions/end", "session", which); got.StatusCode != 404 {
			t.Errorf("ending %q = %d", which, got.StatusCode)
		}
	}
	if got := c.get("/account/delete"); !strings.Contains(got.body, "You are the last owner of 1 workspace") || strings.Contains(got.body, `action="/account/delete"`) {
		t.Errorf("deleting as the last owner: %d", got.StatusCode)
	}
	if got := c.post("/account/delete", "email", s.home.owner.String()+"@example.com"); got.StatusCode != 409 || !strings.Contains(got.body, "Home") {
		t.Errorf("deleting all the same = %d", got.StatusCode)
	}
}

// TestTimeZone: what is shown is in the reader's zone and says so, with UTC behind it;
// trails and exports stay in UTC, and a filter means the moment that was typed.
func TestTimeZone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	home := "/w/" + s.home.slug
	key := home + "/keys/" + s.home.key.ID.String()
	s.Raw().MustExec(`UPDATE webhook_keys SET expires_at = '2031-07-01T20:15:00Z' WHERE id = $1`, s.home.key.ID)
	if got := c.get(key); !strings.Contains(got.body, "1 Jul 2031, 20:15 UTC") {
		t.Error("without a zone times are not in UTC")
	}
	if got := c.post("/account/preferences", "time_zone", "Asia/Kolkata"); got.StatusCode != 303 {
		t.Fatalf("the zone = %d", got.StatusCode)
	}
	got := c.get(key)
	at := parse(t, got.body).Find(`time[datetime="2031-07-01T20:15:00.000Z"]`)
	if title, _ := at.First().Attr("title"); !strings.Contains(at.Text(), "2 Jul 2031, 01:45 IST") || title != "2031-07-01 20:15:00 UTC" {
		t.Errorf("the end reads %q with %q behind it", at.Text(), title)
	}
	if trail := parse(t, got.body).Find(".timeline time").First().Text(); !strings.HasSuffix(trail, " UTC") {
		t.Errorf("the trail reads %q", trail)
	}
	for span, want := range map[string]string{"24h": "From (Asia/Kolkata)", "7d": "From (Asia/Kolkata)", "30d": "From (UTC)", "13m": "From (UTC)"} { // days are counted as UTC's
		table := parse(t, c.get(home+"/usage?range="+span).body).Find(".as-table")
		if head, first := table.Find("th").First().Text(), table.Find("tbody th").First().Text(); head != want || strings.Contains(want, "Kolkata") != strings.HasSuffix(first, ":30") {
			t.Errorf("the chart of %s is told %q, beginning %q; want %q", span, head, first, want)
		}
	}
	log := parse(t, c.get(home+"/deliveries?from=2026-11-23+14:00&zone=Asia/Kolkata").body)
	if from, _ := log.Find("#from").Attr("value"); from != "2026-11-23 14:00" || log.Find("input[name=zone][value='Asia/Kolkata']").Length() != 1 || !strings.Contains(log.Find("th").Text(), "Time (IST)") {
		t.Errorf("the filter reads %q", from)
	}
	if from, _ := parse(t, c.get(home+"/deliveries?from=2026-11-23T08:30").body).Find("#from").Attr("value"); from != "2026-11-23 14:00" {
		t.Errorf("the same moment in UTC reads %q", from)
	}
	if got := c.get(home + "/deliveries?from=2026-11-23+14:00&zone=Mars/Olympus"); !strings.Contains(got.body, "There is no such time zone") {
		t.Error("a wrong zone is not told")
	}
	if got := c.get(home + "/deliveries/export?format=csv"); strings.Contains(got.body, "IST") || strings.Contains(got.body, "+05:30") || !strings.Contains(got.body, `Z",`) {
		t.Errorf("the export is not in UTC: %.300s", got.body)
	}
}

// TestSignInWithCode goes through both steps in the browser.
func TestSignInWithCode(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.password(s.home.owner)
	secret, err := s.accounts.BeginSecondFactor(t.Context(), s.home.owner)
	if err != nil {
		t.Fatal(err)
	}
	user := account.User{ID: s.home.owner, Name: "Home owner", Email: s.home.owner.String() + "@example.com"}
	codes, err := s.accounts.ConfirmSecondFactor(t.Context(), audit.Actor{Kind: audit.User, UserID: user.ID}, user, "", s.codeOf(secret.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	c := s.client()
	next := "/w/" + s.home.slug + "/keys?q=a+b"
	if got := c.get("/sign-in/code"); got.StatusCode != 401 || !strings.Contains(got.body, `action="/sign-in"`) {
		t.Errorf("a code without a password = %d", got.StatusCode)
	}
	got := c.post("/sign-in", "email", user.Email, "password", ownPassword, "next", next)
	if at := got.Header.Get("Location"); got.StatusCode != 303 || at != "/sign-in/code?next="+url.QueryEscape(next) {
		t.Fatalf("the password = %d to %q", got.StatusCode, at)
	}
	if got := c.get("/account"); got.StatusCode != 303 {
		t.Errorf("the password alone opens %d", got.StatusCode)
	}
	if page := c.get(got.Header.Get("Location")); page.StatusCode != 200 || value(t, page, "next") != next {
		t.Errorf("the page for the code = %d", page.StatusCode)
	}
	if got := c.post("/sign-in/code", "code", "000000", "next", next); got.StatusCode != 422 || value(t, got, "next") != next || parse(t, got.body).Find("#code-error").Length() != 1 {
		t.Errorf("a wrong code = %d", got.StatusCode)
	}
	if got := c.post("/sign-in/code", "code", strings.ToLower(strings.ReplaceAll(codes[0], "-", " ")), "next", "//evil.example"); got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Errorf("a recovery code = %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if got := c.get("/account"); got.StatusCode != 200 || !strings.Contains(got.body, "9 recovery codes are left") || !strings.Contains(got.body, "with a code") {
		t.Errorf("afterwards = %d", got.StatusCode)
	}
	if _, _, err := s.accounts.SignIn(t.Context(), audit.Actor{Address: "192.0.2.1"}, user.Email, ownPassword, "", ""); !errors.As(err, new(*account.CodeNeeded)) {
		t.Errorf("another sign-in = %v", err)
	}
}

// TestRequiredSecondFactor: who lacks it is led to setting it up and keeps their
// account; strangers learn nothing.
func TestRequiredSecondFactor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c, stranger := s.signIn(s.join("member")), s.signIn(s.foreign.owner)
	s.Raw().MustExec(`UPDATE workspaces SET require_second_factor = true WHERE id = $1`, s.home.id)
	for _, path := range []string{"/keys", "/deliveries/export"} {
		if got := c.get("/w/" + s.home.slug + path); got.StatusCode != 303 || got.Header.Get("Location") != "/account/second-factor?for="+s.home.slug {
			t.Errorf("%s without a second factor = %d to %q", path, got.StatusCode, got.Header.Get("Location"))
		}
	}
	if got := c.do(http.MethodGet, "/w/"+s.home.slug+"/keys", nil, "HX-Request", "true"); got.StatusCode != 401 || got.Header.Get("HX-Redirect") == "" {
		t.Errorf("a part of a page = %d", got.StatusCode)
	}
	if got := c.get("/account/second-factor?for=" + s.home.slug); !strings.Contains(got.body, "Home can be entered only with a second factor") || value(t, got, "for") != s.home.slug {
		t.Errorf("the page to set it up = %d", got.StatusCode)
	}
	if got := stranger.get("/w/" + s.home.slug + "/keys"); got.StatusCode != 404 {
		t.Errorf("a stranger = %d", got.StatusCode)
	}
	for _, path := range []string{"/account", "/workspaces", "/account/password"} {
		if got := c.get(path); got.StatusCode != 200 {
			t.Errorf("%s = %d", path, got.StatusCode)
		}
	}
	begun := c.post("/account/second-factor", "for", s.home.slug)
	page := parse(t, begun.body)
	secret := page.Find("[data-secret] #factor-secret").Text()
	if begun.StatusCode != 200 || len(strings.ReplaceAll(secret, " ", "")) != 32 || page.Find("[data-secret] svg.qr path").Length() != 1 || begun.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the secret = %d %q", begun.StatusCode, secret)
	}
	done := c.post("/account/second-factor/confirm", "code", s.codeOf(secret), "for", s.home.slug)
	if at, _ := parse(t, done.body).Find("form.gate").Attr("action"); done.StatusCode != 200 || at != "/w/"+s.home.slug+"/keys" || len(strings.Fields(parse(t, done.body).Find("[data-secret] #codes").Text())) != 10 {
		t.Errorf("the codes = %d, leading to %q", done.StatusCode, at)
	}
	if got := c.post("/account/second-factor/confirm", "code", "000000"); got.StatusCode != 409 || strings.Contains(got.body, strings.Fields(parse(t, done.body).Find("#codes").Text())[0]) {
		t.Errorf("sent again = %d", got.StatusCode)
	}
	if got := c.get("/w/" + s.home.slug + "/keys"); got.StatusCode != 200 {
		t.Errorf("with a second factor = %d", got.StatusCode)
	}
}
