package web_test

import (
	"strings"
	"testing"

	"keyhook/internal/audit"
)

// TestMembersPage: all see who belongs; what a reader may not do is not offered.
func TestMembersPage(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	admin, auditor := s.join("admin"), s.join("auditor")
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, auditor, s.home.key.ID)
	path := "/w/" + s.home.slug + "/members"
	for who, tt := range map[string]struct {
		c                         *client
		roles, removes, withdraws int
		gives, leaves             bool
	}{
		"owner":   {s.signIn(s.home.owner), 3, 3, 1, true, false},
		"admin":   {s.signIn(admin), 2, 2, 1, false, true},
		"member":  {s.signIn(s.home.member), 0, 0, 0, false, true},
		"auditor": {s.signIn(auditor), 0, 0, 0, false, true},
	} {
		page := parse(t, tt.c.get(path).body)
		if n := page.Find(".people tbody tr").Length(); n != 5 {
			t.Errorf("%s sees %d rows, want 4 members and an invitation", who, n)
		}
		count := func(selector string) int { return page.Find(selector).Length() }
		if count(".people select") != tt.roles || count(".people form[action$='/role'] [type=submit]") != tt.roles || count(".people a[href$='/remove']") != tt.removes ||
			count("form[action$='/withdraw']") != tt.withdraws || count("a[href$='/handover']") == 1 != tt.gives || count("a[href$='/leave']") == 1 != tt.leaves {
			t.Errorf("%s is offered %d roles, %d removals, %d withdrawals, handing over %v, leaving %v", who,
				count(".people select"), count(".people a[href$='/remove']"), count("form[action$='/withdraw']"), count("a[href$='/handover']") == 1, count("a[href$='/leave']") == 1)
		}
		if text := page.Find(".people .st-warn").Text(); !strings.Contains(text, "Answers for 1 live key and can’t change them") {
			t.Errorf("%s: an auditor who owns a live key is not flagged", who)
		}
	}
}

// TestRoleTakesEffectAtOnce: the next request is asked as what the person is now,
// and the old cookie has ended.
func TestRoleTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	owner, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/members"
	admin := s.join("admin")
	old := s.signIn(admin)
	if got := old.get("/w/" + s.home.slug + "/tokens"); got.StatusCode != 200 {
		t.Fatalf("an admin's tokens = %d", got.StatusCode)
	}
	if got := owner.post(path+"/"+admin.String()+"/role", "role", "auditor"); got.StatusCode != 303 || !strings.Contains(owner.get(path).body, "is now Auditor") {
		t.Errorf("changing a role = %d", got.StatusCode)
	}
	if got := old.get("/w/" + s.home.slug + "/tokens"); got.StatusCode != 303 || !strings.HasPrefix(got.Header.Get("Location"), "/sign-in") {
		t.Errorf("the old cookie = %d to %s, want the way to sign in", got.StatusCode, got.Header.Get("Location"))
	}
	c := s.signIn(admin)
	if got := c.get("/w/" + s.home.slug + "/tokens"); got.StatusCode != 403 {
		t.Errorf("an auditor's tokens = %d, want 403", got.StatusCode)
	}
	if got := owner.post(path+"/"+admin.String()+"/role", "role", "king"); got.StatusCode != 422 {
		t.Errorf("an unknown role = %d, want 422", got.StatusCode)
	}
	if got := owner.post(path + "/" + admin.String() + "/remove"); got.StatusCode != 303 {
		t.Errorf("removing = %d", got.StatusCode)
	}
	if got := s.signIn(admin).get(path); got.StatusCode != 404 {
		t.Errorf("a removed member's page = %d, want 404", got.StatusCode)
	}
	member := s.signIn(s.home.member)
	if got := member.post(path + "/leave"); got.StatusCode != 303 || got.Header.Get("Location") != "/workspaces" {
		t.Errorf("leaving = %d to %s", got.StatusCode, got.Header.Get("Location"))
	}
	if got := member.get(path); got.StatusCode != 404 {
		t.Errorf("after leaving = %d, want 404", got.StatusCode)
	}
	if n := s.entriesOf(audit.MemberRemoved); n != 2 {
		t.Errorf("%d entries of removals, want 2", n)
	}
	if asked := parse(t, owner.get(path+"/leave").body); asked.Find(".page form").Length() != 0 || !strings.Contains(asked.Find(".note").Text(), "You are the only owner") {
		t.Error("the last owner is asked whether to leave")
	}
	if got := owner.post(path + "/leave"); got.StatusCode != 409 {
		t.Errorf("the last owner leaving = %d, want 409", got.StatusCode)
	}
}

func (s *stage) entriesOf(action audit.Action) (n int) {
	s.t.Helper()
	if err := s.Raw().Get(&n, `SELECT count(*) FROM audit_log WHERE action = $1 AND chain <> 'instance'`, action); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestHandOverWorkspace(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	owner, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/members/handover"
	for _, form := range [][]string{
		{"to", s.home.member.String()},
		{"to", s.home.member.String(), "confirm", "Foreign"},
		{"to", s.foreign.owner.String(), "confirm", "Home"},
		{"to", s.home.owner.String(), "confirm", "Home"},
		{"confirm", "Home"},
	} {
		if got := owner.post(path, form...); got.StatusCode != 422 {
			t.Errorf("%v = %d, want 422", form, got.StatusCode)
		}
	}
	if got := owner.post(path, "to", s.home.member.String(), "confirm", " Home "); got.StatusCode != 303 {
		t.Errorf("handing over = %d", got.StatusCode)
	}
	if got := owner.get(path); got.StatusCode != 403 {
		t.Errorf("who handed over hands over again = %d, want 403", got.StatusCode)
	}
	if got := s.signIn(s.home.member).get(path); got.StatusCode != 200 {
		t.Errorf("the new owner = %d, want 200", got.StatusCode)
	}
}

// TestDeletedWorkspaceIsGoneAtOnce for its members, its senders and its programs;
// the list tells how far it is.
func TestDeletedWorkspaceIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	owner, path := s.signIn(s.home.owner), "/w/"+s.home.slug
	if got := owner.post(path+"/settings", "name", "Harbour", "auditors_see_payloads", "true"); got.StatusCode != 303 {
		t.Errorf("renaming = %d", got.StatusCode)
	}
	if got := owner.get(path + "/settings"); !strings.Contains(got.body, `value="Harbour"`) || parse(t, got.body).Find("#auditors[checked]").Length() != 1 {
		t.Error("the settings do not show what was saved")
	}
	if got := s.signIn(s.join("auditor")).get(path + "/signals/" + s.home.at.String() + "/body"); got.StatusCode != 200 {
		t.Errorf("an auditor's look at a body = %d, want 200", got.StatusCode)
	}
	for _, typed := range []string{"", "Home", "harbour!"} {
		if got := owner.post(path+"/settings/delete", "confirm", typed); got.StatusCode != 422 {
			t.Errorf("deleting with %q typed = %d, want 422", typed, got.StatusCode)
		}
	}
	if got := owner.post(path+"/settings/delete", "confirm", "Harbour"); got.StatusCode != 303 {
		t.Fatalf("deleting = %d", got.StatusCode)
	}
	for _, page := range []string{"/keys", "/members", "/settings", "/deliveries"} {
		if got := owner.get(path + page); got.StatusCode != 404 {
			t.Errorf("%s of a deleted workspace = %d, want 404", page, got.StatusCode)
		}
	}
	if got := owner.get("/workspaces"); !strings.Contains(got.body, "Being deleted") || strings.Contains(got.body, `href="/w/`+s.home.slug) {
		t.Error("the list does not say that it is being deleted, or still leads there")
	}
	var active int
	if err := s.Raw().Get(&active, `SELECT (SELECT count(*) FROM webhook_keys WHERE workspace_id = $1 AND is_active) + (SELECT count(*) FROM tokens WHERE workspace_id = $1 AND is_active)`, s.home.id); err != nil || active != 0 {
		t.Errorf("%d keys and tokens still work, %v", active, err)
	}
	if _, err := s.Raw().Exec(`UPDATE webhook_keys SET is_active = true WHERE workspace_id = $1`, s.home.id); err == nil {
		t.Error("a key of a deleted workspace was started again")
	}
	if err := s.accounts.EraseDeleted(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := owner.get("/workspaces"); strings.Contains(got.body, "Being deleted") {
		t.Error("it is still being deleted")
	}
	if got := s.signIn(s.foreign.owner).get("/w/" + s.foreign.slug + "/signals/" + s.foreign.at.String()); got.StatusCode != 200 {
		t.Errorf("another workspace's signal = %d, want 200", got.StatusCode)
	}
}

// TestMembersSignIn: the page says what signing in takes of each, and signs one out
// everywhere.
func TestMembersSignIn(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	path := "/w/" + s.home.slug + "/members"
	s.password(s.home.owner)
	s.password(s.home.member)
	owner, other := s.signIn(s.home.owner), s.signIn(s.home.member)
	s.Raw().MustExec(`INSERT INTO second_factors (user_id, sealed, confirmed_at) VALUES ($1, 'x', now())`, s.home.member)
	signs := func() string { return parse(t, owner.get(path).body).Find(".people .c-sign").Text() }
	if got := signs(); !strings.Contains(got, "Password and code") || !strings.Contains(got, "Password only") {
		t.Errorf("signing in takes %q", got)
	}
	end := path + "/" + s.home.member.String() + "/sessions/end"
	if n := parse(t, owner.get(path).body).Find(`form[action="` + end + `"] button`).Length(); n != 1 {
		t.Errorf("%d buttons sign the member out, want 1", n)
	}
	if n := parse(t, other.get(path).body).Find(`form[action$="/sessions/end"]`).Length(); n != 0 {
		t.Errorf("a member has %d such buttons", n)
	}
	if got := owner.post(end); got.StatusCode != 303 {
		t.Fatalf("signing out a member = %d", got.StatusCode)
	}
	if !strings.Contains(owner.get(path).body, "All sessions of") {
		t.Error("nothing says that they ended")
	}
	if got := other.get(path); got.StatusCode != 303 {
		t.Errorf("after it the member gets %d, want to be asked to sign in", got.StatusCode)
	}
}
