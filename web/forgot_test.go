package web_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"keyhook/internal/mail"
	"keyhook/web"
)

// TestForgotPassword: the answer is the same for whoever asks about whomever, and an
// account's link is made behind it. Without a mail server the page is not there.
func TestForgotPassword(t *testing.T) {
	t.Parallel()
	sender, err := mail.New("smtp://127.0.0.1:9", "keyhook@example.com") // nobody answers there
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddr("192.0.2.1")
	s := newStage(t, func(c *web.Config) {
		c.Mail, c.ClientAddr = sender, func(*http.Request) netip.Addr { return address }
	})
	c, email := s.client(), s.home.owner.String()+"@example.com"
	if !strings.Contains(c.get("/sign-in").body, `href="/forgot-password"`) {
		t.Error("nothing leads to the page")
	}
	known, unknown := c.post("/forgot-password", "email", email), c.post("/forgot-password", "email", "nobody@example.com")
	if known.StatusCode != 200 || known.bodyOf(email) != unknown.bodyOf("nobody@example.com") {
		t.Errorf("known %d:\n%s\nunknown %d:\n%s", known.StatusCode, known.body, unknown.StatusCode, unknown.body)
	}
	links := 0
	for range 100 {
		if err := s.Raw().Get(&links, `SELECT count(*) FROM one_time_links`); err != nil {
			t.Fatal(err)
		}
		if links > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if links != 1 {
		t.Errorf("%d links were made, want that of the account", links)
	}
	refused := 0
	for range 25 {
		if c.post("/forgot-password", "email", "nobody@example.com").StatusCode == 429 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("an address may ask for ever")
	}
	plain := newStage(t)
	if got := plain.client().get("/forgot-password"); got.StatusCode != 404 {
		t.Errorf("without mail = %d", got.StatusCode)
	}
}
