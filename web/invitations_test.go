package web_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/mail"
	"keyhook/internal/mailtest"
	"keyhook/web"
)

// mailed has a stage send its mail to a server.
func mailed(t *testing.T, server *mailtest.Server) func(*web.Config) {
	t.Helper()
	sender, err := mail.New(server.At("smtp://127.0.0.1:PORT"), "Keyhook <keyhook@example.com>")
	if err != nil {
		t.Fatal(err)
	}
	return func(c *web.Config) { c.Mail = sender }
}

var linkPattern = regexp.MustCompile(`http://127\.0\.0\.1(/invitation\?token=[A-Za-z0-9_-]{43})`)

// links are the paths of the links that a text shows.
func links(text string) (paths []string) {
	for _, found := range linkPattern.FindAllStringSubmatch(text, -1) {
		paths = append(paths, found[1])
	}
	return paths
}

// open follows a link to the page behind it.
func (c *client) open(link string) answer {
	c.stage.t.Helper()
	if got := c.get(link); got.StatusCode != 303 || got.Header.Get("Location") != "/invitation" {
		c.stage.t.Errorf("%s = %d to %s, want the token out of the address", link, got.StatusCode, got.Header.Get("Location"))
	}
	return c.get("/invitation")
}

// TestInvitationIsMailed: each person gets their own link; who can't be reached is
// named, with the link to be copied.
func TestInvitationIsMailed(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, mailtest.Behaviour{Refuses: 550, RefusesOnly: "nobody@example.org"})
	s := newStage(t, mailed(t, server))
	owner, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/invitations"
	got := owner.post(path, "emails", "ada@example.org, nobody@example.org\ngrace@example.org", "role", "admin")
	shown := links(got.body)
	if got.StatusCode != 200 || len(shown) != 3 || got.Header.Get("Cache-Control") != "no-store" || strings.Count(got.body, "Not mailed:") != 1 ||
		!strings.Contains(got.body, "1 link was not mailed.") || !strings.Contains(got.body, "refused the address") {
		t.Fatalf("inviting = %d with %d links:\n%.3000s", got.StatusCode, len(shown), got.body)
	}
	taken := server.Taken()
	if len(taken) != 2 {
		t.Fatalf("%d were mailed, want 2", len(taken))
	}
	for i, to := range map[int]string{0: "ada@example.org", 1: "grace@example.org"} {
		text := taken[i].Text(t)
		if got := links(text); taken[i].To != to || len(got) != 1 || got[0] != shown[2*i] || !strings.Contains(text, "Home owner invites you to the workspace Home on Keyhook, as admin.") {
			t.Errorf("the mail to %s says %q", taken[i].To, text)
		}
	}
	if got := owner.get("/w/" + s.home.slug + "/members"); len(links(got.body)) != 0 {
		t.Error("a link is shown again")
	}
	if n := s.entriesOf(audit.InvitationMade); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
	bad := owner.post(path, "emails", "new@example.org\nnot one", "role", "member")
	if bad.StatusCode != 422 || !strings.Contains(bad.body, "Line 2, “not one”") || !strings.Contains(bad.body, "new@example.org\nnot one") || len(server.Taken()) != 2 {
		t.Errorf("a bad line = %d, %d mails", bad.StatusCode, len(server.Taken()))
	}
}

// TestNoMailLosesNoLink: with the server away, or none, the page has all links.
func TestNoMailLosesNoLink(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*web.Config){
		"away": mailed(t, mailtest.Start(t, mailtest.Behaviour{Gone: true})), "none": func(*web.Config) {},
	} {
		s := newStage(t, change)
		got := s.signIn(s.home.owner).post("/w/"+s.home.slug+"/invitations", "emails", "ada@example.org", "role", "member")
		if got.StatusCode != 200 || len(links(got.body)) != 1 || !strings.Contains(got.body, "1 link was not mailed.") {
			t.Errorf("%s: inviting = %d with %d links", name, got.StatusCode, len(links(got.body)))
		}
		if page := s.client().open(links(got.body)[0]); page.StatusCode != 200 {
			t.Errorf("%s: the link = %d", name, page.StatusCode)
		}
	}
}

// TestJoining: without an account, with one, as somebody else, and not twice.
func TestJoining(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	owner, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/invitations"
	known := uuid.Must(uuid.NewV7())
	s.Raw().MustExec(`INSERT INTO users (id, email, name, password_hash) VALUES ($1, 'Known@example.org', 'Known', 'x')`, known)
	made := links(owner.post(path, "emails", "new@example.org\nknown@example.org", "role", "auditor").body)
	if len(made) != 2 {
		t.Fatal("no links")
	}

	scanner := s.client()
	for range 3 {
		if got := scanner.open(made[0]); got.StatusCode != 200 || !strings.Contains(got.body, "Home") || !strings.Contains(got.body, "new@example.org") || !strings.Contains(got.body, "Auditor") {
			t.Fatalf("the link's page = %d\n%.2000s", got.StatusCode, got.body)
		}
	}
	stranger := s.signIn(s.foreign.owner)
	if got := stranger.open(made[0]); got.StatusCode != 200 || !strings.Contains(got.body, "for somebody else") {
		t.Errorf("somebody else's look = %d", got.StatusCode)
	}
	if got := stranger.post("/invitation"); got.StatusCode != 403 {
		t.Errorf("joining as somebody else = %d, want 403", got.StatusCode)
	}
	newcomer := s.client()
	newcomer.open(made[0])
	if got := newcomer.post("/invitation", "name", "", "password", "short"); got.StatusCode != 422 || parse(t, got.body).Find("#name-error, #password-error").Length() != 2 {
		t.Errorf("a bad form = %d", got.StatusCode)
	}
	if got := newcomer.post("/invitation", "name", "New Comer", "password", "heron lamp tuesday 7"); got.StatusCode != 303 || got.Header.Get("Location") != "/w/"+s.home.slug+"/overview" {
		t.Fatalf("joining = %d to %s\n%.2000s", got.StatusCode, got.Header.Get("Location"), got.body)
	}
	if got := newcomer.get("/w/" + s.home.slug + "/overview"); got.StatusCode != 200 || !strings.Contains(got.body, "You belong to Home now, as Auditor.") {
		t.Errorf("after joining = %d", got.StatusCode)
	}

	anonymous := s.client()
	if got := anonymous.open(made[1]); !strings.Contains(got.body, `href="/sign-in?next=/invitation"`) || strings.Contains(got.body, `name="password"`) {
		t.Error("who has an account is not asked to sign in")
	}
	if got := anonymous.post("/invitation", "name", "Eve", "password", "heron lamp tuesday 7"); got.StatusCode != 409 {
		t.Errorf("making a second account for an address = %d, want 409", got.StatusCode)
	}
	c := s.signIn(known)
	c.open(made[1])
	if got := c.post("/invitation"); got.StatusCode != 303 {
		t.Errorf("joining with an account = %d", got.StatusCode)
	}
	gone := s.client()
	used := gone.open(made[1])
	for name, link := range map[string]string{"the other used one": made[0], "a made-up one": "/invitation?token=" + strings.Repeat("x", 43)} {
		if got := gone.open(link); got.StatusCode != 404 || got.masked() != used.masked() {
			t.Errorf("%s = %d, want 404 as with a used one", name, got.StatusCode)
		}
	}
	if got := gone.post("/invitation", "name", "Eve", "password", "heron lamp tuesday 7"); got.StatusCode != 404 {
		t.Errorf("joining with a made-up link = %d, want 404", got.StatusCode)
	}
}

// TestInvitationAgain: a new link ends the old one, and a withdrawn one opens nothing.
func TestInvitationAgain(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	owner, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/invitations/"+s.home.invitation.String()
	first := links(owner.post(path + "/resend").body)
	second := links(owner.post(path + "/resend").body)
	if len(first) != 1 || len(second) != 1 {
		t.Fatal("no links")
	}
	if old, fresh := s.client().open(first[0]), s.client().open(second[0]); old.StatusCode != 404 || fresh.StatusCode != 200 {
		t.Errorf("the old link = %d, the new one %d; want 404, 200", old.StatusCode, fresh.StatusCode)
	}
	if got := owner.post(path + "/withdraw"); got.StatusCode != 303 {
		t.Errorf("withdrawing = %d", got.StatusCode)
	}
	if got := s.client().open(second[0]); got.StatusCode != 404 {
		t.Errorf("a withdrawn link = %d, want 404", got.StatusCode)
	}
	if got := owner.post(path + "/resend"); got.StatusCode != 404 {
		t.Errorf("a new link of a withdrawn one = %d, want 404", got.StatusCode)
	}
	if s.entriesOf(audit.InvitationRenewed) != 2 || s.entriesOf(audit.InvitationWithdrawn) != 1 {
		t.Error("the trail lacks entries")
	}
}
