package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

// matrix says of each route what it asks for beside its path, and how a token that
// may read is answered. A new route needs one line here.
var matrix = map[string]struct {
	query string
	open  bool // to anybody
	own   int
}{
	"/api/v1/openapi.json":         {open: true, own: 200},
	"/api/v1/signals":              {query: "after={cursor}", own: 200},
	"/api/v1/signals/stream":       {query: "after={cursor}&suspect=maybe", own: 400}, // a stream has no end; the way in is the same
	"/api/v1/signals/{id}":         {own: 200},
	"/api/v1/signals/{id}/body":    {own: 200},
	"/api/v1/changes":              {query: "after={change}", own: 200},
	"/api/v1/marks/{mark}/signals": {own: 200},
	"/api/v1/":                     {open: true, own: 404},
}

// A caller is a program, with what it presents.
type caller struct {
	name   string
	works  bool
	header http.Header
}

const marker = "sparrow"

// A mesh asks every route as everybody for everything.
type mesh struct {
	*stage
	raw           *sqlx.DB
	callers       []caller
	home, foreign map[string]string // ids by what they are of
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	s := newStage(t)
	m := &mesh{stage: s, raw: s.Raw()}
	m.home, m.foreign = m.plant(s.home, "finch"), m.plant(s.foreign, marker)
	off, over := s.issue(s.home, "off"), s.issue(s.home, "over")
	s.Raw().MustExec(`UPDATE tokens SET is_active = false WHERE id = $1`, off.Token.ID)
	s.Raw().MustExec(`UPDATE tokens SET expires_at = now() WHERE id = $1`, over.Token.ID)
	bearer := func(texts ...string) http.Header {
		h := http.Header{}
		for _, text := range texts {
			h.Add("Authorization", "Bearer "+text)
		}
		return h
	}
	own := s.home.token.Text.Reveal()
	m.callers = []caller{
		{"a token", true, bearer(own)},
		{"nobody", false, nil},
		{"a token that was stopped", false, bearer(off.Text.Reveal())},
		{"a token that is over", false, bearer(over.Text.Reveal())},
		{"an unknown token", false, bearer("kht_" + own[4:len(own)-1] + "x")},
		{"two tokens", false, bearer(own, s.foreign.token.Text.Reveal())},
		{"a session", false, http.Header{"Cookie": {"kh_s=" + uuid.NewString()}}},
		{"an API key", false, http.Header{"X-Api-Key": {own}}},
	}
	return m
}

// plant stores a signal with a word in it, and returns what can be named.
func (m *mesh) plant(w workspace, word string) map[string]string {
	m.t.Helper()
	a := m.arrival(w, "ref-"+word, "application/json", `{"word":"`+word+`"}`)
	m.add(a)
	mark, err := m.events.MarkSuspect(m.t.Context(), w.by, inbox.Mark{KeyID: w.key.ID, From: time.Now().Add(-time.Hour), Until: time.Now(), Reason: word})
	if err != nil {
		m.t.Fatal(err)
	}
	var list page
	bearer := http.Header{"Authorization": {"Bearer " + w.token.Text.Reveal()}}
	m.do("/api/v1/signals", bearer).json(m.t, &list)
	var change string
	if err := m.raw.Get(&change, `SELECT id FROM signal_changes WHERE workspace_id = $1`, w.id); err != nil {
		m.t.Fatal(err)
	}
	return map[string]string{"id": a.ID.String(), "mark": mark.ID.String(), "cursor": list.Cursor, "change": change}
}

func (m *mesh) do(path string, header http.Header) answer {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	m.api.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.Bytes()}
}

// ask names ids in the path and the query of a route.
func (m *mesh) ask(pattern string, c caller, ids map[string]string) answer {
	path := pattern
	if query := matrix[pattern].query; query != "" {
		path += "?" + query
	}
	for name, id := range ids {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	return m.do(path, c.header)
}

// bytes is a whole answer but for the request's id and the time.
func (a answer) bytes() string {
	text := fmt.Sprintln(a.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		text += fmt.Sprintln(name, a.Header[name])
	}
	text += string(a.body)
	var told problem
	if json.Unmarshal(a.body, &told) == nil && told.ServerTime != "" {
		text = strings.ReplaceAll(text, told.ServerTime, "TIME")
	}
	return strings.ReplaceAll(text, a.Header.Get("X-Request-Id"), "REQUEST")
}

// unnamed is bytes without the ids that the request itself named.
func (a answer) unnamed(ids map[string]string) string {
	text := a.bytes()
	for _, id := range ids {
		text = strings.ReplaceAll(text, id, "ID")
	}
	return text
}

// patterns are the routes. One without a row, and a row without one, fails.
func (m *mesh) patterns() []string {
	m.t.Helper()
	known := m.api.Patterns()
	for _, pattern := range known {
		if _, ok := matrix[pattern]; !ok {
			m.t.Errorf("no row says who may use %s: add one to web/api/gate_test.go", pattern)
		}
	}
	for pattern := range matrix {
		if !slices.Contains(known, pattern) {
			m.t.Errorf("there is a row for %s, which is no route", pattern)
		}
	}
	return known
}

// TestMatrix asks every route with every credential for what is the token's, another
// workspace's, random and malformed.
func TestMatrix(t *testing.T) {
	t.Parallel()
	newMesh(t).all()
}

func (m *mesh) all() {
	m.t.Helper()
	random := map[string]string{"id": uuid.Must(uuid.NewV7()).String(), "mark": uuid.Must(uuid.NewV7()).String(), "cursor": "no-such-cursor", "change": uuid.Must(uuid.NewV7()).String()}
	malformed := map[string]string{"id": "x'--", "mark": "x'--", "cursor": "x'--", "change": "x'--"}
	rows := m.Watch()
	before := rows()
	for _, pattern := range m.patterns() {
		row := matrix[pattern]
		for _, c := range m.callers {
			want := row.own
			if !c.works && !row.open {
				want = 401
			}
			own, foreign, none, wrong := m.ask(pattern, c, m.home), m.ask(pattern, c, m.foreign), m.ask(pattern, c, random), m.ask(pattern, c, malformed)
			if own.StatusCode != want {
				m.t.Errorf("%s for %s = %d, want %d\n%.300s", pattern, c.name, own.StatusCode, want, own.body)
			}
			if a, b := foreign.unnamed(m.foreign), none.unnamed(random); a != b {
				m.t.Errorf("%s tells %s what is there:\n%s\n%s", pattern, c.name, a, b)
			}
			if named := strings.Contains(pattern, "{"); named && c.works && (foreign.StatusCode != 404 || wrong.bytes() != none.bytes()) {
				m.t.Errorf("%s for %s: another workspace's = %d, malformed = %d, want the same 404", pattern, c.name, foreign.StatusCode, wrong.StatusCode)
			}
			m.unmarked(pattern, c, own, foreign, none, wrong)
		}
	}
	after := rows()
	delete(before, "signal_readers") // how far the token came
	delete(after, "signal_readers")
	if diff := cmp.Diff(before, after); diff != "" {
		m.t.Errorf("reading changed something:\n%s", diff)
	}
}

// unmarked reports answers that show something of the foreign workspace.
func (m *mesh) unmarked(pattern string, c caller, answers ...answer) {
	m.t.Helper()
	for _, a := range answers {
		if text := a.bytes(); strings.Contains(text, marker) || strings.Contains(text, m.stage.foreign.key.ID.String()) {
			m.t.Errorf("%s shows %s something of another workspace:\n%.2000s", pattern, c.name, text)
		}
	}
}

// TestFirstWallAlone: the statements keep the workspaces apart by themselves.
func TestFirstWallAlone(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	pgtest.DropWalls(m.raw)
	m.all()
}

// TestSecondWallAlone: where the gate mistakes one workspace for another, the
// database gives nothing of that out.
func TestSecondWallAlone(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.api.Mistake(func(token keyring.Token) keyring.Token {
		token.WorkspaceID = m.stage.foreign.id
		return token
	})
	shown := func() (patterns []string) {
		for _, pattern := range m.patterns() {
			if a := m.ask(pattern, m.callers[0], m.foreign); strings.Contains(string(a.body), marker) {
				patterns = append(patterns, pattern)
			}
		}
		return patterns
	}
	if leaks := shown(); len(leaks) > 0 {
		t.Errorf("another workspace's signals are shown by %v", leaks)
	}
	pgtest.DropWalls(m.raw)
	if leaks := shown(); len(leaks) < 2 {
		t.Errorf("without any wall %v show them: the test does not see enough", leaks)
	}
}
