package evidence_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/pquerna/otp/hotp"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// TestReplayEqualsTables does whatever can be done to keys and people, in any order.
// What a review rebuilds from the trail is what the tables hold: at the end, and at
// a moment in between, though it is made only afterwards.
func TestReplayEqualsTables(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			life := &life{world: w, random: rand.New(rand.NewPCG(seed, 1))}
			for range 45 {
				life.step()
			}
			between, then := life.tables(), until()
			for range 45 {
				life.step()
			}
			if life.factors == 0 {
				t.Error("nobody got a second factor")
			}
			if life.done < 45 {
				t.Errorf("only %d of 90 steps did something", life.done)
			}
			_, file := w.review(w.ada, until())
			if diff := cmp.Diff(life.tables(), rebuilt(t, file)); diff != "" {
				t.Errorf("now (-tables +replayed):\n%s", diff)
			}
			_, file = w.review(w.ada, then)
			if diff := cmp.Diff(between, rebuilt(t, file)); diff != "" {
				t.Errorf("in between (-tables +replayed):\n%s", diff)
			}
			w.verify("a long life", file, "ok")
		})
	}
}

// A life does random things.
type life struct {
	*world
	random  *rand.Rand
	people  []account.User
	keys    []uuid.UUID
	done    int
	factors int // that were set up
}

func (l *life) step() {
	ctx, by := l.t.Context(), l.ada
	name := fmt.Sprint("thing ", l.random.IntN(1000))
	var err error
	switch l.random.IntN(14) {
	case 0, 1:
		user := l.newUser(name)
		l.people = append(l.people, user)
		err = l.accounts.AddMember(ctx, by, l.workspace.Slug, user.Email, account.Roles()[l.random.IntN(4)])
	case 2:
		err = l.accounts.AddMember(ctx, by, l.workspace.Slug, l.person().Email, account.Roles()[l.random.IntN(4)])
	case 3:
		err = l.accounts.RemoveMember(ctx, by, l.workspace.Slug, l.person().Email)
	case 4:
		err = l.accounts.DisableUser(ctx, cli, l.person().Email)
	case 5:
		err = l.accounts.DeleteUser(ctx, cli, l.person().ID)
	case 6, 7:
		var issued keyring.Issued
		if issued, err = l.world.keys.Issue(ctx, by, l.draft(name), ""); err == nil {
			l.keys = append(l.keys, issued.Key.ID)
		}
	case 8:
		_, err = l.world.keys.Edit(ctx, by, l.key(), l.draft(name))
	case 9:
		if _, err = l.world.keys.Deactivate(ctx, by, l.key(), ""); err == nil && l.random.IntN(2) == 0 {
			_, err = l.world.keys.Reactivate(ctx, by, l.key())
		}
	case 10:
		_, err = l.world.keys.Rotate(ctx, by, l.key(), keyring.Rotation{})
	case 11:
		err = l.importOne(name)
	case 12, 13:
		err = l.changeFactor(l.person())
	}
	if _, known := fault.Of(err); err != nil && !known {
		l.t.Fatal(err)
	}
	if err == nil {
		l.done++
	}
}

// changeFactor gives somebody a second factor, or takes theirs away in either way.
func (l *life) changeFactor(user account.User) error {
	ctx, by := l.t.Context(), audit.Actor{Kind: audit.User, UserID: user.ID, Label: user.Name}
	if factor, err := l.accounts.SecondFactorOf(ctx, user.ID); err != nil || factor != nil {
		if l.random.IntN(2) == 0 {
			_, err = l.accounts.ResetUser(ctx, cli, user.Email)
			return err
		}
		return l.accounts.RemoveSecondFactor(ctx, by, user)
	}
	var there int
	if err := l.raw.Get(&there, `SELECT count(*) FROM users WHERE id = $1`, user.ID); err != nil || there == 0 {
		return err
	}
	secret, err := l.accounts.BeginSecondFactor(ctx, user.ID)
	if err != nil {
		return err
	}
	var now time.Time
	if err := l.raw.Get(&now, `SELECT now()`); err != nil {
		return err
	}
	code, err := hotp.GenerateCode(secret.Reveal(), uint64(now.Unix()/30))
	if err != nil {
		return err
	}
	if _, err = l.accounts.ConfirmSecondFactor(ctx, by, user, "", code); err == nil {
		l.factors++
	}
	return err
}

func (l *life) person() account.User {
	if len(l.people) == 0 {
		return account.User{}
	}
	return l.people[l.random.IntN(len(l.people))]
}

func (l *life) key() uuid.UUID {
	if len(l.keys) == 0 {
		return uuid.Nil
	}
	return l.keys[l.random.IntN(len(l.keys))]
}

func (l *life) draft(name string) keyring.Draft {
	draft := keyring.Draft{Name: name, Scheme: "generic", Source: strings.ReplaceAll(name, " ", "-")}
	if owner := l.person().ID; owner != uuid.Nil && l.random.IntN(3) > 0 {
		draft.OwnerID = &owner
	}
	if l.random.IntN(2) == 0 {
		ends := time.Now().Add(time.Duration(1+l.random.IntN(1000)) * time.Hour)
		draft.ExpiresAt = &ends
	}
	return draft
}

// importOne brings in a key by a table, which may be inactive and have an owner.
func (l *life) importOne(name string) error {
	text := fmt.Sprintf("name,sha256,is_active,owner\n%s,%064x,%v,%s\n", name, l.random.Uint64(), l.random.IntN(2) == 0, l.person().Email)
	file, err := keyring.ReadImport([]byte(text), time.Now())
	if err != nil {
		return err
	}
	plan, err := l.world.keys.ImportAll(l.t.Context(), l.ada, file)
	if err == nil {
		l.keys = append(l.keys, plan.Keys[0].ID)
	}
	return err
}

// A state is how things stand, in words.
type state struct{ Keys, People, Creators []string }

func (l *life) tables() (s state) {
	l.t.Helper()
	const keys = `
		SELECT concat_ws('|', id, name, scheme, is_active, owner_id, to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
		FROM webhook_keys WHERE workspace_id = $1 ORDER BY id`
	const people = `
		SELECT concat_ws('|', u.id, u.name, u.email, m.role, u.disabled_at IS NOT NULL,
			CASE WHEN EXISTS (SELECT FROM second_factors AS f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL) THEN 'totp' ELSE 'none' END) FROM memberships AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.workspace_id = $1 ORDER BY u.id`
	const creators = `
		SELECT concat_ws('|', u.id, m.role) FROM memberships AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.workspace_id = $1 AND m.role <> 'auditor' AND u.disabled_at IS NULL ORDER BY u.id`
	for query, into := range map[string]*[]string{keys: &s.Keys, people: &s.People, creators: &s.Creators} {
		if err := l.raw.Select(into, query, l.workspace.ID); err != nil {
			l.t.Fatal(err)
		}
	}
	return s
}

// rebuilt is the same out of a review's file.
func rebuilt(t *testing.T, file []byte) (s state) {
	t.Helper()
	lines := parsed(t, file)
	join := func(parts ...any) string {
		var words []string
		for _, part := range parts {
			if word, ok := part.(string); ok && word == "" || part == nil {
				continue
			}
			words = append(words, strings.NewReplacer("true", "t", "false", "f").Replace(fmt.Sprint(part)))
		}
		return strings.Join(words, "|")
	}
	for _, k := range lines["key"] {
		owner := k["owner"].(map[string]any)
		id := owner["id"]
		if owner["standing"] == "deleted" {
			id = ""
		}
		s.Keys = append(s.Keys, join(k["id"], k["name"], k["scheme"], k["active"], id, k["expires_at"]))
	}
	for _, p := range lines["person"] {
		s.People = append(s.People, join(p["id"], p["name"], p["email"], p["role"], p["disabled"], p["second_factor"]))
	}
	for _, c := range lines["could_create_keys"] {
		if c["until"] == nil {
			s.Creators = append(s.Creators, join(c["id"], c["role"]))
		}
	}
	for _, list := range [][]string{s.Keys, s.People, s.Creators} {
		slices.Sort(list)
	}
	return s
}

// TestWhoCouldCreateKeys follows one person through all that changes what they may.
func TestWhoCouldCreateKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ben := w.newUser("Ben")
	ctx := t.Context()
	for _, change := range []func() error{
		func() error { return w.accounts.AddMember(ctx, w.ada, w.workspace.Slug, ben.Email, account.Admin) },
		func() error { return w.accounts.RemoveMember(ctx, w.ada, w.workspace.Slug, ben.Email) },
		func() error { return w.accounts.AddMember(ctx, w.ada, w.workspace.Slug, ben.Email, account.Auditor) },
		func() error { return w.accounts.RemoveMember(ctx, w.ada, w.workspace.Slug, ben.Email) },
		func() error { return w.accounts.AddMember(ctx, w.ada, w.workspace.Slug, ben.Email, account.RoleMember) },
		func() error { return w.accounts.DisableUser(ctx, cli, ben.Email) },
		func() error { return w.accounts.DeleteUser(ctx, cli, ben.ID) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	_, file := w.review(w.ada, until())
	var got []string
	for _, c := range parsed(t, file)["could_create_keys"] {
		if c["id"] == ben.ID.String() {
			got = append(got, fmt.Sprint(c["name"], " as ", c["role"], " until ", c["ended_by"], " ", c["until"].(string) > c["from"].(string)))
		}
	}
	want := []string{"Ben as admin until member.removed true", "Ben as member until user.disabled true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who could create keys (-want +got):\n%s", diff)
	}
	if text := string(file); strings.Contains(text, `"line":"person","id":"`+ben.ID.String()) {
		t.Error("somebody who was deleted is still a member")
	}
}

// TestSpans: days and quarters, of which the end counts; nothing else.
func TestSpans(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 30, 0, 123456789, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"2026-09-30": "2026-09-30T00:00:00Z 2026-10-01T00:00:00Z true", " 2026-q3 ": "2026-07-01T00:00:00Z 2026-10-01T00:00:00Z true",
		"2026-Q4": "2026-10-01T00:00:00Z 2026-11-29T11:30:00.123456Z false", "2026-11-29": "2026-11-29T00:00:00Z 2026-11-29T11:30:00.123456Z false",
		"2024-02-29": "2024-02-29T00:00:00Z 2024-03-01T00:00:00Z true", "2026-11-28": "2026-11-28T00:00:00Z 2026-11-29T00:00:00Z true",
	} {
		span, err := evidence.ParseSpan(text, now)
		if got := fmt.Sprint(span.From.Format(time.RFC3339Nano), " ", span.Until.Format(time.RFC3339Nano), " ", span.Whole); err != nil || got != want {
			t.Errorf("ParseSpan(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "2026", "2026-Q0", "2026-Q5", "2026-Q", "2026-Q11", "26-Q1", "2026Q1", "2026-13-01", "2026-02-30", "2027-Q1", "2026-11-30", "9999-12-31", "0001-01-01",
		"1999-Q4", "-026-Q1", "2026-09-30T00:00:00Z", "2026-Q3\x00", strings.Repeat("2", 1<<16),
	} {
		if _, err := evidence.ParseSpan(text, now); kindOf(err) != fault.Invalid {
			t.Errorf("ParseSpan(%.40q) = %v, want Invalid", text, err)
		}
	}
	for month, want := range map[time.Month]string{1: "2025-Q4", 3: "2025-Q4", 4: "2026-Q1", 6: "2026-Q1", 7: "2026-Q2", 10: "2026-Q3", 12: "2026-Q3"} {
		for _, day := range []int{1, 28, 30, 31} {
			if got := evidence.LastQuarter(time.Date(2026, month, min(day, 30), 1, 0, 0, 0, time.UTC)); got != want {
				t.Errorf("LastQuarter in %v = %s, want %s", month, got, want)
			}
		}
	}
}
