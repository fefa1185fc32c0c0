// Package signature checks the signatures of senders: pure functions over
// secret, headers and body. It owns no table and keeps no state.
//
// Its invariant: the bytes that are verified are the bytes that were received,
// and every comparison with a secret takes the same time whatever it finds.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxHeader is how long a signature header may be, in bytes.
const maxHeader = 4 << 10

var (
	// ErrMissing says that the scheme's signature header is not there.
	ErrMissing = errors.New("no signature")
	// ErrFormat says that the header is there but can't be read. It tells
	// nothing about any secret.
	ErrFormat = errors.New("the signature can't be read")
	// ErrNoSecret says that there is nothing to verify with.
	ErrNoSecret = errors.New("the secret is empty")
	// ErrUnknownScheme says that no scheme has that name.
	ErrUnknownScheme = errors.New("unknown signature scheme")
)

// A scheme is one way of signing requests.
type scheme struct {
	header string
	parse  func(value string) ([]byte, error)
	sum    func(secret string, body []byte) []byte
}

// schemes is the whole list; another scheme is another row.
var schemes = map[string]scheme{
	"generic": {header: "X-Webhook-Signature", parse: parseHex, sum: sumBody},
}

// Header returns the name of the scheme's signature header, or "".
func Header(schemeName string) string { return schemes[schemeName].header }

// Presented is a signature as it came with a request, read but not verified.
type Presented struct {
	scheme scheme
	mac    []byte
}

// Read takes the scheme's signature from headers. Its errors are ErrMissing,
// ErrUnknownScheme or wrap ErrFormat; all of them depend on the headers alone.
func Read(schemeName string, headers http.Header) (Presented, error) {
	scheme, known := schemes[schemeName]
	if !known {
		return Presented{}, ErrUnknownScheme
	}
	values := headers.Values(scheme.header)
	switch {
	case len(values) == 0:
		return Presented{}, ErrMissing
	case len(values) > 1:
		return Presented{}, fmt.Errorf("%w: %s was sent %d times", ErrFormat, scheme.header, len(values))
	case len(values[0]) > maxHeader:
		return Presented{}, fmt.Errorf("%w: %s is longer than 4 KiB", ErrFormat, scheme.header)
	}
	mac, err := scheme.parse(values[0])
	if err != nil {
		return Presented{}, fmt.Errorf("%w: %s %w", ErrFormat, scheme.header, err)
	}
	return Presented{scheme, mac}, nil
}

// Verify reports whether the signature was made over body with secret. An empty
// secret is an error, never a match.
func (p Presented) Verify(secret string, body []byte) (bool, error) {
	if secret == "" {
		return false, ErrNoSecret
	}
	if p.scheme.sum == nil {
		return false, ErrMissing
	}
	return hmac.Equal(p.mac, p.scheme.sum(secret, body)), nil
}

// Sign returns the value of the scheme's header for body, as a sender makes it.
func Sign(schemeName, secret string, body []byte) (string, error) {
	scheme, known := schemes[schemeName]
	if !known {
		return "", ErrUnknownScheme
	}
	if secret == "" {
		return "", ErrNoSecret
	}
	return hexPrefix + hex.EncodeToString(scheme.sum(secret, body)), nil
}

const hexPrefix = "sha256="

var errHex = errors.New("must be sha256= and 64 hexadecimal characters")

// parseHex reads sha256=<64 hex> or bare hex. A shortened MAC is refused.
func parseHex(value string) ([]byte, error) {
	text := strings.TrimPrefix(value, hexPrefix)
	if len(text) != 2*sha256.Size {
		return nil, fmt.Errorf("%w; it has %d characters after the prefix", errHex, len(text))
	}
	mac, err := hex.DecodeString(text)
	if err != nil {
		return nil, errHex // hex's own message would repeat a byte of the header
	}
	return mac, nil
}

// sumBody is HMAC-SHA-256 over the body, keyed with the secret's text as shown.
func sumBody(secret string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}
