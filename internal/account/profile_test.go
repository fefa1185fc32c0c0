package account_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/pgtest"
)

// TestZones: every zone that is offered is one.
func TestZones(t *testing.T) {
	t.Parallel()
	zones := account.Zones()
	if len(zones) < 400 {
		t.Errorf("%d zones", len(zones))
	}
	for _, zone := range zones {
		if at, err := time.LoadLocation(zone); err != nil || at.String() != zone {
			t.Errorf("%s = %v, %v", zone, at, err)
		}
	}
}

func TestProfileAndPreferences(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name}
	again := func() account.User {
		users, err := i.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return users[0]
	}
	for _, name := range []string{"", " \t", strings.Repeat("é", 81), "Ada\u202eevil"} {
		if err := i.Rename(t.Context(), by, ada, name); kindOf(err) != fault.Invalid {
			t.Errorf("Rename(%q) = %v", name, err)
		}
	}
	if err := i.Rename(t.Context(), by, ada, "  Ada   Lovelace "); err != nil || again().Name != "Ada Lovelace" {
		t.Errorf("%v, now %q", err, again().Name)
	}
	if err := i.Rename(t.Context(), by, again(), "Ada Lovelace"); err != nil {
		t.Error(err)
	}
	for _, zone := range []string{"Local", "Europe/Nowhere", "../../etc/passwd", "Europe/Berlin\x00", strings.Repeat("x", 10_000), "berlin"} {
		if err := i.Prefer(t.Context(), by, ada, account.Preferences{TimeZone: zone}); kindOf(err) != fault.Invalid {
			t.Errorf("the zone %.30q = %v", zone, err)
		}
	}
	if err := i.Prefer(t.Context(), by, ada, account.Preferences{TimeZone: "Asia/Kolkata", ShortcutsOff: true}); err != nil {
		t.Error(err)
	}
	if got := again(); got.Location().String() != "Asia/Kolkata" || !got.ShortcutsOff {
		t.Errorf("%+v", got)
	}
	if err := i.Prefer(t.Context(), by, again(), account.Preferences{TimeZone: "UTC"}); err != nil || again().TimeZone != "" || again().Location() != time.UTC {
		t.Errorf("%v, %+v", err, again())
	}
	if a, b := i.entries(t, uuid.Nil, audit.UserEdited), i.entries(t, uuid.Nil, audit.PreferencesChanged); a != 1 || b != 2 {
		t.Errorf("%d and %d entries, want 1 and 2", a, b)
	}
}

func TestOwnSessions(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, bo := i.user(t, "ada@example.com", password), i.user(t, "bo@example.com", password)
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name}
	open := func(user account.User) (string, uuid.UUID) {
		token, _, err := i.SignIn(t.Context(), from("192.0.2.1"), user.Email, password, "A browser", "")
		if err != nil {
			t.Fatal(err)
		}
		session, err := i.Session(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return token, session.ID
	}
	alive := func(token string) bool {
		_, err := i.Session(t.Context(), token)
		return err == nil
	}
	first, firstID := open(ada)
	second, secondID := open(ada)
	third, _ := open(ada)
	others, othersID := open(bo)
	list, err := i.Sessions(t.Context(), ada.ID)
	if err != nil || len(list) != 3 || list[0].UserAgent != "A browser" || list[0].Address != "192.0.2.1" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := i.EndSession(t.Context(), by, ada, othersID); err != nil || !alive(others) {
		t.Errorf("somebody else's session: %v, alive %v", err, alive(others))
	}
	for range 2 { // the second changes nothing
		if err := i.EndSession(t.Context(), by, ada, secondID); err != nil || alive(second) {
			t.Errorf("%v, alive %v", err, alive(second))
		}
	}
	if err := i.EndOtherSessions(t.Context(), by, ada, firstID); err != nil || !alive(first) || alive(third) || !alive(others) {
		t.Errorf("%v; this %v, another %v, somebody else's %v", err, alive(first), alive(third), alive(others))
	}
	if n := i.entries(t, uuid.Nil, audit.SessionsEnded); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}

	// An admin ends a member's, but no owner's and no stranger's.
	w, err := i.CreateWorkspace(t.Context(), cli, "Team", ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	admin := audit.Actor{Kind: audit.User, WorkspaceID: w.ID, Role: "admin"}
	if _, err := i.EndMemberSessions(t.Context(), admin, bo.ID); kindOf(err) != fault.NotFound || !alive(others) {
		t.Errorf("a stranger's = %v", err)
	}
	if _, err := i.EndMemberSessions(t.Context(), admin, ada.ID); kindOf(err) != fault.Forbidden || !alive(first) {
		t.Errorf("an owner's = %v", err)
	}
	if err := i.AddMember(t.Context(), cli, w.Slug, bo.Email, account.RoleMember); err != nil {
		t.Fatal(err)
	}
	if who, err := i.EndMemberSessions(t.Context(), admin, bo.ID); err != nil || alive(others) || who.ID != bo.ID {
		t.Errorf("a member's = %v, alive %v", err, alive(others))
	}
	if n := i.entries(t, w.ID, audit.MemberSessionsEnded); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestRequireSecondFactor(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	w, err := i.CreateWorkspace(t.Context(), cli, "Team", ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, WorkspaceID: w.ID, Role: "owner"}
	if err := i.RequireSecondFactor(t.Context(), by, ada, true); kindOf(err) != fault.Conflict {
		t.Errorf("asked for by who has none = %v", err)
	}
	ada.SecondFactor = true
	for range 2 {
		if err := i.RequireSecondFactor(t.Context(), by, ada, true); err != nil {
			t.Error(err)
		}
	}
	if m, err := i.Member(t.Context(), ada.ID, w.Slug); err != nil || !m.Workspace.RequireSecondFactor || m.User.SecondFactor {
		t.Errorf("%+v, %v", m, err)
	}
	if n := i.entries(t, w.ID, audit.SignInRuleChanged); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

// TestDeleteNamesWorkspaces: who is the last owner somewhere is told where.
func TestDeleteNamesWorkspaces(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada, bo := i.user(t, "ada@example.com", ""), i.user(t, "bo@example.com", "")
	by := audit.Actor{Kind: audit.User, UserID: ada.ID, Label: ada.Name}
	var made []account.Workspace
	for _, name := range []string{"Alone", "Alone too", "Shared"} {
		w, err := i.CreateWorkspace(t.Context(), cli, name, ada.ID)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, w)
	}
	if err := i.AddMember(t.Context(), cli, made[2].Slug, bo.Email, account.Owner); err != nil {
		t.Fatal(err)
	}
	err := i.DeleteUser(t.Context(), by, ada.ID)
	if kindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "Alone, Alone too.") || strings.Contains(err.Error(), "Shared") {
		t.Errorf("%v", err)
	}
	if owned, err := i.SolelyOwned(t.Context(), ada.ID); err != nil || len(owned) != 2 {
		t.Errorf("%v, %v", owned, err)
	}
	for _, w := range made[:2] {
		if err := i.AddMember(t.Context(), cli, w.Slug, bo.Email, account.Owner); err != nil {
			t.Fatal(err)
		}
	}
	before := i.count(t, `SELECT count(*) FROM audit_log`)
	if err := i.DeleteUser(t.Context(), by, ada.ID); err != nil {
		t.Fatal(err)
	}
	if n := i.count(t, `SELECT count(*) FROM audit_log`); n != before+4 { // one of each workspace, and the instance's
		t.Errorf("%d entries came, want 4", n-before)
	}
}

// TestThousandGuesses: of many addresses at once through two instances, nobody gets
// in, and the owner does.
func TestThousandGuesses(t *testing.T) {
	t.Parallel()
	db, box := pgtest.New(t), pgtest.Box(t)
	var instances [2]*account.Store
	for n := range instances {
		instances[n] = account.NewStore(db.Console(), box, pgtest.Log(t))
	}
	ada, _, err := instances[0].CreateUser(t.Context(), cli, "ada@example.com", "Ada", password)
	if err != nil {
		t.Fatal(err)
	}
	const addresses = 8
	var tried, other atomic.Int32
	var guessers sync.WaitGroup
	for address := range addresses {
		guessers.Go(func() {
			for n := range 1000 / addresses {
				_, _, err := instances[n%2].SignIn(t.Context(), from("203.0.113."+string(rune('1'+address))), ada.Email, "not the password", "test", "")
				switch kindOf(err) {
				case fault.Unauthenticated:
					tried.Add(1)
				case fault.TooMany, fault.Busy:
				default:
					other.Add(1)
				}
			}
		})
	}
	guessers.Wait()
	if n := tried.Load(); n > 11*addresses || other.Load() != 0 {
		t.Errorf("%d of 1000 guesses were looked at, %d ended otherwise", n, other.Load())
	}
	if _, _, err := instances[1].SignIn(t.Context(), from("198.51.100.1"), ada.Email, password, "test", ""); err != nil {
		t.Errorf("the owner is locked out: %v", err)
	}
}

func TestAskReset(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	visitor := audit.Actor{Kind: audit.System, Address: "192.0.2.1"}
	var links []string
	for n := range 5 {
		_, token, err := i.AskReset(t.Context(), visitor, "ADA@example.com")
		if err != nil || (token != "") != (n < 3) {
			t.Errorf("link %d = %q, %v; want three within an hour", n+1, token, err)
		}
		if token != "" {
			links = append(links, token)
		}
	}
	if _, token, err := i.AskReset(t.Context(), visitor, "nobody@example.com"); err != nil || token != "" {
		t.Errorf("for nobody = %q, %v", token, err)
	}
	if _, err := i.ChoosePassword(t.Context(), from("192.0.2.1"), links[1], password); err != nil {
		t.Error(err)
	}
	for _, link := range links { // one was used, and the others went with it
		if _, err := i.CheckLink(t.Context(), account.PurposePassword, link); kindOf(err) != fault.NotFound {
			t.Errorf("a link still works: %v", err)
		}
	}
	refused := 0
	for range 25 {
		if err := i.CountReset(t.Context(), "198.51.100.7"); kindOf(err) == fault.TooMany {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused != 5 {
		t.Errorf("%d of 25 from one address were refused, want 5", refused)
	}
	if n := i.entries(t, uuid.Nil, audit.ResetAsked); n != 3 {
		t.Errorf("%d entries, want 3; by %s", n, ada.Name)
	}
}
