package signature

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// one returns the header's only value.
func one(headers http.Header, name string) (string, error) {
	values := headers.Values(name)
	switch {
	case len(values) == 0:
		return "", ErrMissing
	case len(values) > 1:
		return "", &FormatError{name, "must be sent once; it came " + strconv.Itoa(len(values)) + " times"}
	case values[0] == "":
		return "", &FormatError{name, "is empty"}
	case len(values[0]) > maxHeader:
		return "", &FormatError{name, "is longer than 4 KiB"}
	}
	return values[0], nil
}

// needed is one for a header that must come with the signature.
func needed(headers http.Header, name string) (string, error) {
	value, err := one(headers, name)
	if err == ErrMissing {
		return "", &FormatError{name, "must come with the signature"}
	}
	return value, err
}

const hexPrefix = "sha256="

// hexReader reads 64 hex characters behind a prefix. A shortened MAC is refused.
func hexReader(name, prefix string, optional bool) func(http.Header) (Presented, error) {
	return func(headers http.Header) (Presented, error) {
		value, err := one(headers, name)
		if err != nil {
			return Presented{}, err
		}
		text, found := strings.CutPrefix(value, prefix)
		if !found && !optional {
			return Presented{}, &FormatError{name, "must begin with " + prefix}
		}
		sum, ok := hexMAC(text)
		if !ok {
			return Presented{}, &FormatError{name, wrongLength("must hold 64 hexadecimal characters", len(text), 2*sha256.Size)}
		}
		return Presented{Signed: true, macs: [][]byte{sum}, reader: textKey}, nil
	}
}

func wrongLength(what string, got, want int) string {
	if got == want {
		return what
	}
	return what + "; it has " + strconv.Itoa(got)
}

func hexMAC(text string) ([]byte, bool) {
	if len(text) != 2*sha256.Size {
		return nil, false
	}
	sum, err := hex.DecodeString(text)
	return sum, err == nil
}

// base64MAC reads a whole MAC. The decoder alone would skip line ends.
func base64MAC(text string) ([]byte, bool) {
	if len(text) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return nil, false
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	return sum, err == nil && len(sum) == sha256.Size
}

// timestamp reads a time in one way only: implementations that print the number
// anew sign another text for +1 or 01 than those that sign the header.
func timestamp(text string) (time.Time, bool) {
	if len(text) == 0 || len(text) > 11 || text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0), err == nil
}

const wrongTimestamp = "must be a time in seconds since 1970, such as 1767225600"

// A family is the three headers of Standard Webhooks under one of their names.
type family struct{ id, timestamp, signature string }

var (
	standardNames = family{"webhook-id", "webhook-timestamp", "webhook-signature"}
	svixNames     = family{"svix-id", "svix-timestamp", "svix-signature"}
)

// readStandard reads Standard Webhooks. The two names are never mixed; where
// both came, the standard's count.
func readStandard(headers http.Header) (Presented, error) {
	switch {
	case len(headers[canonicalStandard]) > 0:
		return standardNames.read(headers)
	case len(headers[canonicalSvix]) > 0:
		return svixNames.read(headers)
	}
	return Presented{}, ErrMissing
}

// The signatures' names as net/http writes them: looked up for every request, also
// of other schemes, they must not be made canonical each time.
const (
	canonicalStandard = "Webhook-Signature"
	canonicalSvix     = "Svix-Signature"
)

func (f family) read(headers http.Header) (Presented, error) {
	value, err := one(headers, f.signature)
	if err != nil {
		return Presented{}, err
	}
	id, err := needed(headers, f.id)
	if err != nil {
		return Presented{}, err
	}
	if !isEventID(id) {
		return Presented{}, &FormatError{f.id, "must have 1 to 255 printable ASCII characters, and no full stop"}
	}
	text, err := needed(headers, f.timestamp)
	if err != nil {
		return Presented{}, err
	}
	at, ok := timestamp(text)
	if !ok {
		return Presented{}, &FormatError{f.timestamp, wrongTimestamp}
	}
	macs, what := versionedMACs(value)
	if what != "" {
		return Presented{}, &FormatError{f.signature, what}
	}
	return Presented{Signed: true, ID: id, Time: at, prefix: id + "." + text + ".", macs: macs, reader: decodedKey}, nil
}

// isEventID follows the specification, and refuses the full stop: it would let
// one part of what is signed run into the next.
func isEventID(id string) bool {
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' || id[i] == '.' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 255 && strings.TrimSpace(id) != ""
}

// versionedMACs reads v1,<base64> in a list by spaces. Other versions are not
// looked at; what can't be read of v1 matches nothing.
func versionedMACs(value string) (macs [][]byte, what string) {
	list := strings.Split(value, " ")
	if len(list) > maxSignatures {
		return nil, "holds more than 8 signatures"
	}
	for _, item := range list {
		version, text, found := strings.Cut(item, ",")
		if !found || strings.Contains(text, ",") {
			return nil, "must be a list of v1, and 44 base64 characters, with one space between two"
		}
		if sum, ok := base64MAC(text); ok && version == "v1" {
			macs = append(macs, sum)
		}
	}
	if macs == nil {
		return nil, "must hold v1, and 44 base64 characters"
	}
	return macs, ""
}

// readStripe reads t=…,v1=…,v1=…; other members are not looked at.
func readStripe(headers http.Header) (Presented, error) {
	const name = "Stripe-Signature"
	value, err := one(headers, name)
	if err != nil {
		return Presented{}, err
	}
	var p Presented
	members := strings.Split(value, ",")
	if len(members) > maxSignatures+1 {
		return Presented{}, &FormatError{name, "holds more than 8 signatures"}
	}
	for _, member := range members {
		key, text, found := strings.Cut(member, "=")
		if !found || strings.Contains(text, "=") || strings.ContainsAny(key, " \t") {
			return Presented{}, &FormatError{name, "must be like t=1767225600,v1=…"}
		}
		switch key {
		case "t":
			at, ok := timestamp(text)
			if !ok || !p.Time.IsZero() {
				return Presented{}, &FormatError{name, "must hold t once, in seconds since 1970"}
			}
			p.Time, p.prefix = at, text+"."
		case "v1":
			if sum, ok := hexMAC(text); ok {
				p.macs = append(p.macs, sum)
			}
		}
	}
	if p.Time.IsZero() || p.macs == nil {
		return Presented{}, &FormatError{name, "must hold t, and v1 with 64 hexadecimal characters"}
	}
	p.Signed, p.reader = true, textKey
	return p, nil
}

// readSlack reads v0=<hex> with the time beside it.
func readSlack(headers http.Header) (Presented, error) {
	const stamp = "X-Slack-Request-Timestamp"
	p, err := hexReader("X-Slack-Signature", "v0=", false)(headers)
	if err != nil {
		return Presented{}, err
	}
	text, err := needed(headers, stamp)
	if err != nil {
		return Presented{}, err
	}
	at, ok := timestamp(text)
	if !ok {
		return Presented{}, &FormatError{stamp, wrongTimestamp}
	}
	p.Time, p.prefix = at, "v0:"+text+":"
	return p, nil
}

func readShopify(headers http.Header) (Presented, error) {
	const name = "X-Shopify-Hmac-Sha256"
	value, err := one(headers, name)
	if err != nil {
		return Presented{}, err
	}
	sum, ok := base64MAC(value)
	if !ok {
		return Presented{}, &FormatError{name, wrongLength("must hold 44 base64 characters", len(value), 44)}
	}
	return Presented{Signed: true, macs: [][]byte{sum}, reader: textKey}, nil
}

// readGitLab tells a signature from a token by the signature's header alone:
// GitLab sends the id and the time without one too.
func readGitLab(headers http.Header) (Presented, error) {
	if len(headers[canonicalStandard]) > 0 {
		return standardNames.read(headers)
	}
	token, err := one(headers, "X-Gitlab-Token")
	return Presented{token: token}, err
}

// readBasic reads RFC 7617 credentials. Other kinds of Authorization are none.
func readBasic(headers http.Header) (Presented, error) {
	const name = "Authorization"
	value, err := one(headers, name)
	if err != nil {
		return Presented{}, err
	}
	kind, text, _ := strings.Cut(value, " ")
	if !strings.EqualFold(kind, "Basic") {
		return Presented{}, ErrMissing
	}
	pair, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return Presented{}, &FormatError{name, "must be Basic and the base64 of user name, colon and password"}
	}
	user, password, found := strings.Cut(string(pair), ":")
	if !found || user == "" || password == "" {
		return Presented{}, &FormatError{name, "must name a user and a password, with a colon between them"}
	}
	return Presented{User: user, token: password}, nil
}
