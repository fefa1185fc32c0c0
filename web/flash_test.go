package web_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"keyhook/internal/audit"
)

// TestFlashBeforeSignIn: what the last request did is told to who is not signed in
// too, once, and offers them nothing that they may not do.
func TestFlashBeforeSignIn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, link, err := s.accounts.CreateUser(t.Context(), audit.Actor{Kind: audit.CLI}, "bo@example.com", "Bo", "")
	if err != nil {
		t.Fatal(err)
	}
	c := s.client()
	if got := c.get("/password?token=" + link); got.StatusCode != 303 {
		t.Fatalf("the link = %d", got.StatusCode)
	}
	chosen := c.post("/password", "password", "copper-lantern-riverbank-42")
	if chosen.StatusCode != 303 || chosen.Header.Get("Location") != "/sign-in" {
		t.Fatalf("choosing = %d to %q: %.300s", chosen.StatusCode, chosen.Header.Get("Location"), chosen.body)
	}
	for n, want := range []string{"Your password is set. Sign in with it.", ""} {
		if got := strings.TrimSpace(parse(t, c.get("/sign-in").body).Find("#flash[role=status]").Text()); got != want {
			t.Errorf("look %d at the page to sign in: it says %q, want %q", n+1, got, want)
		}
	}
	undo := base64.RawURLEncoding.EncodeToString([]byte(`{"Text":"Done.","Undo":"/w/home/keys/1/reactivate","UndoLabel":"Reactivate"}`))
	doc := parse(t, s.client().do("GET", "/sign-in", nil, "Cookie", "kh_flash="+undo).body)
	if !strings.Contains(doc.Find("#flash").Text(), "Done.") || doc.Find("#flash form").Length() != 0 {
		t.Error("somebody who is not signed in is offered to undo something, or told nothing")
	}
}

// TestReactivatedSaysWhatIs: the message does not call a key active that expired
// while it was deactivated.
func TestReactivatedSaysWhatIs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	for _, tt := range []struct{ set, want string }{
		{"is_active = false, expires_at = NULL", "Home key is active again."},
		{"is_active = true", "Home key was active already."},
		{"is_active = false, expires_at = '2026-03-04 05:06:07Z'", "Home key is no longer deactivated, but expired on 4 Mar 2026: requests with it still get 401."},
	} {
		s.Raw().MustExec(`UPDATE webhook_keys SET ` + tt.set + ` WHERE id = '` + s.home.key.ID.String() + `'`)
		if got := c.post(path + "/reactivate"); got.StatusCode != 303 {
			t.Fatalf("reactivating = %d", got.StatusCode)
		}
		if got := strings.TrimSpace(parse(t, c.get(path).body).Find("#flash").Text()); got != tt.want {
			t.Errorf("with %s it says %q, want %q", tt.set, got, tt.want)
		}
	}
}
