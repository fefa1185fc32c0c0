package ingest

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// The endpoints' patterns, as they are recorded and logged. The path itself may
// hold an API key.
const (
	hookEndpoint       = "/hooks/{key id}"
	hookURLEndpoint    = "/hooks/{key id}/{api key}"
	signalsEndpoint    = "/api/webhooks/signals"
	signalsURLEndpoint = "/api/webhooks/signals/{api key}"
)

// A route is where a request goes, read from its raw path.
type route struct {
	endpoint string
	keyID    string // as written; "" on /api/webhooks/signals
	apiKey   string // "" where the path has none
}

// signals reports whether the payload is the origin's, a JSON object.
func (r route) signals() bool { return r.keyID == "" }

// routeOf reads an escaped path. It never cleans one: what is not exactly an
// endpoint is nothing.
func routeOf(escaped string) (route, bool) {
	if escaped == signalsEndpoint {
		return route{endpoint: signalsEndpoint}, true
	}
	if rest, ok := strings.CutPrefix(escaped, signalsEndpoint+"/"); ok {
		segments, ok := split(rest, 1)
		if !ok {
			return route{}, false
		}
		return route{endpoint: signalsURLEndpoint, apiKey: segments[0]}, true
	}
	rest, ok := strings.CutPrefix(escaped, "/hooks/")
	if !ok {
		return route{}, false
	}
	segments, ok := split(rest, 2)
	switch {
	case !ok:
		return route{}, false
	case len(segments) == 1:
		return route{endpoint: hookEndpoint, keyID: segments[0]}, true
	}
	return route{endpoint: hookURLEndpoint, keyID: segments[0], apiKey: segments[1]}, true
}

// split cuts an escaped path into one to most segments, none of them empty.
func split(escaped string, most int) ([]string, bool) {
	segments := strings.Split(escaped, "/")
	if len(segments) > most {
		return nil, false
	}
	for i, segment := range segments {
		text, err := url.PathUnescape(segment)
		if err != nil || text == "" || text == "." || text == ".." || strings.Contains(text, "/") {
			return nil, false
		}
		segments[i] = text
	}
	return segments, true
}

// Prefixed sends what is under /hooks and /api/webhooks, however it is written,
// to hooks, and all else to console. A ServeMux would answer an unclean path
// with a redirect, and senders stop on those.
func Prefixed(hooks, console http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isHook(r.URL.Path) || isHook(path.Clean("/"+r.URL.Path)) {
			hooks.ServeHTTP(w, r)
			return
		}
		console.ServeHTTP(w, r)
	})
}

func isHook(p string) bool {
	for _, prefix := range []string{"/hooks", "/api/webhooks"} {
		if p == prefix || strings.HasPrefix(p, prefix+"/") {
			return true
		}
	}
	return false
}
