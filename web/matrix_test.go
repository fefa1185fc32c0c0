package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ask sends what the row of a route says. The ids in the path are those of in, the
// ones in the form those of with.
func (m *mesh) ask(pattern string, c caller, in, with target, htmx bool) answer {
	m.t.Helper()
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodGet, "/nowhere"
	}
	path, sends := in.fill(path, url.PathEscape), with.fill(matrix[pattern].sends, url.QueryEscape)
	form := strings.NewReader("")
	if method == http.MethodPost {
		form = strings.NewReader(sends)
	} else if sends != "" {
		path += "?" + sends
	}
	if strings.HasSuffix(pattern, "/tail") {
		method = http.MethodHead // it has no end; the way in is the same
	}
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, form)
	maps.Copy(r.Header, c.header)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if htmx {
		r.Header.Set("HX-Request", "true")
		r.Header.Set("HX-Current-URL", "http://127.0.0.1/w/home/keys")
	}
	w := httptest.NewRecorder()
	m.web.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

var age = regexp.MustCompile(`\b\d+ (s|min|h)\b|\d\d:\d\d:\d\d UTC|\d{8}-\d{6}|T\d{6}Z`) // "here for 5 s", "As of 2026-11-29 02:55:43 UTC", a file's name

var nonceOf = regexp.MustCompile(`'nonce-([^']+)'`)

// bytes is the whole of an answer, headers too, but for the nonce and the request's id.
func (a answer) bytes() string {
	text := fmt.Sprintln(a.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		text += fmt.Sprintln(name, a.Header[name])
	}
	text += a.body
	if nonce := nonceOf.FindStringSubmatch(a.Header.Get("Content-Security-Policy")); nonce != nil {
		text = strings.ReplaceAll(text, nonce[1], "NONCE")
	}
	return strings.ReplaceAll(text, a.Header.Get("X-Request-Id"), "REQUEST")
}

// unnamed is bytes without the time, and without the ids that requests themselves
// named: the trail repeats them.
func (a answer) unnamed(targets ...target) string {
	text := a.bytes()
	for _, t := range targets {
		for _, id := range t.ids {
			text = strings.ReplaceAll(text, id, "ID")
		}
	}
	return age.ReplaceAllString(text, "AGE")
}

// alike reports answers that differ.
func (m *mesh) alike(pattern string, c caller, answers map[string]string) {
	m.t.Helper()
	names := slices.Sorted(maps.Keys(answers))
	for _, name := range names[1:] {
		if a, b := answers[names[0]], answers[name]; a != b {
			m.t.Errorf("%s tells %s what is there: %s and %s differ:\n%s", pattern, c.name, names[0], name, difference(a, b))
		}
	}
}

// difference is where two texts part, from both.
func difference(a, b string) string {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	at = max(0, at-80)
	return fmt.Sprintf("- %.240q\n+ %.240q", a[min(at, len(a)):], b[min(at, len(b)):])
}

// may tells whether a caller may use a route in the home workspace.
func (c caller) may(r row) bool {
	return c.role != "" && slices.Contains(strings.Fields(contract[r.may]), c.role)
}

// refuses asks for everything that must be refused. kinds are pages (false) and
// pieces for htmx (true).
func (m *mesh) refuses(pattern string, kinds ...bool) {
	m.t.Helper()
	r := matrix[pattern]
	named := strings.Count(pattern, "{") > 1 && !strings.Contains(pattern, "{$}")
	before := m.rows()
	for _, c := range m.callers {
		for _, htmx := range kinds {
			random, malformed := m.random(), m.malformed()
			theirs, others := m.home, m.foreign
			if c.ownsForeign() {
				theirs, others = m.foreign, m.home
			}
			elsewhere := []target{others, others.at("no-such-place"), others.at("A\x00B")}
			here, wanted := []target{others.at(theirs.slug), random.at(theirs.slug), malformed.at(theirs.slug)}, 404
			switch mayHere := c.may(r) || c.ownsForeign(); {
			case mayHere && !named:
				here = nil // it is theirs, whatever the form says: allows and mixes ask for that
			case !mayHere:
				here = append(here, theirs)
				if c.role != "" {
					wanted = 403
				}
			}
			if !c.known { // they are sent to sign in before anything is looked at
				elsewhere, here = elsewhere[:1], []target{theirs, malformed}
			}
			for i, targets := range [][]target{elsewhere, here} {
				answers, want := map[string]string{}, []int{404, wanted}[i]
				for _, t := range targets {
					got := m.ask(pattern, c, t, t, htmx)
					m.checkRefused(pattern, c, t, got, want, htmx)
					if pattern == looksUp && got.StatusCode == 404 {
						got.body = ""
					}
					if c.known {
						answers[t.name+" at "+t.slug] = got.bytes()
					}
				}
				if len(answers) > 0 {
					m.alike(pattern, c, answers)
				}
			}
		}
	}
	if diff := cmp.Diff(before, m.rows()); diff != "" {
		m.t.Errorf("%s, refused, changed something:\n%s", pattern, diff)
	}
}

// checkRefused holds one refusal against what it must be.
func (m *mesh) checkRefused(pattern string, c caller, t target, got answer, want int, htmx bool) {
	m.t.Helper()
	to := got.Header.Get("Location")
	switch {
	case !c.known && htmx:
		want, to = 401, "/sign-in"
	case !c.known:
		want = 303
	default:
		to = "/sign-in"
	}
	if got.StatusCode != want || !strings.HasPrefix(to, "/sign-in") {
		m.t.Errorf("%s for %s, %s ids at %q, htmx %v = %d to %q, want %d", pattern, c.name, t.name, t.slug, htmx, got.StatusCode, to, want)
	}
	if !c.ownsForeign() {
		m.unmarked(pattern, c, got)
	}
}

// unmarked reports an answer that shows something of the foreign workspace.
func (m *mesh) unmarked(pattern string, c caller, got answer) {
	m.t.Helper()
	text := got.bytes()
	for _, trace := range []string{marker, "Foreign", "foreign-key"} {
		if strings.Contains(text, trace) {
			m.t.Errorf("%s shows %s something of another workspace:\n%.3000s", pattern, c.name, text)
		}
	}
}

// mixes asks for what is the caller's own, with ids of other workspaces in the form.
func (m *mesh) mixes(pattern string) {
	m.t.Helper()
	r := matrix[pattern]
	if !strings.Contains(r.sends, "{") {
		return
	}
	for _, c := range m.callers {
		if !c.may(r) {
			continue
		}
		before, random := m.rows(), m.random()
		foreign, none := m.ask(pattern, c, m.home, m.foreign, false), m.ask(pattern, c, m.home, random, false)
		m.alike(pattern, c, map[string]string{"foreign in the form": foreign.unnamed(m.foreign, random), "random in the form": none.unnamed(m.foreign, random)})
		for _, t := range m.foreign.ids {
			foreign.body = strings.ReplaceAll(foreign.body, t, "ID") // what the request said itself
		}
		m.unmarked(pattern, c, foreign)
		after := m.rows()
		if got := foreign.StatusCode; got >= 400 {
			if diff := cmp.Diff(before, after); diff != "" {
				m.t.Errorf("%s, refused by %d, changed something:\n%s", pattern, got, diff)
			}
		}
	}
}

// allows asks for what must be given. The first who may does it.
func (m *mesh) allows(pattern string) {
	m.t.Helper()
	r, first := matrix[pattern], true
	for _, c := range m.callers {
		if !c.may(r) {
			continue
		}
		got := m.ask(pattern, c, m.home, m.home, false)
		m.revive()
		done := got.StatusCode == 200 || got.StatusCode == 303
		switch {
		case r.own != 0 && got.StatusCode == r.own, r.own == 0 && done:
		case r.own == 0 && !first && strings.HasPrefix(pattern, "POST ") && (got.StatusCode == 409 || got.StatusCode == 422): // it is done already
		default:
			m.t.Errorf("%s for %s = %d, want it done\n%.200s", pattern, c.name, got.StatusCode, got.body)
		}
		m.unmarked(pattern, c, got)
		first = false
	}
}

// opens asks the routes outside of workspaces.
func (m *mesh) opens(pattern string) {
	m.t.Helper()
	r := matrix[pattern]
	for _, c := range m.callers {
		if c.known && (pattern == "POST /sign-out" || pattern == "POST /sign-in") {
			continue // the session is needed
		}
		answers := map[string]string{}
		targets := []target{m.home, m.foreign, m.random(), m.malformed()}
		if !strings.Contains(pattern, "{") || strings.Contains(pattern, "{$}") {
			targets = targets[:1]
		}
		for _, t := range targets {
			got, want := m.ask(pattern, c, t, t, false), r.own
			if r.may == "signed in" && !c.known {
				want = 303
			}
			if ok := got.StatusCode == want || want == 0 && (got.StatusCode == 200 || got.StatusCode == 303); !ok {
				m.t.Errorf("%s for %s = %d, want %d (0: done)\n%.200s", pattern, c.name, got.StatusCode, want, got.body)
			}
			answers[t.name] = got.bytes()
		}
		m.alike(pattern, c, answers)
	}
}

// patterns are the routes in a workspace and the others. A route without a row, and
// a row without a route, fails.
func (m *mesh) patterns() (inside, outside []string) {
	m.t.Helper()
	known := m.web.Patterns()
	for _, pattern := range known {
		r, ok := matrix[pattern]
		switch {
		case !ok:
			m.t.Errorf("no row says who may use %s: add one to web/matrix_rows_test.go", pattern)
		case r.may == "anybody" || r.may == "signed in":
			outside = append(outside, pattern)
		case contract[r.may] == "" || !strings.Contains(pattern, "{workspace}"):
			m.t.Errorf("%s: %q is not in the contract, or the route is in no workspace", pattern, r.may)
		default:
			inside = append(inside, pattern)
		}
	}
	for pattern := range matrix {
		if !slices.Contains(known, pattern) {
			m.t.Errorf("there is a row for %s, which is no route", pattern)
		}
	}
	return inside, outside
}

// TestMatrix asks every route as everybody, as a page and as a piece of one, for
// what is theirs, another workspace's, random and malformed.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	inside, outside := m.patterns()
	for _, pattern := range inside {
		m.refuses(pattern, false, true)
	}
	for _, pattern := range outside {
		m.opens(pattern)
	}
	for _, pattern := range inside {
		m.mixes(pattern)
		m.allows(pattern)
	}
}
