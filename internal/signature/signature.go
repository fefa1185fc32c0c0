// Package signature checks what senders prove themselves with: pure functions of
// secrets, headers, raw body and time. It owns no table and keeps no state.
//
// Its invariants: the bytes that are verified are the bytes that were received,
// nothing of a body is read before its signature holds, and every comparison with
// a secret takes the same time whatever it finds.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxHeader is how long a header that takes part in the proof may be, in bytes.
	maxHeader = 4 << 10
	// maxSignatures is how many signatures one header may hold.
	maxSignatures = 8
	// Tolerance is how far a timestamp may be from now, either way.
	Tolerance = 5 * time.Minute
)

var (
	// ErrMissing says that nothing of the scheme's is there.
	ErrMissing = errors.New("no signature")
	// ErrStale says that the signature's time is too far from now.
	ErrStale = errors.New("the timestamp is more than 5 minutes away")
	// ErrWrong says that no secret made the signature.
	ErrWrong = errors.New("the signature does not match")
	// ErrNoSecret says that there is nothing to verify with.
	ErrNoSecret = errors.New("the secret is empty")
	// ErrUnreadableSecret says that the secret is not what the scheme decodes.
	ErrUnreadableSecret = errors.New("the secret is not base64")
	// ErrUnknownScheme says that no scheme has that name.
	ErrUnknownScheme = errors.New("unknown signature scheme")
)

// A FormatError says which header is there but can't be read. It tells nothing
// about any secret, and repeats nothing of the header.
type FormatError struct{ Header, What string }

func (e *FormatError) Error() string { return e.Header + " " + e.What }

// A Presented is what a request presents under a scheme, read from its headers
// alone and not verified.
type Presented struct {
	Signed bool      // a signature, not a secret that is sent along
	User   string    // whom basic credentials name; not a secret
	ID     string    // the event's id, where the signature covers it
	Time   time.Time // when it was signed; zero: no header says so

	prefix string   // what is signed before the body
	macs   [][]byte // any of them may match
	token  string   // a secret that is sent as it is
	reader keyReader
	timed  func(header string, body []byte, now time.Time) error // of what only the body tells
	header string                                                // for timed
}

// Read takes what the scheme asks for from headers. Its errors are ErrMissing
// or a *FormatError; both depend on the headers alone.
func (s *Scheme) Read(headers http.Header) (Presented, error) { return s.read(headers) }

// Sent is a secret that came as it is; "": a signature came.
func (p Presented) Sent() string { return p.token }

// Fresh reports whether the time in the headers, if there is one, is near now.
func (p Presented) Fresh(now time.Time) bool {
	return p.Time.IsZero() || near(p.Time, now)
}

func near(at, now time.Time) bool { return now.Sub(at).Abs() <= Tolerance }

// Verify reports whether the request was proved with secret: nil, ErrWrong,
// ErrStale, ErrNoSecret or ErrUnreadableSecret. It is for the caller to compare
// User. An empty secret is an error, never a match.
func (p Presented) Verify(secret string, body []byte, now time.Time) error {
	if secret == "" {
		return ErrNoSecret
	}
	if !p.Signed {
		if !sameText(p.token, secret) {
			return ErrWrong
		}
		return nil
	}
	key, err := p.reader(secret)
	if err != nil {
		return err
	}
	sum := mac(key, p.prefix, body)
	matches := false
	for _, presented := range p.macs {
		matches = hmac.Equal(presented, sum) || matches
	}
	switch {
	case !matches:
		return ErrWrong
	case !p.Fresh(now):
		return ErrStale
	case p.timed != nil:
		return p.timed(p.header, body, now)
	}
	return nil
}

// Verify checks a whole request against the scheme's secrets, the first that
// fits. User is whom basic credentials must name.
func Verify(scheme string, secrets []string, user string, headers http.Header, body []byte, now time.Time) error {
	s, known := Find(scheme)
	if !known {
		return ErrUnknownScheme
	}
	presented, err := s.Read(headers)
	if err != nil {
		return err
	}
	if presented.User != "" && presented.User != user {
		return ErrWrong
	}
	err = ErrNoSecret
	for _, secret := range secrets {
		if err = presented.Verify(secret, body, now); err == nil {
			return nil
		}
	}
	return err
}

// mac is HMAC-SHA-256 over prefix and body.
func mac(key []byte, prefix string, body []byte) []byte {
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(prefix))
	sum.Write(body)
	return sum.Sum(nil)
}

// sameText compares in a time that tells neither text nor length.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}

// unix writes a time as the schemes' headers do.
func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
