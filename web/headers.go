package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"keyhook/internal/fault"
)

// A policy is the content security policy of one answer. Its nonce is new each
// time: htmx obeys only elements that carry it.
type policy struct{ nonce string }

func newPolicy() policy {
	var raw [16]byte
	rand.Read(raw[:])
	return policy{base64.RawURLEncoding.EncodeToString(raw[:])}
}

type policyKey struct{}

func withPolicy(ctx context.Context, p policy) context.Context {
	return context.WithValue(ctx, policyKey{}, p)
}

func nonce(r *http.Request) string {
	p, _ := r.Context().Value(policyKey{}).(policy)
	return p.nonce
}

// setHeaders sets what every answer of the console carries.
func (s *Server) setHeaders(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'self' 'nonce-%s'; style-src 'self'; img-src 'self' data:; "+
		"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "+
		"require-trusted-types-for 'script'; trusted-types htmx; report-uri /csp-report", nonce(r)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, forms over plain http would send Origin: null
	if s.insecure(r) == "" {                // browsers ignore it elsewhere, and complain
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=(), clipboard-write=(self)")
	h.Set("Cache-Control", "no-store")
	if s.config.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

// checkHost refuses requests for other host names than the public URL's, where
// that was set: a name that somebody else controls must not show the console.
func (s *Server) checkHost(next http.Handler) http.Handler {
	public, err := url.Parse(s.config.PublicURL)
	if !s.config.FixedHost || err != nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !sameHost(r.Host, public.Host) && r.URL.Path != "/healthz" {
			s.handle(func(http.ResponseWriter, *http.Request) error {
				return fault.New(fault.Forbidden, fmt.Sprintf("This console is at %s, and the request asked for %s. "+
					"Open it there, let the proxy in front pass the Host header on, or correct KEYHOOK_PUBLIC_URL.", s.config.PublicURL, shown(r.Host)))
			}).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameHost compares host names with their ports; the usual ports may be left out.
func sameHost(a, b string) bool {
	trim := func(host string) string {
		return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), ":80")
	}
	return trim(a) == trim(b)
}

// denyCrossOrigin explains a refused form by the names that did not match.
func (s *Server) denyCrossOrigin(_ http.ResponseWriter, r *http.Request) error {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err == nil && origin.Host != "" && !sameHost(origin.Host, r.Host) {
		return fault.New(fault.Forbidden, fmt.Sprintf("The form was sent from %s, and this console was asked for as %s. "+
			"If both are right, let the proxy in front pass the Host header on, and set KEYHOOK_PUBLIC_URL.", shown(origin.Host), shown(r.Host)))
	}
	return fault.New(fault.Forbidden, "The form was sent from another site. Open the page here and send it again.")
}

// shown cuts what a stranger sent to a length that fits a sentence.
func shown(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil && len(name) > 100 || len(host) > 110 {
		return "another name"
	}
	return host
}

func asTooLarge(err error) (*http.MaxBytesError, bool) {
	return errors.AsType[*http.MaxBytesError](err)
}

// safeNext returns a path of this site to go on to, or "/" for anything else.
func safeNext(next string) string {
	u, err := url.Parse(next)
	bad := strings.ContainsFunc(next, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
	if err != nil || bad || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" ||
		!strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.HasPrefix(u.Path, "//") || len(next) > 2000 {
		return "/"
	}
	return next
}
