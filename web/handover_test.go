package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

func (s *stage) owner() audit.Actor {
	return audit.Actor{WorkspaceID: s.home.id, Kind: audit.User, UserID: s.home.owner, Label: "Ada Okonkwo", Role: "owner"}
}

// handOver makes a link and returns the path that its recipient is sent.
func (s *stage) handOver(key uuid.UUID, draft keyring.HandoverDraft) (link keyring.Handover, path string) {
	s.t.Helper()
	draft.Recipient = "Priya at Northwind"
	link, token, err := s.keys.HandOver(s.t.Context(), s.owner(), key, draft)
	if err != nil {
		s.t.Fatal(err)
	}
	return link, "/handover/" + link.ID.String() + "?token=" + token.Reveal()
}

// openLink opens a link as a browser does, and returns the page's path, answer and
// the form's proof.
func (c *client) openLink(link string) (path string, page answer, proof string) {
	c.stage.t.Helper()
	first := c.get(link)
	path, _, _ = strings.Cut(link, "?")
	if first.StatusCode != 303 || first.Header.Get("Location") != path {
		c.stage.t.Fatalf("the link = %d to %s, want 303 without the token", first.StatusCode, first.Header.Get("Location"))
	}
	page = c.get(path)
	proof, _ = parse(c.stage.t, page.body).Find("input[name=proof]").Attr("value")
	return path, page, proof
}

// TestHandOverPage goes from the form that makes a link to the key's page.
func TestHandOverPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	key := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	ask := parse(t, c.get(key+"/handover").body)
	nonce, _ := ask.Find("input[name=form_nonce]").Attr("value")
	if nonce == "" || ask.Find("input[name=overlap]").Length() != 4 {
		t.Fatal("the form has no nonce, or does not ask for the overlap")
	}
	for field, wrong := range map[string][]string{
		"recipient": {"recipient", " ", "overlap", "now"}, "overlap": {"recipient", "P", "overlap", "date"},
		"note": {"recipient", "P", "overlap", "now", "note", strings.Repeat("x", 501)},
	} {
		if got := c.post(key+"/handover", append(wrong, "form_nonce", nonce)...); got.StatusCode != 422 || parse(t, got.body).Find("#"+field+"-error").Length() != 1 {
			t.Errorf("a wrong %s = %d", field, got.StatusCode)
		}
	}
	form := []string{"recipient", "Priya at Northwind", "note", "From Monday on", "overlap", "1h", "form_nonce", nonce}
	made := c.post(key+"/handover", form...)
	link := parse(t, made.body).Find("#handover-link").Text()
	if made.StatusCode != 200 || !strings.HasPrefix(link, "http://127.0.0.1/handover/") || !strings.Contains(made.Header.Get("Cache-Control"), "no-store") ||
		parse(t, made.body).Find("[data-secret] #handover-link").Length() != 1 {
		t.Fatalf("the link = %d %q", made.StatusCode, link)
	}
	_, token, _ := strings.Cut(link, "token=")
	again := c.post(key+"/handover", form...)
	if again.StatusCode != 200 || strings.Contains(again.body, token) || !strings.Contains(again.body, "No second link was made") {
		t.Errorf("the form again = %d", again.StatusCode)
	}
	page := c.get(key)
	if !strings.Contains(page.body, "Waiting for Priya at Northwind") || strings.Contains(page.body, token) {
		t.Error("the key's page does not tell of the link, or holds its token")
	}
	if got := c.get(key + "/handover"); !strings.Contains(got.body, "is still waiting") {
		t.Error("the form does not warn of the waiting link")
	}
	if member := s.signIn(s.join("member")).get(key); strings.Contains(member.body, "/handover") {
		t.Error("a member is offered what would be refused")
	}
	id, _ := parse(t, page.body).Find("input[name=link]").Attr("value")
	if got := c.post(key+"/handover/withdraw", "link", id); got.StatusCode != 303 {
		t.Errorf("withdraw = %d", got.StatusCode)
	}
	if strings.Contains(c.get(key).body, "Waiting for Priya") {
		t.Error("the key's page tells of a withdrawn link")
	}
	if got := s.client().get("/handover/" + id + "?token=" + token); got.StatusCode != 303 {
		t.Errorf("the withdrawn link = %d", got.StatusCode)
	}
}

// TestNewKeyByLink makes a key whose credentials come by link.
func TestNewKeyByLink(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	keys := "/w/" + s.home.slug + "/keys"
	nonce, _ := parse(t, c.get(keys+"/new").body).Find("input[name=form_nonce]").Attr("value")
	form := []string{"name", "By link", "scheme", "generic", "expires", "1y", "give", "link", "form_nonce", nonce}
	for range 2 { // sent again it goes to the same key
		got := c.post(keys, form...)
		if got.StatusCode != 303 || !strings.HasSuffix(got.Header.Get("Location"), "/handover") || strings.Contains(got.body, "khk_") {
			t.Fatalf("a key by link = %d to %s", got.StatusCode, got.Header.Get("Location"))
		}
	}
	if got := c.post(keys, append(form, "secret", "a-secret-of-somebody-else")...); got.StatusCode != 422 || !strings.Contains(got.body, "secret-error") {
		t.Errorf("a secret and a link = %d", got.StatusCode)
	}
	if got := s.signIn(s.join("member")).post(keys, "name", "Not mine to give", "scheme", "generic", "expires", "1y", "give", "link", "form_nonce", "n"); got.StatusCode != 403 {
		t.Errorf("a key by link by a member = %d, want 403", got.StatusCode)
	}
}

// TestLookingUsesNothingUp: scanners, previews and blind forms change nothing.
func TestLookingUsesNothingUp(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	link, address := s.handOver(s.home.key.ID, keyring.HandoverDraft{Note: "From Monday on"})
	before := s.rows()
	path, page, proof := s.client().openLink(address)
	for _, want := range []string{"Home key", "Ada Okonkwo", "Priya at Northwind", "From Monday on", "Make my credentials", "the old ones stop at once"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if page.Header.Get("X-Robots-Tag") == "" || page.Header.Get("Referrer-Policy") == "" || !strings.Contains(page.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("headers: %v", page.Header)
	}
	for _, headers := range [][]string{nil, {"Sec-Purpose", "prefetch;prerender"}, {"User-Agent", "LinkPreview/1.0"}, {"Purpose", "prefetch"}} {
		c := s.client()
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodGet} {
			c.do(method, address, nil, headers...)
			if got := c.do(method, path, nil, headers...); got.StatusCode != 200 {
				t.Errorf("%s with %v = %d", method, headers, got.StatusCode)
			}
		}
		for _, form := range []url.Values{nil, {"proof": {""}}, {"proof": {strings.Repeat("0", 32)}}} {
			if got := c.do(http.MethodPost, path, form, headers...); got.StatusCode != 422 || strings.Contains(got.body, "khk_") {
				t.Errorf("a POST of %v = %d, want 422", form, got.StatusCode)
			}
		}
		if got := c.do(http.MethodPost, path, url.Values{"proof": {proof}}, "Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"); got.StatusCode != 403 {
			t.Errorf("a POST from elsewhere = %d, want 403", got.StatusCode)
		}
		if got := c.get(path + "/first"); got.StatusCode != 404 {
			t.Errorf("the line that waits, before its use = %d, want 404", got.StatusCode)
		}
		c.post(path+"/saved", "saved", "true")
	}
	if diff := cmp.Diff(before, s.rows()); diff != "" {
		t.Errorf("looking changed something:\n%s", diff)
	}

	// Whatever is wrong, the answer is the same.
	var answers []string
	for _, wrong := range []string{address + "x", "/handover/" + uuid.NewString() + "?token=x", "/handover/" + link.ID.String() + "?token=" + s.home.token.ID.String()} {
		c := s.client()
		c.get(wrong)
		at, _, _ := strings.Cut(wrong, "?")
		got := c.get(at)
		got.body = strings.ReplaceAll(got.body, at, "")
		answers = append(answers, got.masked())
	}
	bare := s.client().get(path)
	bare.body = strings.ReplaceAll(bare.body, path, "")
	answers = append(answers, bare.masked())
	if err := s.keys.WithdrawHandover(t.Context(), s.owner(), s.home.key.ID, link.ID); err != nil {
		t.Fatal(err)
	}
	c := s.client()
	c.get(address)
	withdrawn := c.get(path)
	withdrawn.body = strings.ReplaceAll(withdrawn.body, path, "")
	for _, got := range append(answers, withdrawn.masked()) {
		if diff := cmp.Diff(answers[0], got); diff != "" || withdrawn.StatusCode != 404 {
			t.Errorf("two wrong links differ (status %d):\n%s", withdrawn.StatusCode, diff)
		}
	}
}

// refused is an arrival that was refused with the key's credentials, or with none.
func (s *stage) deliver(key keyring.Key, generation int, reason inbox.Reason, status int) uuid.UUID {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7())
	arrival := inbox.Arrival{
		ID: id, WorkspaceID: key.WorkspaceID, KeyID: key.ID, KeyVersion: key.Version, Generation: generation, Method: inbox.ByAPIKey, Status: status, Reason: reason,
		Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "203.0.113.9", ContentType: "application/json", Headers: `{}`, Source: key.Source,
		Body: []byte(`{"text":"xyzzy-of-the-body"}`), BodySize: 28, ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Began: time.Now(),
	}
	err := s.ingestion.InTx(context.Background(), func(tx *sqlx.Tx) error {
		_, err := inbox.NewAppender(s.box).Append(context.Background(), tx, []inbox.Arrival{arrival})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// TestTakeHandover presses the button, again and again, and looks at the status
// page that is left.
func TestTakeHandover(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	old := s.deliver(s.home.key, 1, "", 200)
	link, address := s.handOver(s.home.key.ID, keyring.HandoverDraft{Overlap: time.Hour})
	c := s.client()
	path, _, proof := c.openLink(address)
	shown := c.post(path, "proof", proof)
	doc := parse(t, shown.body)
	apiKey, secret := doc.Find("#api-key").Text(), doc.Find("#secret").Text()
	if shown.StatusCode != 200 || !strings.HasPrefix(apiKey, "khk_") || !strings.HasPrefix(secret, "whsec_") || doc.Find("[data-secret]").Length() < 3 ||
		!strings.Contains(shown.Header.Get("Cache-Control"), "no-store") || !strings.Contains(shown.body, "The old ones work until") {
		t.Fatalf("the answer = %d\n%.2000s", shown.StatusCode, shown.body)
	}
	before := s.rows()
	for range 2 { // a reload, a second click, an answer that was lost
		again := c.post(path, "proof", proof)
		if again.StatusCode != 200 || strings.Contains(again.body, apiKey) || strings.Contains(again.body, secret) || !strings.Contains(again.body, "No second pair was made") || !strings.Contains(again.body, "192.0.2.1") {
			t.Errorf("the form again = %d", again.StatusCode)
		}
	}
	if diff := cmp.Diff(before, s.rows()); diff != "" {
		t.Errorf("the form again changed something:\n%s", diff)
	}
	if got := c.get(path + "/first"); got.StatusCode != 200 || !strings.Contains(got.body, "Waiting for the first request") || !strings.Contains(got.body, path+"/first") {
		t.Errorf("the line that waits = %d %s", got.StatusCode, got.body)
	}
	if got := c.post(path+"/saved", "saved", "true"); got.StatusCode != 303 || got.Header.Get("Location") != path {
		t.Errorf("saved = %d to %s", got.StatusCode, got.Header.Get("Location"))
	}

	handed, err := s.keys.Handed(t.Context(), link.ID, strings.SplitN(address, "token=", 2)[1])
	if err != nil || len(handed.CountedAs) == 0 {
		t.Fatal(err)
	}
	own := handed.CountedAs[0]
	theirs := s.deliver(handed.Key, 1, "", 200)
	status := c.get(path)
	if status.StatusCode != 200 || !strings.Contains(status.body, "Your credentials work") || !strings.Contains(status.body, "No requests yet") || strings.Contains(status.body, "<form") {
		t.Errorf("the status page = %d\n%s", status.StatusCode, status.body)
	}
	accepted := s.deliver(handed.Key, own, "", 200)
	stray := s.deliver(handed.Key, 0, inbox.SignatureWrong, 401)
	if got := c.get(path + "/first"); !strings.Contains(got.body, "First request accepted") || strings.Contains(got.body, "hx-get") {
		t.Errorf("the line that waited: %s", got.body)
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET allowed_cidrs = '{198.51.100.0/24}' WHERE id = $1`, s.home.key.ID)
	refused := s.deliver(handed.Key, own, inbox.AddressForbidden, 403)
	status = c.get(path)
	for _, want := range []string{accepted.String(), stray.String(), refused.String(), "an address that the key does not allow", "203.0.113.9", "198.51.100.0/24", "/docs/errors#forbidden", "another secret made it", "<bdi>Ada Okonkwo</bdi> can change"} {
		if !strings.Contains(status.body, want) {
			t.Errorf("the status page lacks %q", want)
		}
	}
	for _, wrong := range []string{old.String(), theirs.String(), "xyzzy", apiKey, secret, "Home owner", s.home.slug} {
		if strings.Contains(status.body, wrong) {
			t.Errorf("the status page tells of %q", wrong)
		}
	}
	if page := s.signIn(s.home.owner).get("/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()); !strings.Contains(page.body, "Credentials handed over to Priya at Northwind") || !strings.Contains(page.body, "confirmed as saved") {
		t.Error("the key's page does not tell of the hand-over")
	}
	s.statusAfter(t, c, path)
}

// statusAfter looks at the status page through what happens to the credentials.
func (s *stage) statusAfter(t *testing.T, c *client, path string) {
	t.Helper()
	tell := func(when, want string) {
		t.Helper()
		if got := c.get(path); got.StatusCode != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s the status page = %d without %q", when, got.StatusCode, want)
		}
	}
	id, by := s.home.key.ID, s.owner()
	if _, err := s.keys.Deactivate(t.Context(), by, id, ""); err != nil {
		t.Fatal(err)
	}
	tell("of a deactivated key", "The key is deactivated.")
	if _, err := s.keys.Reactivate(t.Context(), by, id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.keys.Rotate(t.Context(), by, id, keyring.Rotation{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	tell("in an overlap", "was replaced and works until")
	after, err := s.keys.Find(t.Context(), s.home.id, id)
	if err != nil {
		t.Fatal(err)
	}
	stray := s.deliver(after, 0, inbox.SignatureWrong, 401)
	if strings.Contains(c.get(path).body, stray.String()) {
		t.Error("who has replaced credentials sees what may be another's")
	}
	if _, err := s.keys.Rotate(t.Context(), by, id, keyring.Rotation{}); err != nil {
		t.Fatal(err)
	}
	tell("after another rotation", "These credentials have stopped")
	s.Raw().MustExec(`UPDATE key_handovers SET used_at = now() - interval '366 days'`)
	if got := c.get(path); got.StatusCode != 404 || !strings.Contains(got.body, "Ask <bdi>Ada Okonkwo</bdi> of Home for a new link") {
		t.Errorf("a year later = %d\n%s", got.StatusCode, got.body)
	}
}

// TestHandedProvider: the recipient sees the address, and pastes the secret.
func TestHandedProvider(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	issued, err := s.keys.IssueWithout(t.Context(), s.owner(), keyring.Draft{Name: "billing", Scheme: signature.Stripe}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, address := s.handOver(issued.Key.ID, keyring.HandoverDraft{})
	c := s.client()
	path, page, proof := c.openLink(address)
	if !strings.Contains(page.body, "http://hooks.example/hooks/"+issued.Key.ID.String()) || !strings.Contains(page.body, `name="secret"`) {
		t.Error("the page lacks the address or the field")
	}
	const secret = "whsec_abcdefghijklmnopqrstuvwxyz0123456789"
	if got := c.post(path, "proof", proof, "secret", "short-x9"); got.StatusCode != 422 || parse(t, got.body).Find("#secret-error").Length() != 1 || strings.Contains(got.body, "short-x9") {
		t.Errorf("a short secret = %d", got.StatusCode)
	}
	if got := c.post(path, "proof", proof, "secret", secret); got.StatusCode != 200 || !strings.Contains(got.body, "The secret is stored") || strings.Contains(got.body, secret) {
		t.Errorf("a secret = %d\n%s", got.StatusCode, got.body)
	}
	_, address = s.handOver(issued.Key.ID, keyring.HandoverDraft{})
	s.Raw().MustExec(`UPDATE key_handovers SET expires_at = now() WHERE used_at IS NULL`)
	c.get(address)
	over, _, _ := strings.Cut(address, "?")
	if got := c.get(over); got.StatusCode != 404 || !strings.Contains(got.body, "Ask <bdi>Ada Okonkwo</bdi> of Home for a new one") {
		t.Errorf("a link that ran out = %d", got.StatusCode)
	}
	if got := c.get(path); got.StatusCode != 200 { // each link has a cookie of its own
		t.Errorf("the first link after the second was opened = %d", got.StatusCode)
	}
}
