// Package slug turns names into what can stand in a URL or an identifier. It owns
// no table.
package slug

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Of returns name as small ASCII letters, without their marks, and digits, with
// single dashes for what is between, of about limit bytes at most. It returns ""
// where nothing is left.
func Of(name string, limit int) string {
	var b strings.Builder
	dash := false
	for _, r := range norm.NFKD.String(strings.ReplaceAll(strings.ToLower(name), "ß", "ss")) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			dash = false
		case !unicode.Is(unicode.Mn, r):
			dash = true
		}
		if b.Len() >= limit {
			break
		}
	}
	return b.String()
}
