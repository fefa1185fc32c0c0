package e2e_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/hostile.txt
var hostileList string

// hostileTexts reads the list.
func hostileTexts(t *testing.T) (texts []string) {
	t.Helper()
	for line := range strings.Lines(hostileList) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("testdata/hostile.txt: %s: %v", line, err)
		}
		texts = append(texts, text)
	}
	if len(texts) < 200 {
		t.Fatalf("testdata/hostile.txt has %d texts, want 200 at least", len(texts))
	}
	return texts
}

// harmless is a text that does nothing, in the place of one that might. It is as
// little of a text where that one is none.
func harmless(text string) string {
	plain := fmt.Sprintf("plain%08x", crc32.ChecksumIEEE([]byte(text))) // no two bodies are alike
	switch {
	case strings.ContainsRune(text, 0):
		return "\x00 " + plain
	case isBinary(text):
		return "\xff " + plain
	}
	return plain
}

func isBinary(text string) bool { return !utf8.ValidString(text) || strings.ContainsRune(text, 0) }

// pack joins texts so that each of what it returns has limit bytes at most.
func pack(texts []string, limit int) (packed [][]string) {
	size := limit + 1
	for _, text := range texts {
		if size += len(text) + 1; size > limit {
			packed, size = append(packed, nil), len(text)
		}
		packed[len(packed)-1] = append(packed[len(packed)-1], text)
	}
	return packed
}

// An arena is a workspace whose every text is hostile, or its harmless twin: the
// same things happened in both, in the same order.
type arena struct {
	*program
	slug         string
	keys, tokens []string // their ids, those of the two that are sent to first
	text         func(string) string
}

func (a *arena) at(path string) string { return a.url + "/w/" + a.slug + path }

// TestHostileTexts puts texts that attack whoever shows them into everything that is
// shown, by the ways that a sender and a member have, and looks at every page that
// shows them. The browser must report nothing and open no dialog; the page must have
// the elements of its harmless twin, and no character that acts instead of being
// seen; and no text may turn the text beside it.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	texts := hostileTexts(t)
	server := serve(t, migratedDataDir(t))
	server.run(ownerPassword+"\n", "user", "create", "--email", ownerEmail, "--name", `Ada "><img src=x onerror=alert(1)> שלום`, "--password-stdin")
	hostile := server.newArena(`<script>alert(1)</script> שלום`, texts, func(text string) string { return text })
	twin := server.newArena("Plain", texts, harmless)

	tab := openBrowser(t).tab()
	tab.show(false) // a dialog is told of all the same, see TestHostileLookFinds
	dialogs := tab.countDialogs()
	tab.open(server.url + "/sign-in")
	tab.signIn()
	l := look{tab, hostile, twin, texts, map[string]string{}}
	l.atKeys()
	l.atSignals()
	l.atDeliveries()
	l.atForms()
	tab.quiet()
	if n := dialogs(); n > 0 {
		t.Errorf("%d dialogs were opened", n)
	}
	if strings.Contains(server.log(), "a browser refused part of a page") {
		t.Errorf("a browser reported what the policy forbids:\n%s", server.log())
	}
	server.listsPlainly(hostile)
}

// newArena makes a workspace and lets everything happen in it.
func (p *program) newArena(name string, texts []string, text func(string) string) *arena {
	p.t.Helper()
	a := &arena{program: p, text: text}
	var workspace struct{ Slug string }
	p.runJSON(&workspace, "workspace", "create", "--name", name, "--owner", ownerEmail)
	a.slug = workspace.Slug
	first := typable(texts, 76)
	own, service := a.makeKey("generic", a.join(first[0])), a.makeKey("github", a.join(first[1])+" 2")
	a.makeKeys(texts)
	for i, names := range first[:2] {
		var token struct{ ID string }
		p.runJSON(&token, "token", "create", "--workspace", a.slug, "--name", a.join(names)+strconv.Itoa(i), "--can", "read-signals")
		a.tokens = append(a.tokens, token.ID)
	}
	for i, group := range sentGroups(texts) {
		a.sendAccepted(i, service, group)
		a.sendRefused(i, own, group)
	}
	return a
}

// sentGroups are the texts that are sent together.
func sentGroups(texts []string) [][]string { return pack(texts, 200) }

func (p *program) runJSON(into any, args ...string) {
	p.t.Helper()
	text := p.run("", append(args, "--json")...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.t.Fatalf("keyhook %v prints %s: %v", args, text, err)
	}
}

// join is one text of several, each of them harmless in the twin.
func (a *arena) join(texts []string) string {
	said := make([]string, len(texts))
	for i, text := range texts {
		said[i] = a.text(text)
	}
	return strings.Join(said, " ")
}

// typable packs the texts that a name may be: nothing in them is hidden.
func typable(texts []string, limit int) [][]string {
	return pack(slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
		return len(text) > limit || !utf8.ValidString(text) || strings.TrimSpace(text) == "" || strings.ContainsFunc(text, func(r rune) bool {
			return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
		})
	}), limit)
}

// A hostileKey is a key to send to.
type hostileKey struct {
	ID     string `json:"id"`
	APIKey string `json:"api_key"`
	Secret string `json:"secret"`
}

func (a *arena) makeKey(scheme, name string) (key hostileKey) {
	a.t.Helper()
	a.runJSON(&key, "key", "create", "--workspace", a.slug, "--name", name, "--scheme", scheme)
	a.keys = append(a.keys, key.ID)
	return key
}

// header makes a text one that HTTP lets through: a client sends no others.
func header(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text))
}

// ref makes a text one that may be an event's id: text without control characters.
func ref(i int, text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return fmt.Sprint(text, " ", i)
}

// sendAccepted sends a group as GitHub does: in the body as bytes, and in all headers
// that are kept.
func (a *arena) sendAccepted(i int, key hostileKey, group []string) {
	a.t.Helper()
	body, text := a.join(group), header(a.join(group))
	headers := map[string]string{
		"X-Hub-Signature-256": signed(key.Secret, body), "X-GitHub-Event": text, "X-GitHub-Delivery": ref(i, text), "User-Agent": text,
		"Content-Type": text, "Webhook-Id": text, "Webhook-Timestamp": text, "X-Shopify-Topic": text, "Linear-Event": text,
	}
	if status, answer := a.post("/hooks/"+key.ID, body, headers); status != 200 {
		a.t.Errorf("%q: %d %s, want 200", group, status, answer)
	}
}

// sendRefused sends a group as JSON under a source that the key has not.
func (a *arena) sendRefused(i int, key hostileKey, group []string) {
	a.t.Helper()
	text := a.join(group)
	var body strings.Builder
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any{"verbatim": text, "source": ref(i, text), "sourceRef": ref(i, text), "tags": group}); err != nil {
		a.t.Fatal(err)
	}
	headers := map[string]string{"X-API-Key": key.APIKey, "User-Agent": header(text)}
	want := 403
	if strings.ContainsRune(text, 0) {
		want = 400
	}
	if status, answer := a.post("/api/webhooks/signals", body.String(), headers); status != want {
		a.t.Errorf("%q: %d %s, want %d", group, status, answer, want)
	}
}

// TestHostileLookFinds is the negative control of the look at pages.
func TestHostileLookFinds(t *testing.T) {
	t.Parallel()
	server := newTeam(t)
	p := openBrowser(t).inspectable()
	p.open(server.url + "/sign-in")
	want := eval[string](p, skeletonScript)
	if problems := eval[[]string](p, plainlyScript); len(problems) > 0 {
		t.Fatalf("the page has problems already: %v", problems)
	}
	for name, spoil := range map[string]string{
		"an element":           `document.querySelector("h1").append(document.createElement("img"))`,
		"an attribute":         `document.querySelector("h1").setAttribute("onclick", "x")`,
		"a class":              `document.querySelector("h1").classList.add("x")`,
		"a control character":  `document.querySelector("h1").textContent = "a\u001b[31m"`,
		"a hidden character":   `document.querySelector("h1").textContent = "a\u200bb"`,
		"an override":          `document.querySelector("h1").title = "a\u202eb"`,
		"a text that turns on": `document.querySelector("h1").textContent = "שלום (refused) 1", document.querySelector("h1").insertAdjacentText("beforeend", " beside")`,
	} {
		p.open(server.url + "/sign-in")
		eval[bool](p, spoil+";true")
		if eval[string](p, skeletonScript) == want && len(eval[[]string](p, plainlyScript)) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
	dialogs := p.countDialogs()
	p.show(false)
	eval[bool](p, `alert(1), true`)
	if n := dialogs(); n != 1 {
		t.Errorf("one dialog is %d", n)
	}
}

// countDialogs begins to count the dialogs that pages open, and returns what tells
// their number.
func (p *tab) countDialogs() func() int {
	p.t.Helper()
	var n atomic.Int64
	err := chromedp.Listen(p.ctx, func(event any) {
		if _, ok := event.(*page.EventJavascriptDialogOpening); ok {
			n.Add(1)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return func() int { return int(n.Load()) }
}
