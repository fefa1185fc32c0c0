package views_test

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"

	"keyhook/views"
)

var now = time.Date(2026, 11, 23, 14, 2, 11, 0, time.UTC)

func at(before time.Duration) *time.Time {
	t := now.Add(-before)
	return &t
}

func render(t *testing.T, component templ.Component) *goquery.Document {
	t.Helper()
	var html bytes.Buffer
	if err := component.Render(context.Background(), &html); err != nil {
		t.Fatal(err)
	}
	page, err := goquery.NewDocumentFromReader(&html)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// Every page has one heading of the first rank, ids that are its own, a name for
// each input, and nothing that the content security policy would stop.
func TestPages(t *testing.T) {
	t.Parallel()
	for name, component := range pages("") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := render(t, component)
			if n := page.Find("h1").Length(); n != 1 {
				t.Errorf("%d h1", n)
			}
			if title := page.Find("title").Text(); strings.TrimSpace(strings.TrimSuffix(title, "· Keyhook")) == "" {
				t.Error("no title")
			}
			checkNames(t, page)
			checkPolicy(t, page)
		})
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	for name, component := range parts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := render(t, component)
			checkNames(t, page)
			checkPolicy(t, page)
		})
	}
}

func checkNames(t *testing.T, page *goquery.Document) {
	t.Helper()
	ids := map[string]bool{}
	page.Find("[id]").Each(func(_ int, e *goquery.Selection) {
		id := e.AttrOr("id", "")
		if id == "" || ids[id] {
			t.Errorf("id %q is empty or stands twice", id)
		}
		ids[id] = true
	})
	page.Find("[aria-describedby], [aria-labelledby]").Each(func(_ int, e *goquery.Selection) {
		for id := range strings.FieldsSeq(e.AttrOr("aria-describedby", "") + " " + e.AttrOr("aria-labelledby", "")) {
			if !ids[id] {
				t.Errorf("%s refers to #%s, which is not there", goquery.NodeName(e), id)
			}
		}
	})
	page.Find("a[href^='#']").Each(func(_ int, e *goquery.Selection) {
		if id := e.AttrOr("href", "")[1:]; !ids[id] {
			t.Errorf("a link leads to #%s, which is not there", id)
		}
	})
	page.Find("input:not([type=hidden]), select, textarea").Each(func(_ int, e *goquery.Selection) {
		id := e.AttrOr("id", "")
		labelled := page.Find("label[for='"+id+"']").Length() > 0 || e.Closest("label").Length() > 0
		if !labelled && e.AttrOr("aria-label", "") == "" && e.AttrOr("aria-hidden", "") != "true" {
			t.Errorf("input %q has no label", id)
		}
	})
}

func checkPolicy(t *testing.T, page *goquery.Document) {
	t.Helper()
	page.Find("*").Each(func(_ int, e *goquery.Selection) {
		htmx := false
		for _, attribute := range e.Nodes[0].Attr {
			key, value := attribute.Key, attribute.Val
			switch {
			case key == "style", strings.HasPrefix(key, "on"), strings.HasPrefix(key, "hx-on"), key == "hx-boost", strings.Contains(key, ":inherited"):
				t.Errorf("%s has the attribute %s", goquery.NodeName(e), key)
			case strings.Contains(value, "javascript:"), strings.HasPrefix(key, "hx-") && strings.Contains(value, "js:"):
				t.Errorf("%s: %s=%q runs script", goquery.NodeName(e), key, value)
			case key == "hx-trigger" && strings.Contains(value, "["):
				t.Errorf("the trigger %q has a filter", value)
			case key == "href" && value == "about:invalid#TemplFailedSanitizationURL", key == "href" && value == "":
				t.Errorf("a link leads nowhere: %q", e.Text())
			}
			htmx = htmx || strings.HasPrefix(key, "hx-")
		}
		if htmx && e.AttrOr("hx-nonce", "") != "n0nce" {
			t.Errorf("%s has htmx attributes and no nonce", goquery.NodeName(e))
		}
	})
	page.Find("script").Each(func(_ int, e *goquery.Selection) {
		if e.Text() != "" || e.AttrOr("nonce", "") != "n0nce" {
			t.Error("a script is inline or has no nonce")
		}
		if e.Closest("head").Length() == 0 {
			t.Error("a script is in the body, which Back and Forward can't put back")
		}
	})
	if page.Find("style").Length() > 0 {
		t.Error("an inline style element")
	}
}

// Each of these gets around templ's escaping; none is needed here.
func TestSourcesUseNoBypass(t *testing.T) {
	t.Parallel()
	bypass := regexp.MustCompile(`templ\.(Raw|SafeURL|SafeClass|SafeCSS|JSUnsafeFuncCall|Attributes|JSExpression)|\bstyle=|hx-on|hx-boost|\bjs:|javascript:|@templ\.`)
	sources, err := filepath.Glob("*.templ")
	if err != nil || len(sources) == 0 {
		t.Fatal("no sources", err)
	}
	for _, name := range sources {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := bypass.FindAll(content, -1); found != nil {
			t.Errorf("%s: %q", name, found)
		}
	}
}

// Whatever holds a credential must be removed from the page when it is left.
func TestRevealMarksEverySecret(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"key-created", "key-created-url", "handed-shown", "handover-made", "invited"} {
		page := render(t, pages("")[name])
		page.Find("[data-secret]").Remove()
		html, err := page.Html()
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{apiKey, secret} {
			if strings.Contains(html, secret) {
				t.Errorf("%s: a credential is outside of data-secret", name)
			}
		}
		if page.Find("form[hx-post], form[hx-get]").Length() > 0 || page.Find("[data-after-wipe]").Length() != 1 {
			t.Errorf("%s: the page's form is htmx's, or nothing says where to go after the wipe", name)
		}
	}
}

// The Go program on the page is one; with the API key refused, no snippet sends it.
func TestSnippets(t *testing.T) {
	t.Parallel()
	page := render(t, pages("")["key-created"])
	if _, err := parser.ParseFile(token.NewFileSet(), "send.go", page.Find("#code-go").Text(), parser.AllErrors); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"curl", "sign", "go", "node"} {
		if !strings.Contains(page.Find("#code-"+id).Text(), "KEYHOOK_URL") {
			t.Errorf("the snippet %s does not read its address from the environment", id)
		}
	}
	signedOnly := render(t, pages("")["key-created-url"])
	if text := signedOnly.Find(".snips").Text(); strings.Contains(text, "X-API-Key") {
		t.Error("a key that demands a signature shows how to send the API key alone")
	}
}

// A quiet key must not look as busy as the busiest.
func TestSparklinesShareOneScale(t *testing.T) {
	t.Parallel()
	page := render(t, pages("")["keys"])
	tallest := func(row int) (tallest float64) {
		page.Find("tbody tr").Eq(row).Find("rect.a").Each(func(_ int, e *goquery.Selection) {
			height, err := strconv.ParseFloat(e.AttrOr("height", ""), 64)
			if err != nil {
				t.Error(err)
			}
			tallest = max(tallest, height)
		})
		return tallest
	}
	if busy, quiet := tallest(0), tallest(2); busy < 5*quiet {
		t.Errorf("the busiest key's bar is %g units, that of one with a tenth of its requests %g", busy, quiet)
	}
}

func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	hostile := "\"><img src=x onerror=alert(1)><svg hx-get=/x>\u202Egnp\x1b[34m"
	p := views.KeyDeliveriesPart{Nonce: "n0nce", Slug: "w", KeyID: "k", Now: now, Rows: []views.DeliveryRow{
		{ID: "1", At: now, Outcome: "refused", Reason: hostile, EventType: hostile, SourceRef: hostile, Address: hostile},
	}}
	page := render(t, views.KeyDeliveries(p))
	if page.Find("img, [onerror]").Length() > 0 {
		t.Error("text became an element")
	}
	if text := page.Find(".c-event").Text(); strings.ContainsAny(text, "\u202E\x1b") {
		t.Errorf("invisible characters are left in %q", text)
	}
	checkPolicy(t, page)
}

// TestWritePages writes every page to the folder that KEYHOOK_PAGES names, to be
// looked at in a browser; the files that they load are written beside them.
func TestWritePages(t *testing.T) {
	folder := os.Getenv("KEYHOOK_PAGES")
	if folder == "" {
		return
	}
	for _, theme := range []string{"light", "dark"} {
		all := pages(theme)
		for name, component := range parts() {
			all["part-"+name] = component
		}
		for name, component := range all {
			var html bytes.Buffer
			if err := component.Render(context.Background(), &html); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name+"-"+theme+".html"), html.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Words beside a time stand apart from it.
func TestSessionsAreSeen(t *testing.T) {
	t.Parallel()
	page := views.AccountPage{Page: sample("Your account", "/account", ""), Sessions: []views.SessionRow{{Device: "Firefox", Address: "192.0.2.1", LastSeenAt: now, CreatedAt: now}}}
	text := strings.Join(strings.Fields(render(t, views.Account(page)).Find(".list .cell-name .sub").Last().Text()), " ")
	if !strings.HasPrefix(text, "192.0.2.1, seen 0 s ago, signed in ") {
		t.Errorf("the session says %q", text)
	}
}

// A request whose payload was erased says of what it still shows that it stays.
func TestErasedSaysWhatStays(t *testing.T) {
	t.Parallel()
	drawer := render(t, views.Drawer(views.DeliveryDrawer{
		DeliveryRow: views.DeliveryRow{ID: keyID, Outcome: "accepted", At: now}, SeesPayload: true, ContentType: "text/x-kept", UserAgent: "kept/1",
		Erased: &views.Note{By: "Ada Okonkwo", At: now, Reason: "asked"},
	}))
	for _, want := range []string{"text/x-kept", "kept/1", "but for the content type and the user agent"} {
		if !strings.Contains(drawer.Text(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
}
