package account_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

func (h team) invite(t *testing.T, by account.User, email string, role account.Role) account.Invited {
	t.Helper()
	made, err := h.Invite(t.Context(), h.by(by), email, role)
	if err != nil || len(made) != 1 {
		t.Fatalf("invite %s: %v", email, err)
	}
	return made[0]
}

// opens reports whether a link opens an invitation.
func (h team) opens(t *testing.T, token string) bool {
	t.Helper()
	_, err := h.InvitationOf(t.Context(), token)
	return kind(t, err) == 0
}

func TestInvite(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	typed := "ada@example.org, Grace@example.org;\r\n\r\n  alan@example.org \nADA@example.org\n"
	made, err := h.Invite(t.Context(), h.by(h.admin), typed, account.RoleMember)
	if err != nil || len(made) != 3 {
		t.Fatalf("%d were invited, %v; want 3", len(made), err)
	}
	if n := h.count(t, `SELECT count(*) FROM invitations AS i WHERE strpos(i::text, $1) > 0`, made[0].Token); n != 0 {
		t.Error("the token is stored as it is")
	}
	if n := h.entries(t, h.Workspace.ID, audit.InvitationMade); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
	many := strings.Builder{}
	for n := range 51 {
		fmt.Fprintf(&many, "u%d@example.org\n", n)
	}
	for name, tt := range map[string]struct {
		by     account.User
		emails string
		role   account.Role
		kind   fault.Kind
		says   string
	}{
		"nothing":             {h.admin, " \n,;\n", account.RoleMember, fault.Invalid, "at least one"},
		"one that is bad":     {h.admin, "new@example.org\nnobody at home\n", account.RoleMember, fault.Invalid, "Line 2, “nobody at home”"},
		"a name with it":      {h.admin, "Ada <new@example.org>", account.RoleMember, fault.Invalid, "Line 1"},
		"a header":            {h.admin, "new@example.org\rBcc: eve@example.org", account.RoleMember, fault.Invalid, "Line 1"},
		"too many":            {h.admin, many.String(), account.RoleMember, fault.Invalid, "51"},
		"a member":            {h.admin, "new@example.org\n" + h.member.Email, account.RoleMember, fault.Conflict, "belongs"},
		"an open one":         {h.admin, "GRACE@example.org", account.RoleMember, fault.Conflict, "invited already"},
		"an owner by admin":   {h.admin, "new@example.org", account.Owner, fault.Forbidden, "Only an owner"},
		"by a member":         {h.member, "new@example.org", account.RoleMember, fault.Forbidden, "role"},
		"by an auditor":       {h.auditor, "new@example.org", account.Auditor, fault.Forbidden, "role"},
		"an unknown role":     {h.owner, "new@example.org", "king", fault.Invalid, "role"},
		"bytes, not text":     {h.owner, "new\xff@example.org", account.RoleMember, fault.Invalid, "Line 1"},
		"longer than allowed": {h.owner, strings.Repeat("a", 300) + "@example.org", account.RoleMember, fault.Invalid, "Line 1"},
	} {
		_, err := h.Invite(t.Context(), h.by(tt.by), tt.emails, tt.role)
		if kind(t, err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("inviting %s = %v, want %q in it", name, err, tt.says)
		}
	}
	if n := h.count(t, `SELECT count(*) FROM invitations`); n != 3 {
		t.Errorf("%d invitations, want 3: all or none", n)
	}
}

// TestLinkDies: a link opens nothing once it is renewed, withdrawn, too old, or its
// maker could not make it any more. All are answered alike.
func TestLinkDies(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	renewed := h.invite(t, h.admin, "renewed@example.org", account.RoleMember)
	again, err := h.Renew(t.Context(), h.by(h.owner), renewed.ID)
	if err != nil || h.opens(t, renewed.Token) || !h.opens(t, again.Token) {
		t.Errorf("renewing = %v; the old link opens %v, the new one %v", err, h.opens(t, renewed.Token), h.opens(t, again.Token))
	}
	withdrawn := h.invite(t, h.admin, "withdrawn@example.org", account.RoleMember)
	if _, err := h.Withdraw(t.Context(), h.by(h.admin), withdrawn.ID); err != nil || h.opens(t, withdrawn.Token) {
		t.Errorf("withdrawing = %v; the link opens %v", err, h.opens(t, withdrawn.Token))
	}
	old := h.invite(t, h.admin, "old@example.org", account.RoleMember)
	h.exec(t, `UPDATE invitations SET expires_at = now() WHERE id = $1`, old.ID)
	if h.opens(t, old.Token) {
		t.Error("a link that is too old opens")
	}
	fresh := h.invite(t, h.admin, "OLD@example.org", account.RoleMember) // the old one makes room
	byOwner := h.invite(t, h.owner, "owner2@example.org", account.Owner)
	second := h.join(t, account.Owner)
	asOwner := h.invite(t, second, "owner3@example.org", account.Owner)
	asMember := h.invite(t, second, "member3@example.org", account.RoleMember)
	if err := h.ChangeRole(t.Context(), h.by(h.owner), second.ID, account.Admin); err != nil {
		t.Fatal(err)
	}
	if h.opens(t, asOwner.Token) || !h.opens(t, asMember.Token) {
		t.Error("an owner who became an admin: the link for an owner opens, or that for a member does not")
	}
	if err := h.Remove(t.Context(), h.by(h.owner), h.admin.ID); err != nil {
		t.Fatal(err)
	}
	if h.opens(t, fresh.Token) || !h.opens(t, again.Token) || !h.opens(t, byOwner.Token) {
		t.Error("a removed admin's link opens, or one that others answer for does not")
	}
	h.exec(t, `UPDATE users SET disabled_at = now() WHERE id = $1`, second.ID)
	if h.opens(t, asMember.Token) || h.opens(t, "made up") || h.opens(t, "") {
		t.Error("a disabled user's link or a made-up one opens")
	}
	for name, err := range map[string]error{
		"renewing what is withdrawn":    second1(h.Renew(t.Context(), h.by(h.owner), withdrawn.ID)),
		"withdrawing it again":          second1(h.Withdraw(t.Context(), h.by(h.owner), withdrawn.ID)),
		"renewing what never was":       second1(h.Renew(t.Context(), h.by(h.owner), uuid.New())),
		"withdrawing another's, abroad": second1(h.Withdraw(t.Context(), h.by(h.owner).In(uuid.New()), again.ID)),
	} {
		if kind(t, err) != fault.NotFound {
			t.Errorf("%s = %v, want NotFound", name, err)
		}
	}
	admin := h.join(t, account.Admin)
	if _, err := h.Withdraw(t.Context(), h.by(admin), byOwner.ID); kind(t, err) != fault.Forbidden {
		t.Errorf("an admin withdrawing an owner's invitation = %v, want Forbidden", err)
	}
}

func second1[T any](_ T, err error) error { return err }

func TestAccept(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	zoe, eve := h.user(t, "zoe@example.org", ""), h.user(t, "eve@example.org", "")
	invited := h.invite(t, h.owner, "ZOE@example.org", account.Auditor)
	for range 3 { // looking uses nothing up
		if open, err := h.InvitationOf(t.Context(), invited.Token); err != nil || open.UserID == nil || *open.UserID != zoe.ID || open.InvitedBy != h.owner.Name {
			t.Fatalf("the link opens %+v, %v", open, err)
		}
	}
	if _, err := h.Accept(t.Context(), by(eve), eve, invited.Token); kind(t, err) != fault.Forbidden {
		t.Errorf("accepting for somebody else = %v, want Forbidden", err)
	}
	won := race(20, func(int) error {
		_, err := h.Accept(t.Context(), by(zoe), zoe, invited.Token)
		return err
	})
	if won != 1 || h.role(t, zoe) != account.Auditor || h.role(t, eve) != "" {
		t.Errorf("20 acceptances at once: %d succeeded, the role is %q", won, h.role(t, zoe))
	}
	for _, action := range []audit.Action{audit.InvitationUsed} {
		if n := h.entries(t, h.Workspace.ID, action); n != 1 {
			t.Errorf("%d entries of %s, want 1", n, action)
		}
	}
}

func by(user account.User) audit.Actor {
	return audit.Actor{Kind: audit.User, UserID: user.ID, Label: user.Name, Address: "192.0.2.1"}
}

// TestJoin: somebody without an account makes one with the link, once.
func TestJoin(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	invited := h.invite(t, h.admin, "New@example.org", account.RoleMember)
	join := func(name, password string) (string, error) {
		session, _, err := h.Join(t.Context(), from("192.0.2.9"), invited.Token, name, password, "test")
		return session, err
	}
	if _, err := join("", "short"); kind(t, err) != fault.Invalid {
		t.Errorf("without a name = %v, want Invalid", err)
	} else if f, _ := fault.Of(err); len(f.Fields()) != 2 {
		t.Errorf("the fault blames %v, want name and password", f.Fields())
	}
	sessions := make([]string, 5)
	won := race(5, func(n int) (err error) {
		sessions[n], err = join("Zoë  Newman", password)
		return err
	})
	if won != 1 {
		t.Fatalf("5 at once: %d joined, want 1", won)
	}
	session, err := h.Session(t.Context(), strings.Join(sessions, ""))
	if err != nil || session.User.Email != "New@example.org" || session.User.Name != "Zoë Newman" || h.role(t, session.User) != account.RoleMember {
		t.Errorf("joined as %+v, %v", session.User, err)
	}
	if _, _, err := h.SignIn(t.Context(), from("192.0.2.9"), "new@example.org", password, "test", ""); err != nil {
		t.Errorf("signing in = %v", err)
	}
	if _, err := join("Zoë", password); kind(t, err) != fault.NotFound {
		t.Errorf("the used link = %v, want NotFound", err)
	}
	for chain, actions := range map[uuid.UUID][]audit.Action{
		h.Workspace.ID: {audit.InvitationUsed}, uuid.Nil: {},
	} {
		for _, action := range actions {
			if n := h.entries(t, chain, action); n != 1 {
				t.Errorf("%d entries of %s, want 1", n, action)
			}
		}
	}
	const made = `SELECT count(*) FROM audit_log WHERE chain = 'instance' AND action = 'user.created' AND target_label = 'Zoë Newman' AND actor_label = 'Zoë Newman'`
	if n := h.count(t, made); n != 1 {
		t.Errorf("%d entries of the new user, want 1", n)
	}
}
