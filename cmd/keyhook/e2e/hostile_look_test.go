package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// signed is a body's signature as GitHub writes it.
func signed(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// makeKeys makes keys by the form: every text that may be a name is in one, every
// label in one, and every note in one.
func (a *arena) makeKeys(texts []string) {
	a.t.Helper()
	post := a.member()
	labels := typable(slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(text, ",") }), 39)
	notes := pack(slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return r == '\uFFFD' || unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r) })
	}), 1900)
	for i, name := range typable(texts, 76) {
		form := url.Values{"name": {a.join(name) + " " + strconv.Itoa(i)}, "scheme": {"generic"}, "expires": {"1y"}, "identical_bodies": {"store"}, "rate_per": {"minute"}}
		form.Set("note", a.join(notes[i%len(notes)]))
		form.Set("labels", a.text(labels[i%len(labels)][0])+","+a.text(labels[(i*7+3)%len(labels)][0])+"2")
		form.Set("form_nonce", a.slug+strings.Repeat("x", i+10))
		if status, answer := post("/keys", form); status != http.StatusOK {
			a.t.Fatalf("make the key %q: %d %q", name, status, fieldError.FindAllString(answer, -1))
		}
	}
}

// member signs in without a browser and returns what posts a form in the workspace.
func (a *arena) member() func(path string, form url.Values) (int, string) {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(to string, form url.Values) (int, string) {
		response, err := client.PostForm(to, form)
		if err != nil {
			a.t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			a.t.Fatal(err)
		}
		return response.StatusCode, string(answer)
	}
	if status, _ := send(a.url+"/sign-in", url.Values{"email": {ownerEmail}, "password": {ownerPassword}}); status != http.StatusSeeOther {
		a.t.Fatalf("sign in: %d", status)
	}
	return func(path string, form url.Values) (int, string) { return send(a.at(path), form) }
}

// fieldError is what a form says of a field.
var fieldError = regexp.MustCompile(`id="[a-z_]+-error"[^>]*>(?:<[^>]*>)*[^<]*`)

// A look goes through the pages of a hostile workspace and its twin.
type look struct {
	*tab
	hostile, twin *arena
	texts         []string
	plain         map[string]string // the skeletons of the twin's pages, by what the page is
}

//go:embed testdata/skeleton.js
var skeletonScript string

//go:embed testdata/plainly.js
var plainlyScript string

// at looks at a page, which must be built like its twin's.
func (l look) at(what, address, twin string) {
	l.t.Helper()
	want, known := l.plain[what]
	if !known {
		l.open(twin)
		want = eval[string](l.tab, skeletonScript)
		l.plain[what] = want
	}
	l.open(address)
	l.built(what, want)
}

// built holds the open page against its twin's skeleton.
func (l look) built(what, want string) {
	l.t.Helper()
	if got := eval[string](l.tab, skeletonScript); got != want {
		l.t.Errorf("%s at %s is not built like its twin: %s", what, l.path(), difference(got, want))
	}
	for _, problem := range eval[[]string](l.tab, plainlyScript) {
		l.t.Errorf("%s at %s: %s", what, l.path(), problem)
	}
}

// both looks at the same path in both workspaces.
func (l look) both(what, path string) { l.t.Helper(); l.at(what, l.hostile.at(path), l.twin.at(path)) }

// difference is the first line in which two skeletons differ.
func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "it has " + a[i] + ", want " + b[i]
		}
	}
	if len(a) > len(b) {
		return "it has " + a[len(b)] + " at its end"
	}
	return "it lacks " + b[len(a)] + " at its end"
}

func (l look) atKeys() {
	l.t.Helper()
	l.at("workspaces", l.hostile.url+"/workspaces", l.hostile.url+"/workspaces")
	l.both("keys", "/keys")
	hostile, twin := l.links("keys", ".keys .c-name a")
	for i := range hostile { // the first two are sent to; every name is in the list, every note among those of a dozen
		if i < 12 || i%5 == 0 {
			l.at(fmt.Sprint("key ", min(i, 2)), hostile[i], twin[i])
		}
	}
	for _, page := range []string{"/edit", "/deactivate", "/rotate"} {
		l.at("key"+page, hostile[0]+page, twin[0]+page)
	}
	l.both("tokens", "/tokens")
	for i := range l.hostile.tokens {
		for _, page := range []string{"", "/deactivate"} {
			l.at("token"+page, l.hostile.at("/tokens/"+l.hostile.tokens[i]+page), l.twin.at("/tokens/"+l.twin.tokens[i]+page))
		}
	}
}

// links reads addresses off a list in both workspaces, in the order of the list.
func (l look) links(list, selector string) (hostile, twin []string) {
	l.t.Helper()
	read := func(a *arena) (found []string) {
		for next := a.at("/" + list); next != ""; {
			l.open(next)
			found = append(found, eval[[]string](l.tab, `[...document.querySelectorAll("`+selector+`")].map(a => a.href)`)...)
			next = eval[string](l.tab, `[...document.querySelectorAll("nav[aria-label=Pages] a")].find(a => a.innerText.includes("Older"))?.href ?? ""`)
		}
		return found
	}
	if hostile, twin = read(l.hostile), read(l.twin); len(hostile) != len(twin) || len(hostile) == 0 {
		l.t.Fatalf("%s: %d are hostile and %d are not, want as many", list, len(hostile), len(twin))
	}
	return hostile, twin
}

func (l look) atSignals() {
	l.t.Helper()
	l.both("signals", "/signals")
	hostile, twin := l.links("signals", ".sigs .c-time a")
	for i := range hostile {
		l.at(fmt.Sprint("signal, binary ", l.binary(len(hostile)-1-i)), hostile[i], twin[i])
	}
}

// binary tells whether the bodies of a group are no text.
func (l look) binary(group int) bool {
	return slices.ContainsFunc(sentGroups(l.texts)[group], isBinary)
}

// atForms looks at what comes back of a form that is refused, and of a search.
func (l look) atForms() {
	l.t.Helper()
	for _, group := range pack(l.texts, 600) {
		query := "?q=" + url.QueryEscape(strings.Join(group, " "))
		l.at("no such key", l.hostile.at("/keys"+query), l.twin.at("/keys?q=nothing-like-this"))
	}
	for _, group := range pack(l.texts, 900) {
		skeletons := map[*arena]string{}
		for _, a := range []*arena{l.twin, l.hostile} {
			l.open(a.at("/keys/new"))
			for _, field := range []string{"input[name=name]", "input[name=labels]", "textarea[name=note]", "textarea[name=allowed_cidrs]", "input[name=source]"} {
				text, err := json.Marshal(strings.Repeat("x", 2100) + " " + a.join(group))
				if err != nil {
					l.t.Fatal(err)
				}
				eval[bool](l.tab, fmt.Sprintf("document.querySelector(%q).value = %s, true", field, text))
			}
			l.follow("#key-form [type=submit]")
			skeletons[a] = eval[string](l.tab, skeletonScript)
		}
		l.built("refused form", skeletons[l.twin])
	}
}

// listsPlainly holds what commands print to what a terminal only shows.
func (p *program) listsPlainly(a *arena) {
	p.t.Helper()
	for _, args := range [][]string{{"key", "list", "--workspace", a.slug}, {"token", "list", "--workspace", a.slug}, {"user", "list"}, {"workspace", "list"}} {
		for _, form := range [][]string{nil, {"--json"}} {
			for _, r := range p.run("", append(args, form...)...) {
				if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
					p.t.Errorf("keyhook %v prints %U", args, r)
				}
			}
		}
	}
}

// atDeliveries looks at the log, at each request's page, which the newest of the
// list stands beside, and at what comes back of a search.
func (l look) atDeliveries() {
	l.t.Helper()
	l.both("deliveries", "/deliveries")
	hostile, twin := l.links("deliveries", ".deliveries .c-time a")
	for i := range hostile {
		at := len(hostile) - 1 - i
		what := fmt.Sprint("delivery, refused ", at%2 == 1, ", binary ", l.binary(at/2), ", page ", i/50, ", at an end ", i == 0, at == 0)
		l.at(what, hostile[i], twin[i])
	}
	for i := 0; i < len(l.texts); i += 25 {
		query := url.Values{}
		for n, field := range []string{"q", "source", "ref", "scheme"} {
			query.Set(field, strings.ToValidUTF8(strings.ReplaceAll(l.texts[(i+6*n)%len(l.texts)], "\x00", "x"), "x")+" nowhere")
		}
		l.at("deliveries that are not there", l.hostile.at("/deliveries?"+query.Encode()), l.twin.at("/deliveries?q=x+nowhere&source=x+nowhere&ref=x+nowhere&scheme=x+nowhere"))
	}
}
