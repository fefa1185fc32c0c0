package oneline_test

import (
	"testing"

	"keyhook/internal/oneline"
)

func TestHides(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, " Shop EU\t\n": false, "Größe 2": false, "Shop\u00a0EU": false, "店 ❤\ufe0f": false,
		"a\tb": true, "a\nb": true, "a\x00b": true, "a\u0085b": true, // control
		"a\u200bb": true, "a\u202eb": true, "\ufeffa": true, "a\u00ad": true, "a\u200db": true, // format
		"a\u2028b": true, "a\u2029b": true, "a\u3164": true, "a\xffb": true, "a\ufffdb": true,
	} {
		if got := oneline.Hides(text); got != want {
			t.Errorf("Hides(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"Shop EU", "  Shop \t EU ", true},
		{"Shop EU", "Shop\u00a0\u2003EU", true},
		{"Shop EU", "\ufeffShop \u200b EU\u202e", true},
		{"Shop\u200bEU", "ShopEU", true},
		{"Gro\u0308ße", "Größe", true},
		{"Shop EU", "ShopEU", false},
		{"Shop EU", "shop EU", false},
		{"Shop EU", "", false},
	} {
		if oneline.Same(tt.a, tt.b) != tt.want || oneline.Same(tt.b, tt.a) != tt.want {
			t.Errorf("Same(%q, %q) is not %v", tt.a, tt.b, tt.want)
		}
	}
}
