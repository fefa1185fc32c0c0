package web_test

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// A caller is somebody who asks: what they are in the home workspace, and with what
// they come.
type caller struct {
	name   string
	role   string // "": no member of the home workspace
	user   uuid.UUID
	known  bool // signed in
	header http.Header
}

// A target is what a request names: the slug in its path, and ids by placeholder.
type target struct {
	name, slug string
	ids        map[string]string
}

// ownsForeign tells whether a caller is the foreign workspace's owner, whose home that is.
func (c caller) ownsForeign() bool { return c.name == "another workspace's owner" }

// A mesh asks every route as everybody for everything.
type mesh struct {
	*stage
	callers       []caller
	home, foreign target
}

// marker is in what people and senders wrote in the foreign workspace, beside its name.
const marker = "sparrow"

func newMesh(t *testing.T) *mesh {
	t.Helper()
	s := newFurnishedStage(t)
	m := &mesh{stage: s, home: s.targetOf("home", &s.home), foreign: s.targetOf("foreign", &s.foreign)}
	s.Raw().MustExec(`UPDATE users SET name = name || ' sparrow' WHERE id = $1`, s.foreign.owner)
	s.Raw().MustExec(`UPDATE webhook_keys SET note = 'sparrow', labels = '{sparrow}' WHERE workspace_id = $1`, s.foreign.id)
	member, disabled, removed := s.join("member"), s.join("admin"), s.join("owner")
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, member, s.home.key.ID)
	who := func(name, role string, user uuid.UUID) caller {
		return caller{name, role, user, true, http.Header{"Cookie": {"kh_s=" + s.sessionOf(user)}}}
	}
	m.home.ids["owner"] = member.String()
	m.home.ids["user"] = s.join("member").String()
	s.join("owner") // so that the other may leave
	m.callers = []caller{
		who("the owner", "owner", s.home.owner), who("an admin", "admin", s.join("admin")), who("a member", "member", member),
		who("an auditor", "auditor", s.join("auditor")), who("another workspace's owner", "", s.foreign.owner), who("a removed member", "", removed),
		{name: "nobody"},
		{name: "a token", header: http.Header{"Authorization": {"Bearer " + s.tokenText}}},
		who("a disabled user", "", disabled), who("an ended session", "", s.home.owner),
	}
	s.Raw().MustExec(`DELETE FROM memberships WHERE user_id = $1`, removed)
	s.Raw().MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, disabled)
	last := &m.callers[len(m.callers)-1]
	s.Raw().MustExec(`UPDATE sessions SET last_seen_at = now() - interval '31 minutes' WHERE encode(token_hash, 'hex') = encode(sha256($1::bytea), 'hex')`,
		strings.TrimPrefix(last.header.Get("Cookie"), "kh_s="))
	last.known, m.callers[len(m.callers)-2].known = false, false
	m.revive()
	return m
}

// revive puts back what the next one who asks needs: who belongs to the home
// workspace and as what, their second factors, the invitation, and the workspace.
func (m *mesh) revive() {
	m.t.Helper()
	const belongs = `
		INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)
		ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role WHERE memberships.role <> excluded.role`
	const factor = `INSERT INTO second_factors (user_id, sealed, confirmed_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING`
	home := m.stage.home.id
	m.Raw().MustExec(belongs, home, m.stage.home.member, "member")
	for _, c := range m.callers {
		if c.role != "" {
			m.Raw().MustExec(belongs, home, c.user, c.role)
		}
		if c.known {
			m.Raw().MustExec(factor, c.user, m.box.Seal([]byte("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"), "second_factor", c.user.String()))
		}
	}
	m.Raw().MustExec(`UPDATE invitations SET withdrawn_at = NULL WHERE id = $1 AND withdrawn_at IS NOT NULL`, m.stage.home.invitation)
	m.Raw().MustExec(`
		UPDATE workspaces SET name = 'Home', require_second_factor = false, deleting_at = NULL, deleting_by = '', deleting_actor = ''
		WHERE id = $1 AND (name <> 'Home' OR require_second_factor OR deleting_at IS NOT NULL)`, home)
}

// targetOf makes what the routes of a workspace name, and returns how to name it.
func (s *stage) targetOf(name string, w *workspace) target {
	s.t.Helper()
	by := audit.Actor{WorkspaceID: w.id, Kind: audit.User, UserID: w.owner, Label: "Owner", Role: "owner"}
	text := map[string]string{"foreign": marker}[name]
	w.at = s.request(*w, `{"canary":"`+text+`"}`, func(a *inbox.Arrival) { a.SourceRef, a.EventType = "ref-"+name+text, "type."+text })
	link, _, err := s.keys.HandOver(s.t.Context(), by, w.key.ID, keyring.HandoverDraft{Recipient: "R " + text, Note: text, Nonce: "n"})
	if err != nil {
		s.t.Fatal(err)
	}
	until := time.Now().UTC().Add(-time.Hour)
	mark, err := s.events.MarkSuspect(s.t.Context(), by, inbox.Mark{KeyID: w.key.ID, From: until.Add(-time.Hour), Until: until, Reason: "R " + text})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Raw().MustExec(`UPDATE invitations SET email = $2 || email WHERE id = $1`, w.invitation, text)
	entries, err := s.trail.All(s.t.Context(), w.id.String(), 0, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	return target{name, w.slug, map[string]string{
		"member": w.member.String(), "user": w.owner.String(), "review": w.review.String(), "invitation": w.invitation.String(),
		"hash": hex.EncodeToString(entries[0].Hash), "name": strings.ToUpper(name[:1]) + name[1:],
		"key": w.key.ID.String(), "token": w.token.ID.String(), "signal": w.at.String(), "request": w.at.String(), "batch": w.batch.String(),
		"mark": mark.ID.String(), "link": link.ID.String(), "owner": w.owner.String(), "ref": "ref-" + name + text, "source": w.key.Source,
	}}
}

// random and malformed name nothing.
func (m *mesh) random() target {
	t := target{"random", m.home.slug, map[string]string{}}
	for name := range m.home.ids {
		t.ids[name] = uuid.Must(uuid.NewV7()).String()
	}
	t.ids["hash"] = strings.Repeat("0f", 32)
	return t
}

func (m *mesh) malformed() target {
	t := target{"malformed", m.home.slug, map[string]string{}}
	for name := range m.home.ids {
		t.ids[name] = "x'--"
	}
	return t
}

func (t target) at(slug string) target {
	t.slug = slug
	return t
}

func (t target) fill(text string, escape func(string) string) string {
	for name, id := range t.ids {
		text = strings.ReplaceAll(text, "{"+name+"}", escape(id))
	}
	return strings.NewReplacer("{workspace}", url.PathEscape(t.slug), "{$}", "").Replace(text)
}
