package signature

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// A Reading is how a secret's text becomes the key of a MAC.
type Reading string

// The readings. One displayed secret has a different key under each, so a
// signature of one scheme never holds under another.
const (
	AsText     Reading = "text"               // its bytes as shown, prefix included
	AsBase64   Reading = "base64"             // decoded, without whsec_
	AsItIsSent Reading = "as sent"            // compared with what the sender sends
	AsEither   Reading = "decoded or as sent" // base64 for a signature, else as it is sent
)

const secretPrefix = "whsec_"

// A keyReader turns a secret into the key of a MAC.
type keyReader func(secret string) ([]byte, error)

func textKey(secret string) ([]byte, error) { return []byte(secret), nil }

// decodedKey reads what follows whsec_, which may be left out, as strict base64.
func decodedKey(secret string) ([]byte, error) {
	text := strings.TrimPrefix(secret, secretPrefix)
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return nil, ErrUnreadableSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil:
		return nil, ErrUnreadableSecret
	case len(key) == 0:
		return nil, ErrNoSecret
	}
	return key, nil
}

// A Form is what a provider's secrets look like.
type Form struct {
	pattern *regexp.Regexp
	Text    string // such as "whsec_ and 32 or more letters and digits"
}

// CheckSecret says whether a secret can be used under the scheme at all.
func (s *Scheme) CheckSecret(secret string) error {
	if secret == "" {
		return ErrNoSecret
	}
	if s.Reading == AsBase64 {
		_, err := decodedKey(secret)
		return err
	}
	return nil
}

// LooksRight reports whether a secret has the form that the provider's have.
func (s *Scheme) LooksRight(secret string) bool {
	return s.Form.pattern == nil || s.Form.pattern.MatchString(secret)
}
