package account_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// A team is a workspace with somebody in each role.
type team struct {
	instance
	account.Workspace
	owner, admin, member, auditor account.User
}

func newTeam(t *testing.T) team {
	t.Helper()
	i := open(t)
	owner := i.user(t, "owner@example.com", "")
	workspace, err := i.CreateWorkspace(t.Context(), cli, "Home", owner.ID)
	if err != nil {
		t.Fatal(err)
	}
	home := team{instance: i, Workspace: workspace, owner: owner}
	home.admin, home.member, home.auditor = home.join(t, account.Admin), home.join(t, account.RoleMember), home.join(t, account.Auditor)
	return home
}

// join makes somebody part of the team.
func (h team) join(t *testing.T, role account.Role) account.User {
	t.Helper()
	user := h.user(t, uuid.NewString()+"@example.com", "")
	if err := h.AddMember(t.Context(), cli, h.Slug, user.Email, role); err != nil {
		t.Fatal(err)
	}
	return user
}

// by is a member who acts, in whatever role the request began with.
func (h team) by(user account.User) audit.Actor {
	return audit.Actor{WorkspaceID: h.Workspace.ID, Kind: audit.User, UserID: user.ID, Label: user.Name, Role: "owner"}
}

func (h team) role(t *testing.T, user account.User) account.Role {
	t.Helper()
	member, err := h.Member(t.Context(), user.ID, h.Slug)
	if kind(t, err) == fault.NotFound {
		return ""
	}
	return member.Role
}

func (h team) sessions(t *testing.T, user account.User) int {
	t.Helper()
	return h.count(t, `SELECT count(*) FROM sessions WHERE user_id = $1`, user.ID)
}

func (h team) signIn(t *testing.T, user account.User) {
	t.Helper()
	h.exec(t, `INSERT INTO sessions (token_hash, user_id, expires_at) VALUES (sha256($1::text::bytea), $2, now() + interval '1 hour')`, uuid.NewString(), user.ID)
}

// TestWhoManagesWhom asks each role for each change of each role, by the statement
// alone: whatever role the request says.
func TestWhoManagesWhom(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	actors := map[account.Role]account.User{account.Owner: h.owner, account.Admin: h.admin, account.RoleMember: h.member, account.Auditor: h.auditor}
	for as, actor := range actors {
		for _, from := range account.Roles() {
			for _, to := range account.Roles() {
				target := h.join(t, from)
				err := h.ChangeRole(t.Context(), h.by(actor), target.ID, to)
				may := as == account.Owner || as == account.Admin && from != account.Owner && to != account.Owner
				if as == account.Admin && from == to {
					may = true // nothing changes
				}
				want := from
				if may {
					want = to
				} else if from != to && kind(t, err) != fault.Forbidden {
					t.Errorf("%s makes %s %s = %v, want Forbidden", as, from, to, err)
				}
				if got := h.role(t, target); got != want {
					t.Errorf("%s makes %s %s: now %q, want %q", as, from, to, got, want)
				}
				if as != account.Owner || from != to {
					continue
				}
				if err := h.Remove(t.Context(), h.by(actor), target.ID); err != nil || h.role(t, target) != "" {
					t.Errorf("%s removes %s: %v", as, from, err)
				}
			}
			target := h.join(t, from)
			err := h.Remove(t.Context(), h.by(actor), target.ID)
			may := as == account.Owner || as == account.Admin && from != account.Owner
			if may != (err == nil) || may != (h.role(t, target) == "") {
				t.Errorf("%s removes %s = %v", as, from, err)
			}
		}
	}
	for name, err := range map[string]error{
		"a stranger":   h.ChangeRole(t.Context(), h.by(h.user(t, "eve@example.com", "")), h.member.ID, account.Auditor),
		"nobody there": h.ChangeRole(t.Context(), h.by(h.owner), uuid.New(), account.Auditor),
		"elsewhere":    h.Remove(t.Context(), h.by(h.owner).In(uuid.New()), h.member.ID),
	} {
		if kind(t, err) != fault.NotFound {
			t.Errorf("%s = %v, want NotFound", name, err)
		}
	}
	if err := h.ChangeRole(t.Context(), h.by(h.owner), h.member.ID, "king"); kind(t, err) != fault.Invalid {
		t.Errorf("an unknown role = %v, want Invalid", err)
	}
}

// TestRoleChangeEndsSessions: an open session was begun as somebody else. The trail
// has the change with both roles.
func TestRoleChangeEndsSessions(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	for _, user := range []account.User{h.owner, h.admin, h.member} {
		h.signIn(t, user)
	}
	if err := h.ChangeRole(t.Context(), h.by(h.owner), h.admin.ID, account.Admin); err != nil || h.sessions(t, h.admin) != 1 {
		t.Errorf("the same role again = %v, %d sessions; want nothing to happen", err, h.sessions(t, h.admin))
	}
	if err := h.ChangeRole(t.Context(), h.by(h.owner), h.admin.ID, account.Auditor); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(t.Context(), h.by(h.owner), h.member.ID); err != nil {
		t.Fatal(err)
	}
	if h.sessions(t, h.admin) != 0 || h.sessions(t, h.member) != 0 || h.sessions(t, h.owner) != 1 {
		t.Errorf("sessions: admin %d, member %d, owner %d; want 0, 0, 1", h.sessions(t, h.admin), h.sessions(t, h.member), h.sessions(t, h.owner))
	}
	const entry = `SELECT count(*) FROM audit_log WHERE chain = $1 AND action = 'member.role_changed' AND before = '{"role":"admin"}' AND after = '{"role":"auditor"}' AND target_id = $2`
	if n := h.count(t, entry, h.Workspace.ID.String(), h.admin.ID.String()); n != 1 {
		t.Errorf("%d entries of the change, want 1", n)
	}
}

// TestLastOwner: a hundred owners who demote each other, remove each other, hand
// over and leave, all at once, leave one owner. One who is disabled does not count.
func TestLastOwner(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	owners := []account.User{h.owner}
	for len(owners) < 100 {
		owners = append(owners, h.join(t, account.Owner))
	}
	race(100, func(n int) error {
		self, other := owners[n], owners[(n+1)%100]
		switch n % 5 {
		case 0:
			return h.ChangeRole(t.Context(), h.by(self), other.ID, account.Admin)
		case 1:
			return h.Remove(t.Context(), h.by(self), other.ID)
		case 2:
			return h.Leave(t.Context(), h.by(self))
		case 3:
			return h.HandOver(t.Context(), h.by(self), other.ID)
		}
		return h.ChangeRole(t.Context(), h.by(self), self.ID, account.RoleMember)
	})
	const left = `SELECT count(*) FROM memberships WHERE workspace_id = $1 AND role = 'owner'`
	for range 3 { // the rest, one after the other
		for _, user := range owners {
			h.Leave(t.Context(), h.by(user))
		}
	}
	if n := h.count(t, left, h.Workspace.ID); n != 1 {
		t.Fatalf("%d owners are left, want 1", n)
	}
	var last account.User
	if err := h.raw.Get(&last.ID, `SELECT user_id FROM memberships WHERE workspace_id = $1 AND role = 'owner'`, h.Workspace.ID); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"leaving":  h.Leave(t.Context(), h.by(last)),
		"demotion": h.ChangeRole(t.Context(), h.by(last), last.ID, account.Admin),
		"removal":  h.Remove(t.Context(), cli.In(h.Workspace.ID), last.ID),
	} {
		if kind(t, err) != fault.Conflict {
			t.Errorf("%s of the last owner = %v, want Conflict", name, err)
		}
	}
	second := h.join(t, account.Owner)
	if err := h.DisableUser(t.Context(), cli, second.Email); err != nil {
		t.Fatal(err)
	}
	if err := h.Leave(t.Context(), h.by(last)); kind(t, err) != fault.Conflict {
		t.Errorf("leaving a disabled owner behind = %v, want Conflict", err)
	}
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	h.signIn(t, h.owner)
	h.signIn(t, h.member)
	gone := h.join(t, account.RoleMember)
	h.DisableUser(t.Context(), cli, gone.Email)
	for name, tt := range map[string]struct {
		by audit.Actor
		to uuid.UUID
		fault.Kind
	}{
		"by an admin":        {h.by(h.admin), h.member.ID, fault.Forbidden},
		"to oneself":         {h.by(h.owner), h.owner.ID, fault.Invalid},
		"to a stranger":      {h.by(h.owner), uuid.New(), fault.Invalid},
		"to a disabled user": {h.by(h.owner), gone.ID, fault.Invalid},
	} {
		if err := h.HandOver(t.Context(), tt.by, tt.to); kind(t, err) != tt.Kind {
			t.Errorf("%s = %v", name, err)
		}
	}
	if err := h.HandOver(t.Context(), h.by(h.owner), h.member.ID); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(h.role(t, h.owner), " ", h.role(t, h.member)); got != "admin owner" {
		t.Errorf("roles are %s, want admin owner", got)
	}
	if h.sessions(t, h.owner) != 1 || h.sessions(t, h.member) != 0 {
		t.Errorf("sessions: %d of who handed over, %d of the new owner; want 1, 0", h.sessions(t, h.owner), h.sessions(t, h.member))
	}
	if n := h.entries(t, h.Workspace.ID, audit.RoleChanged); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}
