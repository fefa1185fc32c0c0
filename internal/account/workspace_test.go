package account_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

// TestSlugs: twenty workspaces of one name made at once all get a slug of their own.
func TestSlugs(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	var mu sync.Mutex
	var slugs []string
	won := race(20, func(int) error {
		workspace, err := i.CreateWorkspace(t.Context(), cli, "Zoë & Söhne", ada.ID)
		mu.Lock()
		defer mu.Unlock()
		slugs = append(slugs, workspace.Slug)
		return err
	})
	slices.Sort(slugs)
	if won != 20 || len(slices.Compact(slugs)) != 20 || !slices.Contains(slugs, "zoe-sohne") || !slices.Contains(slugs, "zoe-sohne-20") {
		t.Errorf("20 creations at once: %d succeeded, slugs %v", won, slugs)
	}
	for _, name := range []string{"New", "東京"} {
		if workspace, err := i.CreateWorkspace(t.Context(), cli, name, ada.ID); err != nil || !strings.HasPrefix(workspace.Slug, "workspace") {
			t.Errorf("workspace %q has slug %q, %v; want one like workspace", name, workspace.Slug, err)
		}
	}
}

// TestDeleteWorkspace: what goes is one workspace; another's members, keys and
// both trails stay.
func TestDeleteWorkspace(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	gone, err := i.CreateWorkspace(t.Context(), cli, "Gone", ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	stays, err := i.CreateWorkspace(t.Context(), cli, "Stays", ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	if won := race(5, func(int) error { return i.DeleteWorkspace(t.Context(), cli, gone.Slug) }); won != 1 {
		t.Errorf("5 deletions at once: %d succeeded, want 1", won)
	}
	if err := i.DeleteWorkspace(t.Context(), cli, gone.Slug); kind(t, err) != fault.NotFound {
		t.Errorf("deleting it again = %v, want NotFound", err)
	}
	if _, err := i.Member(t.Context(), ada.ID, gone.Slug); kind(t, err) != fault.NotFound {
		t.Errorf("a member of a deleted workspace = %v, want NotFound", err)
	}
	if going, err := i.Deletions(t.Context(), ada.ID); err != nil || len(going) != 1 || going[0].Name != "Gone" {
		t.Errorf("being deleted: %+v, %v", going, err)
	}
	if won := race(3, func(int) error { return i.EraseDeleted(t.Context()) }); won != 3 {
		t.Errorf("3 erasures at once: %d succeeded", won)
	}
	if n := i.count(t, `SELECT count(*) FROM workspaces`); n != 1 {
		t.Errorf("%d workspaces are left, want 1", n)
	}
	if n := i.entries(t, uuid.Nil, audit.WorkspaceErased); n != 1 {
		t.Errorf("%d entries of the end, want 1", n)
	}
	if n := i.count(t, `SELECT count(*) FROM memberships WHERE workspace_id = $1`, stays.ID); n != 1 {
		t.Errorf("the other workspace has %d members, want 1", n)
	}
	for _, chain := range []uuid.UUID{gone.ID, uuid.Nil} {
		if n := i.entries(t, chain, audit.WorkspaceDeleted); n != 1 {
			t.Errorf("chain %s has %d entries of the deletion, want 1", chain, n)
		}
	}
	if n := i.entries(t, gone.ID, audit.WorkspaceCreated); n != 1 {
		t.Error("the trail of the deleted workspace is gone")
	}
}

// TestDeleteWorkspaceIsForOwners, whatever the request says of the role.
func TestDeleteWorkspaceIsForOwners(t *testing.T) {
	t.Parallel()
	h := newTeam(t)
	for _, user := range []account.User{h.admin, h.member, h.auditor} {
		if err := h.DeleteWorkspace(t.Context(), h.by(user), h.Slug); kind(t, err) != fault.Forbidden {
			t.Errorf("%s deletes = %v, want Forbidden", h.role(t, user), err)
		}
	}
	if err := h.EditWorkspace(t.Context(), h.by(h.member), "Mine", true); kind(t, err) != fault.Forbidden {
		t.Errorf("a member renames = %v, want Forbidden", err)
	}
	if err := h.EditWorkspace(t.Context(), h.by(h.admin), " New   name ", true); err != nil {
		t.Fatal(err)
	}
	got, err := h.Store.Workspace(t.Context(), h.Slug)
	if err != nil || got.Name != "New name" || !got.AuditorsSeePayloads {
		t.Errorf("the workspace is %+v, %v", got, err)
	}
	if n := h.entries(t, h.Workspace.ID, audit.WorkspaceEdited); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if err := h.DeleteWorkspace(t.Context(), h.by(h.owner), h.Slug); err != nil {
		t.Error(err)
	}
}

// TestSweep: what is over goes, what is not stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", password)
	for _, address := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3"} {
		if _, _, err := i.SignIn(t.Context(), from(address), ada.Email, password, "test", ""); err != nil {
			t.Fatal(err)
		}
		i.SignIn(t.Context(), from(address), ada.Email, "not the password", "test", "")
	}
	for range 2 {
		if _, err := i.ResetUser(t.Context(), cli, ada.Email); err != nil {
			t.Fatal(err)
		}
	}
	i.exec(t, `INSERT INTO sessions (token_hash, user_id, address, user_agent, expires_at) SELECT sha256(n::text::bytea), $1, '', '', now() + interval '1 hour' FROM generate_series(1, 3) AS n`, ada.ID)
	i.exec(t, `UPDATE sessions SET expires_at = now() WHERE token_hash = sha256('1'::bytea)`)
	i.exec(t, `UPDATE sessions SET last_seen_at = now() - interval '2 days' WHERE token_hash = sha256('2'::bytea)`)
	i.exec(t, `UPDATE one_time_links SET expires_at = now() - interval '8 days' WHERE token_hash = (SELECT token_hash FROM one_time_links ORDER BY token_hash LIMIT 1)`)
	i.exec(t, `UPDATE sign_in_failures SET last_at = now() - interval '2 days' WHERE subject LIKE '%198.51.100.1%'`)
	tables := []string{"sessions", "one_time_links", "sign_in_failures"}
	var before []int
	for _, table := range tables {
		before = append(before, i.count(t, `SELECT count(*) FROM `+table))
	}
	old := i.count(t, `SELECT count(*) FROM sign_in_failures WHERE last_at < now() - interval '1 day' AND subject NOT LIKE 'refused %'`)
	if err := i.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, gone := range []int{2, 1, old} {
		if after := i.count(t, `SELECT count(*) FROM `+tables[n]); gone == 0 || before[n]-after != gone {
			t.Errorf("%s: %d before and %d after, want %d fewer", tables[n], before[n], after, gone)
		}
	}
}

// TestUnknownAddressIsNotKept: what somebody types where their address should be
// may be their password; it is in no table.
func TestUnknownAddressIsNotKept(t *testing.T) {
	t.Parallel()
	i := open(t)
	const typed = "my secret passphrase@example.com"
	if _, _, err := i.SignIn(t.Context(), from("198.51.100.1"), typed, "x", "test", ""); kind(t, err) != fault.Unauthenticated {
		t.Fatalf("signing in as nobody = %v", err)
	}
	var tables []string
	if err := i.raw.Select(&tables, `SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`); err != nil || len(tables) < 10 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, table := range tables {
		if n := i.count(t, fmt.Sprintf(`SELECT count(*) FROM %s AS r WHERE strpos(r::text, 'secret passphrase') > 0`, table)); n != 0 {
			t.Errorf("table %s has what was typed", table)
		}
	}
}
