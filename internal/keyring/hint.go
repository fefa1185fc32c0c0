package keyring

import (
	"regexp"
	"strings"
)

// hint is enough to recognise an API key by: the first and last four characters
// behind the prefix. A short one gives away nothing.
func hint(text string) string {
	prefix, body := "", text
	if i := strings.IndexByte(text, '_'); i >= 0 && i < 6 {
		prefix, body = text[:i+1], text[i+1:]
	}
	if len(body) < 24 {
		return prefix + "…"
	}
	return prefix + body[:4] + "…" + body[len(body)-4:]
}

// credentialForm is what people may paste where it does not belong: API keys,
// tokens, keys of the origin and secrets, cut off too. static/app.js has the same.
var credentialForm = regexp.MustCompile(`kh[kt]_[0-9A-Za-z]{38}|kh[kt]_[0-9A-Za-z]{24,}|\bwk_[0-9A-Za-z_-]{24,}|` + secretPrefix + `[0-9A-Za-z+/=_%-]{24,}`)

// HintIn returns the hint of the first credential that a text holds, "" without
// one. Of a secret no part is known to people, so its hint has none.
func HintIn(text string) string {
	found := credentialForm.FindString(text)
	if strings.HasPrefix(found, secretPrefix) {
		return secretPrefix + "…"
	}
	if found == "" {
		return ""
	}
	return hint(found)
}
