package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"keyhook/internal/audit"
)

// A deed is a use of a route that succeeds, with the entries that it must leave.
type deed struct {
	pattern string
	do      func() answer
	actions []audit.Action
}

// unaudited are the routes that change nothing that the trail is about.
var unaudited = map[string]string{
	"POST /csp-report":        "what a browser refused on a page is logged; anybody can send it, and the trail must not grow by that",
	"POST /preferences/theme": "light or dark is a cookie of one browser",
}

// elsewhere are the routes whose entries the tests of their Store methods look at.
var elsewhere = map[string]string{
	"POST /w/{workspace}/keys/import":                  "internal/keyring/import_test.go",
	"POST /w/{workspace}/keys/export":                  "internal/keyring/batch_test.go",
	"POST /w/{workspace}/batches":                      "changes no key: internal/keyring/batch_test.go looks at what running it records",
	"POST /w/{workspace}/batches/{batch}":              "internal/keyring/batch_test.go",
	"POST /w/{workspace}/batches/{batch}/undo":         "makes the batch that undoes; running it is recorded as any",
	"POST /w/{workspace}/keys/{key}/leak":              "internal/keyring/leak_test.go",
	"POST /w/{workspace}/keys/{key}/leaked/renew":      "internal/keyring/leak_test.go",
	"POST /w/{workspace}/keys/{key}/handover":          "internal/keyring/handover_test.go",
	"POST /w/{workspace}/keys/{key}/handover/withdraw": "internal/keyring/handover_test.go",
	"POST /handover/{link}":                            "internal/keyring/handover_test.go",
	"POST /w/{workspace}/keys/{key}/suspect":           "internal/inbox/suspect_test.go",
	"POST /w/{workspace}/keys/{key}/suspect/end":       "internal/inbox/suspect_test.go",
	"POST /w/{workspace}/signals/erase":                "internal/inbox/erase_test.go",
	"POST /handover/{link}/saved":                      "internal/keyring/handover_test.go",
	"POST /w/{workspace}/reviews":                      "internal/evidence/review_test.go",
	"POST /w/{workspace}/reviews/{review}/answer":      "internal/evidence/review_test.go",

	"POST /w/{workspace}/members/{member}/role":             "internal/account/members_test.go",
	"POST /w/{workspace}/members/{member}/remove":           "web/members_test.go",
	"POST /w/{workspace}/members/leave":                     "web/members_test.go",
	"POST /w/{workspace}/members/handover":                  "internal/account/members_test.go",
	"POST /w/{workspace}/invitations":                       "internal/account/invitation_test.go",
	"POST /w/{workspace}/invitations/{invitation}/resend":   "web/invitations_test.go",
	"POST /w/{workspace}/invitations/{invitation}/withdraw": "web/invitations_test.go",
	"POST /invitation":                                      "internal/account/invitation_test.go",
	"POST /w/{workspace}/settings":                          "internal/account/workspace_test.go",
	"POST /w/{workspace}/settings/delete":                   "internal/account/workspace_test.go",
	"POST /forgot-password":                                 "internal/account/profile_test.go",
	"POST /sign-in/code":                                    "internal/account/secondfactor_test.go",
	"POST /account/second-factor":                           "makes a secret that counts for nothing; its confirmation is recorded",
	"POST /account/second-factor/confirm":                   "internal/account/secondfactor_test.go",
	"POST /account/second-factor/codes":                     "internal/account/secondfactor_test.go",
	"POST /account/second-factor/remove":                    "internal/account/secondfactor_test.go",
	"POST /account/confirm":                                 "internal/account/fresh_test.go",
	"POST /account/delete":                                  "internal/account/profile_test.go",
	"POST /account/sessions/end":                            "internal/account/profile_test.go",
	"POST /w/{workspace}/members/{user}/sessions/end":       "internal/account/profile_test.go",
	"POST /w/{workspace}/sign-in-rule":                      "internal/account/profile_test.go",
	"POST /w/{workspace}/audit/verify":                      "changes nothing yet; the verdict is recorded: web/audit_test.go",
}

// TestEveryChangeIsAudited does, with success, what each route does that is no GET,
// and the reads that count, and looks for the entries. A new route without a deed
// fails.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	done := map[string]bool{}
	for _, d := range s.deeds() {
		var before int
		if err := s.Raw().Get(&before, `SELECT count(*) FROM audit_log`); err != nil {
			t.Fatal(err)
		}
		got := d.do()
		if got.StatusCode != 200 && got.StatusCode != 303 {
			t.Errorf("%s = %d, want it done: %.600s", d.pattern, got.StatusCode, got.body)
		}
		var actions []audit.Action
		if err := s.Raw().Select(&actions, `SELECT action FROM audit_log ORDER BY at, seq OFFSET $1`, before); err != nil {
			t.Fatal(err)
		}
		for _, want := range d.actions {
			if !slices.Contains(actions, want) {
				t.Errorf("%s records %v, want %s", d.pattern, actions, want)
			}
		}
		done[d.pattern] = true
	}
	for _, pattern := range s.web.Patterns() {
		if method, _, ok := strings.Cut(pattern, " "); ok && method != http.MethodGet && !done[pattern] && unaudited[pattern] == "" && elsewhere[pattern] == "" {
			t.Errorf("nothing shows that %s leaves an entry", pattern)
		}
	}
}

// deeds are in the order in which they can be done.
func (s *stage) deeds() []deed {
	c := s.signIn(s.home.owner)
	home := "/w/" + s.home.slug
	key, token := home+"/keys/"+s.home.key.ID.String(), home+"/tokens/"+s.home.token.ID.String()
	post := func(path string, pairs ...string) func() answer {
		return func() answer { return c.post(path, pairs...) }
	}
	rotate := func() answer {
		page := parse(s.t, c.get(key+"/rotate").body)
		nonce, _ := page.Find("input[name=form_nonce]").Attr("value")
		seen, _ := page.Find("input[name=seen]").Attr("value")
		return c.post(key+"/rotate", "what", "both", "overlap", "24h", "form_nonce", nonce, "seen", seen)
	}
	var shown string // the page that showed something last
	keep := func(a answer) answer { shown = a.body; return a }
	confirm := func() answer {
		path, _ := parse(s.t, shown).Find(`form[action$="/saved"]`).Attr("action")
		return c.post(path, "saved", "true")
	}
	later := time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	return append([]deed{
		{"POST /workspaces", post("/workspaces", "name", "Night shift"), []audit.Action{audit.WorkspaceCreated}},
		{"POST /w/{workspace}/keys", func() answer {
			return keep(c.post(home+"/keys", "name", "Made", "expires", "never", "form_nonce", s.nonceOf(c)))
		}, []audit.Action{audit.KeyCreated, audit.CredentialsShown}},
		{"POST /w/{workspace}/keys/{key}/saved", confirm, []audit.Action{audit.CredentialsSaved}},
		{"POST /w/{workspace}/keys/{key}/secret", func() answer {
			made := c.post(home+"/keys", "name", "Shop", "scheme", "shopify", "expires", "never", "form_nonce", s.nonceOf(c))
			return c.post(made.Header.Get("Location")+"/secret", "secret", strings.Repeat("0123456789abcdef", 4))
		}, []audit.Action{audit.KeyCreated, audit.SecretPasted}},
		{"POST /w/{workspace}/keys/{key}/edit", post(key+"/edit", "name", "Renamed", "expires", "never"), []audit.Action{audit.KeyEdited}},
		{"POST /w/{workspace}/keys/{key}/rotate", rotate, []audit.Action{audit.KeyRotated, audit.CredentialsShown}},
		{"POST /w/{workspace}/keys/{key}/overlap/move", post(key+"/overlap/move", "what", "both", "overlap", "date", "until", later), []audit.Action{audit.OverlapMoved}},
		{"POST /w/{workspace}/keys/{key}/overlap/undo", post(key+"/overlap/undo", "what", "both"), []audit.Action{audit.RotationUndone}},
		{"POST /w/{workspace}/keys/{key}/overlap/end", func() answer {
			rotate()
			return c.post(key+"/overlap/end", "what", "both")
		}, []audit.Action{audit.OverlapEnded}},
		{"POST /w/{workspace}/keys/{key}/deactivate", post(key + "/deactivate"), []audit.Action{audit.KeyDeactivated}},
		{"POST /w/{workspace}/keys/{key}/reactivate", post(key + "/reactivate"), []audit.Action{audit.KeyReactivated}},
		{"GET /w/{workspace}/signals/{signal}", func() answer { return c.get(home + "/signals/" + s.home.at.String()) }, []audit.Action{audit.PayloadViewed}},
		{"GET /w/{workspace}/signals/{signal}/body", func() answer { return c.get(home + "/signals/" + s.home.at.String() + "/body") }, []audit.Action{audit.PayloadViewed}},
		{"POST /w/{workspace}/signals/retention", post(home+"/signals/retention", "keep", "40", "unread", "400", "payloads", "60", "deliveries", "120"), []audit.Action{audit.RetentionChanged}},
		{"POST /w/{workspace}/audit/checkpoint", post(home + "/audit/checkpoint"), []audit.Action{audit.CheckpointAsked}},
		{"POST /w/{workspace}/audit/export", post(home+"/audit/export", "format", "ndjson"), []audit.Action{audit.TrailExported}},
		{"POST /w/{workspace}/audit/outside", func() answer {
			var hash string
			if err := s.Raw().Get(&hash, `SELECT encode(hash, 'hex') FROM audit_log WHERE chain = $1 AND seq = 2`, s.home.id.String()); err != nil {
				s.t.Fatal(err)
			}
			return c.post(home+"/audit/outside", "entry", "2", "hash", hash)
		}, []audit.Action{audit.VerifiedOutside}},
		{"POST /w/{workspace}/tokens", func() answer {
			nonce, _ := parse(s.t, c.get(home+"/tokens/new").body).Find("input[name=form_nonce]").Attr("value")
			return keep(c.post(home+"/tokens", "name", "Reader", "scopes", "read-signals", "expires", "never", "form_nonce", nonce))
		}, []audit.Action{audit.TokenCreated, audit.TokenShown}},
		{"POST /w/{workspace}/tokens/{token}/saved", confirm, []audit.Action{audit.TokenSaved}},
		{"POST /w/{workspace}/tokens/{token}/deactivate", post(token + "/deactivate"), []audit.Action{audit.TokenDeactivated}},
		{"POST /w/{workspace}/tokens/{token}/reactivate", post(token + "/reactivate"), []audit.Action{audit.TokenReactivated}},
	}, s.peoplesDeeds()...)
}

// peoplesDeeds are about people and their sessions; the last needs an instance
// without any.
func (s *stage) peoplesDeeds() []deed {
	email := s.home.owner.String() + "@example.com"
	first, second := "copper-lantern-riverbank-42", "walnut-harbour-trombone-17"
	c := s.client()
	return []deed{
		{"POST /password", func() answer {
			link, err := s.accounts.ResetUser(s.t.Context(), audit.Actor{Kind: audit.CLI}, email)
			if err != nil {
				s.t.Fatal(err)
			}
			return s.client().do(http.MethodPost, "/password", url.Values{"password": {first}}, "Cookie", "kh_link="+link)
		}, []audit.Action{audit.UserReset, audit.PasswordChanged}},
		{"POST /sign-in", func() answer {
			if refused := s.client().post("/sign-in", "email", email, "password", "wrong-wrong-wrong"); refused.StatusCode != 401 {
				s.t.Errorf("a wrong password = %d, want 401", refused.StatusCode)
			}
			s.Raw().MustExec(`UPDATE sign_in_failures SET last_at = last_at - interval '5 minutes' WHERE subject LIKE 'refused %'`)
			if err := s.accounts.SumRefused(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
			return c.post("/sign-in", "email", email, "password", first)
		}, []audit.Action{audit.SignInRefused, audit.SignedIn}},
		{"POST /account/password", func() answer {
			return c.post("/account/password", "current", first, "password", second)
		}, []audit.Action{audit.PasswordChanged}},
		{"POST /account/profile", func() answer { return c.post("/account/profile", "name", "Ada L.") }, []audit.Action{audit.UserEdited}},
		{"POST /account/preferences", func() answer {
			return c.post("/account/preferences", "time_zone", "Europe/Berlin")
		}, []audit.Action{audit.PreferencesChanged}},
		{"POST /sign-out", func() answer { return c.post("/sign-out") }, []audit.Action{audit.SignedOut}},
		{"POST /setup", func() answer {
			s.Raw().MustExec(`DELETE FROM users`)
			link, err := s.accounts.SetupLink(s.t.Context())
			if err != nil {
				s.t.Fatal(err)
			}
			form := url.Values{"name": {"Ada"}, "email": {"ada@example.com"}, "password": {first}, "workspace": {"First"}}
			return s.client().do(http.MethodPost, "/setup", form, "Cookie", "kh_link="+link)
		}, []audit.Action{audit.InstanceSetUp, audit.UserCreated, audit.WorkspaceCreated, audit.SignedIn}},
	}
}
