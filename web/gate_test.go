package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// expected says what each role gets from a member's route on its own workspace
// and key. A GET that works is 200 or 303, a POST that works is 303; a form that
// is refused is 422.
var expected = map[string]struct {
	member, auditor int    // owner and admin get what a member gets of their own key
	form            string // what a POST sends
}{
	"GET /w/{workspace}/{$}":                           {303, 303, ""},
	"GET /w/{workspace}/overview":                      {200, 200, ""},
	"GET /w/{workspace}/keys":                          {200, 200, ""},
	"GET /w/{workspace}/keys/new":                      {200, 403, ""},
	"POST /w/{workspace}/keys":                         {422, 403, "name="},
	"GET /w/{workspace}/keys/import":                   {403, 403, ""},
	"POST /w/{workspace}/keys/import":                  {403, 403, "do=table"},
	"GET /w/{workspace}/keys/{key}":                    {200, 200, ""},
	"GET /w/{workspace}/keys/{key}/deliveries":         {200, 200, ""},
	"GET /w/{workspace}/keys/{key}/first":              {200, 200, ""},
	"POST /w/{workspace}/keys/{key}/saved":             {403, 403, "saved=true"}, // shown to none of them
	"POST /w/{workspace}/keys/{key}/secret":            {422, 403, "secret=short"},
	"GET /w/{workspace}/keys/{key}/edit":               {200, 403, ""},
	"POST /w/{workspace}/keys/{key}/edit":              {422, 403, "name="},
	"GET /w/{workspace}/keys/{key}/deactivate":         {200, 403, ""},
	"GET /w/{workspace}/keys/{key}/deactivate/dialog":  {200, 403, ""},
	"POST /w/{workspace}/keys/{key}/deactivate":        {303, 403, ""},
	"POST /w/{workspace}/keys/{key}/reactivate":        {303, 403, ""},
	"GET /w/{workspace}/keys/{key}/rotate":             {200, 403, ""},
	"GET /w/{workspace}/keys/{key}/rotate/dialog":      {200, 403, ""},
	"POST /w/{workspace}/keys/{key}/rotate":            {422, 403, "what=both"},
	"GET /w/{workspace}/keys/{key}/overlap":            {200, 200, ""},
	"GET /w/{workspace}/keys/{key}/overlap/end":        {303, 403, ""}, // there is none
	"POST /w/{workspace}/keys/{key}/overlap/end":       {409, 403, "what=both"},
	"POST /w/{workspace}/keys/{key}/overlap/move":      {422, 403, "what=both"},
	"POST /w/{workspace}/keys/{key}/overlap/undo":      {409, 403, "what=both"},
	"GET /w/{workspace}/keys/{key}/handover":           {403, 403, ""},
	"POST /w/{workspace}/keys/{key}/handover":          {403, 403, "recipient="},
	"POST /w/{workspace}/keys/{key}/handover/withdraw": {403, 403, "link=x"},

	"GET /w/{workspace}/keys/{key}/from":         {200, 200, ""},
	"GET /w/{workspace}/keys/{key}/suspect":      {403, 403, ""},
	"POST /w/{workspace}/keys/{key}/suspect":     {403, 403, "reason="},
	"POST /w/{workspace}/keys/{key}/suspect/end": {403, 403, "mark=x"},
	"GET /w/{workspace}/signals/erase":           {403, 403, ""},
	"GET /w/{workspace}/signals/erase/list":      {403, 403, ""},
	"POST /w/{workspace}/signals/erase":          {403, 403, "ref="},

	"GET /w/{workspace}/keys/{key}/leak":            {200, 403, ""},
	"GET /w/{workspace}/keys/{key}/leak/dialog":     {200, 403, ""},
	"POST /w/{workspace}/keys/{key}/leak":           {422, 403, ""},
	"GET /w/{workspace}/keys/{key}/leaked":          {303, 303, ""}, // nothing was reported
	"GET /w/{workspace}/keys/{key}/leaked/attempts": {404, 404, ""},
	"POST /w/{workspace}/keys/{key}/leaked/renew":   {409, 403, ""},

	"GET /w/{workspace}/sign-in-rule":                 {403, 403, ""},
	"POST /w/{workspace}/sign-in-rule":                {403, 403, ""},
	"POST /w/{workspace}/members/{user}/sessions/end": {403, 403, ""},

	"POST /w/{workspace}/keys/export":          {200, 200, "format=csv"},
	"POST /w/{workspace}/batches":              {422, 403, "do=deactivate"}, // nothing is ticked
	"GET /w/{workspace}/batches/{batch}":       {200, 403, ""},
	"POST /w/{workspace}/batches/{batch}":      {303, 403, ""},
	"POST /w/{workspace}/batches/{batch}/undo": {303, 403, ""},

	"GET /w/{workspace}/keys/{key}/passport":      {200, 200, ""},
	"GET /w/{workspace}/keys/{key}/passport.json": {200, 200, ""},
	"GET /w/{workspace}/reviews":                  {200, 200, ""},
	"POST /w/{workspace}/reviews":                 {403, 422, "covers="},
	"GET /w/{workspace}/reviews/{review}":         {200, 200, ""},
	"GET /w/{workspace}/reviews/{review}/file":    {403, 200, ""},
	"GET /w/{workspace}/reviews/{review}/answer":  {303, 403, ""}, // of no key
	"POST /w/{workspace}/reviews/{review}/answer": {422, 403, ""},

	"GET /w/{workspace}/deliveries/chart":  {200, 200, ""},
	"GET /w/{workspace}/deliveries/export": {200, 200, ""},
	"GET /w/{workspace}/deliveries/tail":   {200, 200, ""},

	"GET /w/{workspace}/deliveries":                  {200, 200, ""},
	"GET /w/{workspace}/deliveries/look-up":          {303, 303, ""},
	"GET /w/{workspace}/deliveries/{request}":        {200, 200, ""},
	"GET /w/{workspace}/deliveries/{request}/drawer": {200, 200, ""},
	"GET /w/{workspace}/deliveries/{request}/body":   {200, 403, ""},

	"GET /w/{workspace}/audit":              {403, 200, ""},
	"GET /w/{workspace}/audit/verification": {403, 200, ""},
	"POST /w/{workspace}/audit/verify":      {403, 303, ""},
	"POST /w/{workspace}/audit/outside":     {403, 422, "entry=x"},
	"POST /w/{workspace}/audit/checkpoint":  {403, 303, ""},
	"POST /w/{workspace}/audit/export":      {403, 200, "format=csv"},

	"GET /w/{workspace}/usage":                      {200, 200, ""},
	"GET /w/{workspace}/signals":                    {200, 200, ""},
	"GET /w/{workspace}/signals/{signal}":           {200, 200, ""},
	"GET /w/{workspace}/signals/{signal}/body":      {200, 403, ""},
	"GET /w/{workspace}/signals/retention":          {403, 403, ""},
	"POST /w/{workspace}/signals/retention":         {403, 403, "keep=x"},
	"GET /w/{workspace}/tokens":                     {403, 403, ""},
	"GET /w/{workspace}/tokens/new":                 {403, 403, ""},
	"POST /w/{workspace}/tokens":                    {403, 403, "name="},
	"GET /w/{workspace}/tokens/{token}":             {403, 403, ""},
	"POST /w/{workspace}/tokens/{token}/saved":      {403, 403, "saved=true"}, // shown to none of them
	"GET /w/{workspace}/tokens/{token}/deactivate":  {403, 403, ""},
	"POST /w/{workspace}/tokens/{token}/deactivate": {403, 403, ""},
	"POST /w/{workspace}/tokens/{token}/reactivate": {403, 403, ""},

	"GET /w/{workspace}/members":                            {200, 200, ""},
	"POST /w/{workspace}/members/{member}/role":             {403, 403, "role=auditor"},
	"GET /w/{workspace}/members/{member}/remove":            {403, 403, ""},
	"POST /w/{workspace}/members/{member}/remove":           {403, 403, ""},
	"GET /w/{workspace}/members/leave":                      {200, 200, ""},
	"POST /w/{workspace}/members/leave":                     {303, 303, ""},
	"GET /w/{workspace}/members/handover":                   {403, 403, ""},
	"POST /w/{workspace}/members/handover":                  {403, 403, "to="},
	"GET /w/{workspace}/invitations/new":                    {403, 403, ""},
	"POST /w/{workspace}/invitations":                       {403, 403, "emails="},
	"POST /w/{workspace}/invitations/{invitation}/resend":   {403, 403, ""},
	"POST /w/{workspace}/invitations/{invitation}/withdraw": {403, 403, ""},
	"GET /w/{workspace}/settings":                           {403, 403, ""},
	"POST /w/{workspace}/settings":                          {403, 403, "name="},
	"GET /w/{workspace}/settings/delete":                    {403, 403, ""},
	"POST /w/{workspace}/settings/delete":                   {403, 403, "confirm=no"},
}

// forOwners says what an owner gets where an admin may not, or gets something else.
var forOwners = map[string]int{
	"GET /w/{workspace}/members/handover": 200, "POST /w/{workspace}/members/handover": 422,
	"GET /w/{workspace}/settings/delete": 200, "POST /w/{workspace}/settings/delete": 422,
	"POST /w/{workspace}/members/leave": 409, // the last one
}

// forManagers says what owner and admin get where a member may not.
var forManagers = map[string]int{
	"POST /w/{workspace}/reviews": 422, "GET /w/{workspace}/reviews/{review}/file": 200,
	"GET /w/{workspace}/keys/import": 200, "POST /w/{workspace}/keys/import": 422,
	"GET /w/{workspace}/keys/{key}/suspect": 200, "POST /w/{workspace}/keys/{key}/suspect": 422,
	"POST /w/{workspace}/keys/{key}/suspect/end": 404, // there is none
	"GET /w/{workspace}/signals/erase":           200, "GET /w/{workspace}/signals/erase/list": 200, "POST /w/{workspace}/signals/erase": 422,
	"GET /w/{workspace}/signals/retention": 200, "POST /w/{workspace}/signals/retention": 422,
	"GET /w/{workspace}/keys/{key}/handover": 200, "POST /w/{workspace}/keys/{key}/handover": 422,
	"POST /w/{workspace}/keys/{key}/handover/withdraw": 404, // there is none
	"GET /w/{workspace}/sign-in-rule":                  200, "POST /w/{workspace}/sign-in-rule": 303,
	"POST /w/{workspace}/members/{user}/sessions/end": 303,
	"GET /w/{workspace}/tokens":                       200, "GET /w/{workspace}/tokens/new": 200, "POST /w/{workspace}/tokens": 422,
	"GET /w/{workspace}/audit": 200, "GET /w/{workspace}/audit/verification": 200, "POST /w/{workspace}/audit/verify": 303,
	"POST /w/{workspace}/audit/outside": 422, "POST /w/{workspace}/audit/checkpoint": 303, "POST /w/{workspace}/audit/export": 200,
	"GET /w/{workspace}/tokens/{token}": 200, "GET /w/{workspace}/tokens/{token}/deactivate": 200,
	"POST /w/{workspace}/tokens/{token}/deactivate": 303, "POST /w/{workspace}/tokens/{token}/reactivate": 303,
	"POST /w/{workspace}/members/{member}/role": 303, "GET /w/{workspace}/members/{member}/remove": 200, "POST /w/{workspace}/members/{member}/remove": 303,
	"GET /w/{workspace}/invitations/new": 200, "POST /w/{workspace}/invitations": 422,
	"POST /w/{workspace}/invitations/{invitation}/resend": 200, "POST /w/{workspace}/invitations/{invitation}/withdraw": 303,
	"GET /w/{workspace}/settings": 200, "POST /w/{workspace}/settings": 422,
}

// named is a part of a pattern that an id stands for.
var named = regexp.MustCompile(`\{[a-z]+\}`)

// open are the routes that need no workspace.
var open = []string{
	"GET /static/", "POST /csp-report", "POST /preferences/theme", "GET /docs/send", "GET /docs/errors", "GET /docs/read", "GET /docs", "GET /setup", "POST /setup",
	"GET /password", "POST /password", "GET /sign-in", "POST /sign-in", "POST /sign-out", "GET /{$}", "GET /account/password",
	"GET /handover/{link}", "POST /handover/{link}", "GET /handover/{link}/first", "POST /handover/{link}/saved", "GET /invitation", "POST /invitation",
	"GET /forgot-password", "POST /forgot-password", "GET /sign-in/code", "POST /sign-in/code", "GET /account", "POST /account/profile", "POST /account/preferences",
	"POST /account/sessions/end", "GET /account/confirm", "POST /account/confirm", "GET /account/second-factor", "POST /account/second-factor",
	"POST /account/second-factor/confirm", "POST /account/second-factor/codes", "POST /account/second-factor/remove", "GET /account/delete", "POST /account/delete",
	"POST /account/password", "GET /workspaces", "GET /workspaces/new", "POST /workspaces", "/",
}

// looksUp is the route that tells the time and status of any request.
const looksUp = "GET /w/{workspace}/deliveries/{request}"

// othersKey are the routes that change a key, which a member may do to their own
// alone.
var othersKey = []string{
	"POST /w/{workspace}/keys/{key}/secret", "POST /w/{workspace}/keys/{key}/edit", "POST /w/{workspace}/keys/{key}/deactivate", "POST /w/{workspace}/keys/{key}/reactivate",
	"POST /w/{workspace}/keys/{key}/rotate", "POST /w/{workspace}/keys/{key}/overlap/end", "POST /w/{workspace}/keys/{key}/overlap/move",
	"POST /w/{workspace}/keys/{key}/overlap/undo", "POST /w/{workspace}/keys/{key}/leak", "POST /w/{workspace}/keys/{key}/leaked/renew",
}

// TestRoles asks every route as everybody, for what is theirs, another
// workspace's, random and malformed.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	member, auditor := s.join("member"), s.join("auditor")
	s.home.spare, s.foreign.spare = s.join("member"), s.foreign.owner
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, member, s.home.key.ID)
	removed, disabled := s.join("admin"), s.join("admin")
	s.Raw().MustExec(`DELETE FROM memberships WHERE user_id = $1`, removed)
	gone := s.signIn(disabled)
	s.Raw().MustExec(`UPDATE users SET disabled_at = now() WHERE id = $1`, disabled)
	ended := s.signIn(s.home.owner)
	s.Raw().MustExec(`UPDATE sessions SET last_seen_at = now() - interval '31 minutes' WHERE user_id = $1`, s.home.owner)

	admin := s.join("admin")
	insiders := map[string]*client{"owner": s.signIn(s.home.owner), "admin": s.signIn(admin), "member": s.signIn(member), "auditor": s.signIn(auditor)}
	strangers := map[string]*client{"another workspace's owner": s.signIn(s.foreign.owner), "a removed member": s.signIn(removed)}
	nobodies := map[string]*client{"nobody": s.client(), "a disabled user": gone, "an ended session": ended}

	// What the one before took away or changed is there again for the next.
	everybody := map[string]uuid.UUID{"member": member, "auditor": auditor, "admin": admin}
	revive := func() {
		for role, user := range everybody {
			s.Raw().MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, s.home.id, user, role)
		}
		s.Raw().MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'member') ON CONFLICT DO NOTHING`, s.home.id, s.home.member)
		s.Raw().MustExec(`UPDATE invitations SET withdrawn_at = NULL`)
	}
	for _, pattern := range s.web.Patterns() {
		if slices.Contains(open, pattern) {
			continue
		}
		want, known := expected[pattern]
		if !known {
			t.Errorf("no row says who may use %s", pattern)
			continue
		}
		ask := func(c *client, slug, key string) answer {
			method, path, _ := strings.Cut(pattern, " ")
			path = strings.NewReplacer("{workspace}", slug, "{$}", "").Replace(path)
			path = named.ReplaceAllLiteralString(path, key)
			form, _ := url.ParseQuery(want.form)
			if strings.HasSuffix(path, "/tail") {
				method = http.MethodHead // it has no end; the way in is the same
			}
			return c.do(method, path, form)
		}
		own, others := s.home.named(pattern), s.foreign.named(pattern)
		for who, c := range insiders {
			status := want.member
			if managers, ok := forManagers[pattern]; ok && (who == "owner" || who == "admin") {
				status = managers
			}
			if who == "auditor" {
				status = want.auditor
			}
			if owners, ok := forOwners[pattern]; ok && who == "owner" {
				status = owners
			}
			revive()
			if got := ask(c, s.home.slug, own); got.StatusCode != status {
				t.Errorf("%s for %s = %d, want %d\n%.300s", pattern, who, got.StatusCode, status, got.body)
			}
		}
		revive()
		before := s.state()
		for who, c := range insiders {
			allowed := want.member != 403 && (who != "auditor" || want.auditor != 403) || forManagers[pattern] != 0 && (who == "owner" || who == "admin")
			if strings.Count(pattern, "{") > 1 && !strings.Contains(pattern, "{$}") && allowed {
				foreign, random, malformed := ask(c, s.home.slug, others), ask(c, s.home.slug, uuid.NewString()), ask(c, s.home.slug, "x'--")
				if pattern == looksUp { // TestElsewhere says what it tells, and of whom
					foreign.body = random.body
				}
				if foreign.StatusCode != 404 || foreign.masked() != random.masked() || random.masked() != malformed.masked() {
					t.Errorf("%s for %s: another workspace's key = %d, a random one %d, a malformed one %d; want the same 404", pattern, who,
						foreign.StatusCode, random.StatusCode, malformed.StatusCode)
				}
			}
			foreign, random, malformed := ask(c, s.foreign.slug, others), ask(c, "no-such-place", own), ask(c, "A%00B", own)
			if foreign.StatusCode != 404 || foreign.masked() != random.masked() || random.masked() != malformed.masked() {
				t.Errorf("%s for %s: another workspace = %d, none %d, a malformed one %d; want the same 404", pattern, who,
					foreign.StatusCode, random.StatusCode, malformed.StatusCode)
			}
		}
		for who, c := range strangers {
			if got := ask(c, s.home.slug, own); got.StatusCode != 404 {
				t.Errorf("%s for %s = %d, want 404", pattern, who, got.StatusCode)
			}
		}
		for who, c := range nobodies {
			if got := ask(c, s.home.slug, own); got.StatusCode != 303 || !strings.HasPrefix(got.Header.Get("Location"), "/sign-in") {
				t.Errorf("%s for %s = %d to %q, want the way to sign in", pattern, who, got.StatusCode, got.Header.Get("Location"))
			}
		}
		if diff := cmp.Diff(before, s.state()); diff != "" {
			t.Errorf("%s, refused, changed something:\n%s", pattern, diff)
		}
	}
}

// TestOthersKeys: a member changes keys of their own alone.
func TestOthersKeys(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	c := s.signIn(s.join("member"))
	for pattern, row := range matrix {
		method, path, _ := strings.Cut(pattern, " ")
		if row.may != "change a key" || method != http.MethodPost || !strings.Contains(path, "{key}") {
			continue
		}
		path = strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String()).Replace(path)
		before := s.rows()
	for _, pattern := range othersKey {
		_, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String()).Replace(path)
		before := s.state()
		if got := c.post(path, "name", "mine now", "expires", "never", "what", "both", "overlap", "now", "form_nonce", "n", "seen", "2", "until", "2999-01-01"); got.StatusCode != 403 {
			t.Errorf("%s of somebody else's key = %d, want 403", pattern, got.StatusCode)
		}
		if diff := cmp.Diff(before, s.rows()); diff != "" {
			t.Errorf("%s changed something:\n%s", pattern, diff)
		}
	}
	if got := c.get("/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()); strings.Contains(got.body, `/deactivate"`) || strings.Contains(got.body, `/rotate"`) || strings.Contains(got.body, `/leak"`) {
		t.Error("the page offers what would be refused")
	}
}

// TestCrossOrigin sends every form from everywhere.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := newFurnishedStage(t)
	c := s.signIn(s.home.owner)
	own := s.server.URL
	for _, pattern := range s.web.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		if method != http.MethodPost {
			continue
		}
		path = strings.NewReplacer("{workspace}", s.home.slug, "{key}", s.home.key.ID.String(), "{token}", s.home.token.ID.String(), "{batch}", s.home.batch.String()).Replace(path)
		if path == "/sign-out" || path == "/csp-report" {
			path += "?" // asked like the others, but it would end the session
		}
		for _, tt := range []struct {
			site, origin string
			passes       bool
		}{
			{"same-origin", own, true},
			{"same-origin", "", true},
			{"none", "", true},
			{"", "", true}, // no browser
			{"", own, true},
			{"", "http://evil.example", false},
			{"", "null", false},
			{"same-site", own, false},
			{"same-site", "", false},
			{"cross-site", own, false},
			{"cross-site", "http://evil.example", false},
			{"cross-site", "null", false},
		} {
			if tt.passes && strings.HasSuffix(path, "?") {
				continue
			}
			before := s.rows()
			got := c.do(method, path, url.Values{"name": {""}}, "Sec-Fetch-Site", tt.site, "Origin", tt.origin)
			if refused := got.StatusCode == 403; refused == tt.passes {
				t.Errorf("%s from site %q, origin %q = %d, want passes %v", pattern, tt.site, tt.origin, got.StatusCode, tt.passes)
			}
			if !tt.passes {
				if diff := cmp.Diff(before, s.rows()); diff != "" {
					t.Errorf("%s, refused, changed something:\n%s", pattern, diff)
				}
			}
		}
	}
	got := c.do(http.MethodPost, "/workspaces", nil, "Sec-Fetch-Site", "", "Origin", "https://keys.example.com")
	if !strings.Contains(got.body, "keys.example.com") || !strings.Contains(got.body, strings.TrimPrefix(own, "http://")) || !strings.Contains(got.body, "KEYHOOK_PUBLIC_URL") {
		t.Errorf("a mismatch behind a proxy is not explained by name:\n%.2000s", got.body)
	}
}
