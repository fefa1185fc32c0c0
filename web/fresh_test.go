package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/pquerna/otp/hotp"

	"keyhook/internal/audit"
)

const ownPassword = "copper lantern riverbank 42"

// password gives a user a password, by a link.
func (s *stage) password(user uuid.UUID) {
	s.t.Helper()
	link, err := s.accounts.ResetUser(s.t.Context(), audit.Actor{Kind: audit.CLI}, user.String()+"@example.com")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.accounts.ChoosePassword(s.t.Context(), audit.Actor{Kind: audit.Link}, link, ownPassword); err != nil {
		s.t.Fatal(err)
	}
}

// age makes all sessions and codes ones of long ago.
func (s *stage) age() {
	s.t.Helper()
	s.Raw().MustExec(`UPDATE sessions SET authenticated_at = now() - interval '11 minutes'`)
	s.Raw().MustExec(`UPDATE second_factors SET last_step = 0`)
}

// codeOf is what an app shows for the secret on a page.
func (s *stage) codeOf(secret string) string {
	s.t.Helper()
	var now time.Time
	if err := s.Raw().Get(&now, `SELECT now()`); err != nil {
		s.t.Fatal(err)
	}
	code, err := hotp.GenerateCode(strings.ReplaceAll(secret, " ", ""), uint64(now.Unix()/30))
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// A guarded is an act that asks who somebody is, and what it ends in. Its form is made
// before the session is one of long ago.
type guarded struct {
	pattern string
	form    func() []string
	status  int
	says    string
}

// guardedActs are in the order in which they can be done.
func (s *stage) guardedActs(c *client, secret *string) []guarded {
	home, key := "/w/"+s.home.slug, "/w/"+s.home.slug+"/keys/"+s.home.key.ID.String()
	none := func() []string { return nil }
	rotate := func() []string {
		ask := c.get(key + "/rotate")
		return []string{"what", "both", "overlap", "24h", "form_nonce", value(s.t, ask, "form_nonce"), "seen", value(s.t, ask, "seen"), "secret", pastedSecret}
	}
	handover := func() []string {
		return []string{"recipient", "Priya", "overlap", "1h", "form_nonce", value(s.t, c.get(key+"/handover"), "form_nonce")}
	}
	renew := func() []string {
		if got := c.post(key+"/leak", "seen", value(s.t, c.get(key+"/leak"), "seen")); got.StatusCode != 303 {
			s.t.Fatalf("the report = %d", got.StatusCode)
		}
		landed := c.get(key + "/leaked")
		return []string{"form_nonce", value(s.t, landed, "form_nonce"), "seen", value(s.t, landed, "seen")}
	}
	code := func() []string { return []string{"code", s.codeOf(*secret)} }
	remove := func() []string {
		s.Raw().MustExec(`UPDATE workspaces SET require_second_factor = false`)
		return nil
	}
	leave := func() []string {
		s.Raw().MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'owner')`, s.home.id, s.newUser("heir"))
		return []string{"email", strings.ToUpper(s.home.owner.String() + "@example.com")}
	}
	role := func() []string { return []string{"role", "auditor"} }
	invite := func() []string { return []string{"emails", "new@example.org", "role", "member"} }
	give := func() []string { return []string{"to", s.home.member.String(), "confirm", "Home"} }
	end := func() []string {
		s.Raw().MustExec(`UPDATE memberships SET role = 'owner' WHERE user_id = $1`, s.home.owner)
		return []string{"confirm", "Home"}
	}
	return []guarded{
		{"POST " + home + "/members/" + s.home.member.String() + "/role", role, 303, ""},
		{"POST " + home + "/invitations", invite, 200, "/invitation"},
		{"POST " + home + "/invitations/" + s.home.invitation.String() + "/resend", none, 200, "/invitation"},
		{"GET " + home + "/deliveries/export", func() []string { return []string{"format", "csv", "q", "a b&c"} }, 200, "The download begins by itself"},
		{"POST " + home + "/audit/export", func() []string { return []string{"format", "csv"} }, 200, "key.created"},
		{"GET " + home + "/reviews/" + s.home.review.String() + "/file", none, 200, "The download begins by itself"},
		{"GET " + key + "/passport.json", none, 200, "The download begins by itself"},
		{"POST " + home + "/keys/export", func() []string { return []string{"format", "csv"} }, 200, "Home key"},
		{"POST " + key + "/rotate", rotate, 200, "Save your new credentials"},
		{"POST " + key + "/handover", handover, 200, "/handover/"},
		{"POST " + key + "/leaked/renew", renew, 200, "khk_"},
		{"POST /account/second-factor", none, 200, "Text for the app"},
		{"POST /account/second-factor/confirm", code, 200, "Save your recovery codes"},
		{"POST /account/second-factor/codes", none, 200, "Save your recovery codes"},
		{"POST " + home + "/sign-in-rule", func() []string { return []string{"require", "true"} }, 303, ""},
		{"POST /account/second-factor/remove", remove, 303, ""},
		{"POST " + home + "/members/handover", give, 303, ""},
		{"POST " + home + "/settings/delete", end, 303, ""},
		{"POST /account/delete", leave, 303, ""},
	}
}

const pastedSecret = "whsec_pasted+by/somebody==0123456789"

// TestFreshSignIn: each route that asks who somebody is does so of a session of long
// ago, changes nothing by that, and does what was asked after the answer, with the form
// as it was.
func TestFreshSignIn(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	s.password(s.home.owner)
	c := s.signIn(s.home.owner)
	var secret string // of the second factor, once there is one
	confirmed := false
	left := s.web.Fresh()
	for _, act := range s.guardedActs(c, &secret) {
		method, path, _ := strings.Cut(act.pattern, " ")
		form := url.Values{}
		for pairs := act.form(); len(pairs) > 1; pairs = pairs[2:] {
			form.Set(pairs[0], pairs[1])
		}
		if method == http.MethodGet {
			path, form = path+"?"+form.Encode(), nil
		}
		s.age()
		before := s.rows("sign_in_failures")
		asked := c.do(method, path, form, "Referer", s.server.URL+"/w/"+s.home.slug+"/keys")
		held := value(t, asked, "held")
		if asked.StatusCode != 401 || held == "" || !strings.Contains(asked.body, "Confirm it is you") || strings.Contains(asked.body, pastedSecret) ||
			!strings.Contains(asked.body, `href="/w/`+s.home.slug+`/keys"`) || asked.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of a session of long ago = %d: %.300s", act.pattern, asked.StatusCode, asked.body)
			continue
		}
		answer := []string{"held", held, "password", ownPassword}
		if confirmed {
			if got := c.post("/account/confirm", answer...); got.StatusCode != 422 || parse(t, got.body).Find("#code-error").Length() != 1 {
				t.Errorf("%s without a code = %d", act.pattern, got.StatusCode)
			}
			answer = append(answer, "code", s.codeOf(secret))
		}
		wrong := c.post("/account/confirm", "held", held, "password", "not the password")
		if wrong.StatusCode != 422 || parse(t, wrong.body).Find("#password-error").Length() != 1 || value(t, wrong, "held") == "" {
			t.Errorf("%s with a wrong password = %d", act.pattern, wrong.StatusCode)
		}
		if diff := cmp.Diff(before, s.rows("sign_in_failures")); diff != "" {
			t.Errorf("%s, not confirmed, changed something:\n%s", act.pattern, diff)
		}
		s.Raw().MustExec(`DELETE FROM sign_in_failures`)
		got := c.post("/account/confirm", answer...)
		if got.StatusCode != act.status || !strings.Contains(got.body, act.says) {
			t.Errorf("%s, confirmed, = %d to %q: %.600s", act.pattern, got.StatusCode, got.Header.Get("Location"), got.body)
		}
		if method == http.MethodGet {
			if got.Header.Get("Refresh") != "0; url="+path || c.get(path).Header.Get("Content-Disposition") == "" {
				t.Errorf("%s goes on to %q", act.pattern, got.Header.Get("Refresh"))
			}
		}
		if text := parse(t, got.body).Find("#factor-secret").Text(); text != "" {
			secret = text
		}
		confirmed = (confirmed || strings.HasSuffix(act.pattern, "/confirm")) && !strings.HasSuffix(act.pattern, "/remove")
		left = slices.DeleteFunc(left, func(pattern string) bool {
			return strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String(), "{member}", s.home.member.String(), "{invitation}", s.home.invitation.String(), "{review}", s.home.review.String()).Replace(pattern) == act.pattern
		})
	}
	if len(left) > 0 {
		t.Errorf("nothing shows that these ask who somebody is: %v", left)
	}
	var users, keys int
	s.Raw().Get(&users, `SELECT count(*) FROM users WHERE id = $1`, s.home.owner)
	s.Raw().Get(&keys, `SELECT count(*) FROM webhook_keys WHERE id = $1 AND created_by IS NULL`, s.home.key.ID)
	if users != 0 || keys != 1 {
		t.Errorf("after all that there are %d users and %d of their keys, want 0 and 1", users, keys)
	}
}

// TestStoppingAsksNobody: emergencies do not wait for a password.
func TestStoppingAsksNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	s.home.spare = s.join("member")
	key, token := "/w/"+s.home.slug+"/keys/"+s.home.key.ID.String(), "/w/"+s.home.slug+"/tokens/"+s.home.token.ID.String()
	ask := c.get(key + "/rotate")
	if got := c.post(key+"/rotate", "what", "both", "overlap", "24h", "form_nonce", value(t, ask, "form_nonce"), "seen", value(t, ask, "seen")); got.StatusCode != 200 {
		t.Fatalf("rotate = %d", got.StatusCode)
	}
	s.age()
	for _, path := range []string{
		key + "/overlap/end", key + "/deactivate", token + "/deactivate", "/w/" + s.home.slug + "/batches/" + s.home.batch.String(),
		"/w/" + s.home.slug + "/members/" + s.home.spare.String() + "/sessions/end", key + "/leak", "/account/sessions/end",
	} {
		form := []string{"what", "both", "session", "others"}
		if strings.HasSuffix(path, "/leak") {
			form = []string{"seen", value(t, c.get(path), "seen")}
		}
		if got := c.post(path, form...); got.StatusCode != 303 {
			t.Errorf("%s of a session of long ago = %d: %.600s", path, got.StatusCode, got.body)
		}
	}
}

// TestHeldForms: what is held can't be made, moved to another session or kept for ever.
func TestHeldForms(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.password(s.home.owner)
	c, other := s.signIn(s.home.owner), s.signIn(s.home.owner)
	export := "/w/" + s.home.slug + "/keys/export"
	s.age()
	asked := c.post(export, "format", "csv", "note", strings.Repeat("&=é\n", 40_000))
	if asked.StatusCode != 401 {
		t.Fatalf("a long form = %d", asked.StatusCode)
	}
	held := value(t, asked, "held")
	for name, text := range map[string]string{"nothing": "", "noise": "x'--\x00", "cut": held[:len(held)-8], "huge": strings.Repeat("A", 1<<20)} {
		if got := c.post("/account/confirm", "held", text, "password", ownPassword); got.StatusCode != 422 {
			t.Errorf("%s is held: %d", name, got.StatusCode)
		}
	}
	if got := other.post("/account/confirm", "held", held, "password", ownPassword); got.StatusCode != 422 {
		t.Errorf("in another session it goes on: %d", got.StatusCode)
	}
	if got := c.post("/account/confirm", "held", held, "password", ownPassword); got.StatusCode != 200 || !strings.Contains(got.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a long form goes on with %d: %.300s", got.StatusCode, got.body)
	}
	s.age()
	if got := c.do(http.MethodPost, export, nil, "HX-Request", "true"); got.StatusCode != 401 || got.Header.Get("HX-Retarget") != "body" {
		t.Errorf("a part of a page = %d", got.StatusCode)
	}
	if got := c.do(http.MethodPost, export, url.Values{"format": {"csv"}}, "Content-Type", "multipart/form-data; boundary=x"); got.StatusCode != 422 {
		t.Errorf("a form of another kind = %d", got.StatusCode)
	}
	if got := c.get("/account/confirm"); got.StatusCode != 303 {
		t.Errorf("the address by itself = %d", got.StatusCode)
	}
}
