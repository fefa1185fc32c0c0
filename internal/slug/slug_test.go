package slug_test

import (
	"strings"
	"testing"

	"keyhook/internal/slug"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Harbour & Pine":        "harbour-pine",
		"  Shopify EU: Größe ":  "shopify-eu-grosse",
		"Żółw – 2":              "zo-w-2",
		"a_b.c":                 "a-b-c",
		"日本":                    "",
		"":                      "",
		"---":                   "",
		"\x00\xff":              "",
		strings.Repeat("x", 99): strings.Repeat("x", 40),
	} {
		if got := slug.Of(name, 40); got != want {
			t.Errorf("Of(%q) = %q, want %q", name, got, want)
		}
	}
}
