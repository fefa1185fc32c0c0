// Package oneline knows what a line of text that people write may hold, and when
// two of them are the same to the eye. It owns no table.
package oneline

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns text without white space at its ends, and with one space for each
// run of it: a browser shows no more, so nobody can type more.
func Fold(text string) string { return strings.Join(strings.Fields(text), " ") }

// Hides reports whether text holds what can't be seen or is not text: control and
// format characters, breaks between lines, fillers. White space at its ends does
// not count; it is folded away.
func Hides(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(strings.TrimSpace(text), func(r rune) bool {
		return hidden(r) || r == utf8.RuneError || unicode.In(r, unicode.Zl, unicode.Zp)
	})
}

// Same reports whether two texts look the same: with white space folded, without
// what can't be seen, and with one code for each letter with a mark.
func Same(a, b string) bool { return plain(a) == plain(b) }

func plain(text string) string {
	seen := strings.Map(func(r rune) rune {
		if !unicode.IsSpace(r) && (hidden(r) || unicode.Is(unicode.Variation_Selector, r)) {
			return -1
		}
		return r
	}, text)
	return norm.NFC.String(Fold(seen))
}

func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
}
