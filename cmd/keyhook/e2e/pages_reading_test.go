package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func inspectSignals(t *testing.T, console inUse) {
	p := console.signedIn(t)
	signals := console.at("/signals")
	p.open(signals)
	first := eval[string](p, `document.querySelector(".sigs .c-time a").href`)
	p.inspectAll(sight{"signals", signals}, sight{"signal", first}, sight{"signals-retention", signals + "/retention"})
	p.open(signals + "/retention")
	p.fill("input[name=keep]", "40000")
	p.follow(`form[action$="/retention"] [type=submit]`)
	p.inspect("signals-retention-error")
	p.open(signals + "/retention")
	p.fill("input[name=payloads]", "1")
	p.fill("input[name=deliveries]", "1")
	p.follow(`form[action$="/retention"] [type=submit]`)
	p.has("Nothing has been changed yet.")
	p.inspect("signals-retention-going")
}

func inspectTokens(t *testing.T, console inUse) {
	p := console.signedIn(t)
	tokens := console.at("/tokens")
	p.inspectAll(sight{"tokens-empty", tokens}, sight{"token-new", tokens + "/new"})
	p.open(tokens + "/new")
	p.fill("input[name=name]", "Warehouse loader")
	p.follow("#token-form [type=submit]")
	p.inspect("token-created")
	token := eval[string](p, `document.querySelector("#token").value`)
	p.click(`[data-gate]`)
	p.follow(`form[action$="/saved"] [type=submit]`)
	if text := p.everything(); strings.Contains(text, token) || len(token) != 42 {
		t.Error("the token is on the page after the one that shows it")
	}
	p.inspect("token")
	console.readSome(token)
	p.inspectAll(sight{"signals-read", console.at("/signals")}, sight{"tokens", tokens})
	p.open(eval[string](p, `document.querySelector(".tokens a").href`) + "/deactivate")
	p.inspect("token-deactivate")
}

// readSome reads a first page with a token and comes back with its cursor, and waits
// until that is noted.
func (p *program) readSome(token string) {
	p.t.Helper()
	cursor := ""
	for range 2 {
		request, err := http.NewRequest(http.MethodGet, p.url+"/api/v1/signals?limit=50&after="+cursor, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			p.t.Fatal(err)
		}
		response.Body.Close()
		if cursor = response.Header.Get("Keyhook-Cursor"); response.StatusCode != 200 {
			p.t.Fatalf("reading = %d", response.StatusCode)
		}
	}
	time.Sleep(2500 * time.Millisecond) // how far a token has read is noted every second
}
