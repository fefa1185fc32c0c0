package keyring

import (
	"strings"
	"testing"
	"time"
)

// The vector is of another product that published the same rule.
func TestChecksumVector(t *testing.T) {
	t.Parallel()
	const token = "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"
	if got := checksum(token[4:34]); got != token[34:] {
		t.Errorf("checksum = %s, want %s", got, token[34:])
	}
}

func TestParseAPIKey(t *testing.T) {
	t.Parallel()
	good := NewAPIKey().text
	for name, tt := range map[string]struct {
		text        string
		known, fits bool
	}{
		"good":        {good, true, true},
		"short":       {good[:41], true, false},
		"long":        {good + "0", true, false},
		"one changed": {good[:10] + swap(good[10]) + good[11:], true, false},
		"a space":     {good[:10] + " " + good[11:], true, false},
		"origin":      {"wk_4f9a2c7de1b84f9a2c7de1b84f9a2c7d", false, true},
		"empty":       {"", false, false},
		"huge":        {strings.Repeat("a", 1<<20), false, false},
		"line":        {"wk_a\nb", false, false},
	} {
		known, err := ParseAPIKey(tt.text)
		if known != tt.known || (err == nil) != tt.fits {
			t.Errorf("%s: ParseAPIKey = %v, %v; want %v, fits %v", name, known, err, tt.known, tt.fits)
		}
		if err != nil && len(tt.text) > 3 && strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: the hint repeats the key", name)
		}
	}
}

func swap(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

// TestRandomTextIsUnbiased counts characters: with 61 degrees of freedom a fair
// draw stays under 130 but for one time in a million.
func TestRandomTextIsUnbiased(t *testing.T) {
	t.Parallel()
	counts := map[rune]int{}
	const keys = 20_000
	seen := map[string]bool{}
	for range keys {
		text := randomText(randomLen)
		seen[text] = true
		for _, r := range text {
			counts[r]++
		}
	}
	expected, chi := float64(keys*randomLen)/float64(len(alphabet)), 0.0
	for _, r := range alphabet {
		d := float64(counts[r]) - expected
		chi += d * d / expected
	}
	if chi > 130 || len(seen) != keys {
		t.Errorf("chi-square = %.1f over %d different texts, want under 130 and %d", chi, len(seen), keys)
	}
}

func TestStatusAt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { moment := now.Add(d); return &moment }
	const day = 24 * time.Hour
	for _, tt := range []struct {
		key  Key
		want Status
	}{
		{Key{Active: true, LastUsedAt: at(-day)}, Active},
		{Key{Active: true}, NeverUsed},
		{Key{Active: true, LastUsedAt: at(-31 * day)}, Idle},
		{Key{Active: true, LastUsedAt: at(-day), ExpiresAt: at(3 * day)}, Expiring},
		{Key{Active: true, ExpiresAt: at(31 * day)}, NeverUsed},
		{Key{Active: true, RotatingUntil: at(day)}, Rotating},
		{Key{Active: true, LastUsedAt: at(-31 * day), RotatingUntil: at(time.Hour), ExpiresAt: at(31 * day)}, Rotating},
		{Key{Active: true, LastUsedAt: at(-day), RotatingUntil: at(0)}, Active},
		{Key{Active: true, RotatingUntil: at(day), ExpiresAt: at(3 * day)}, Expiring},
		{Key{Active: false, RotatingUntil: at(day)}, Inactive},
		{Key{Active: true, ExpiresAt: at(0)}, Expired},
		{Key{Active: false, ExpiresAt: at(-day)}, Inactive},
	} {
		if got := tt.key.StatusAt(now); got != tt.want {
			t.Errorf("StatusAt(%+v) = %s, want %s", tt.key, got, tt.want)
		}
	}
}

func FuzzParseAPIKey(f *testing.F) {
	f.Add("khk_")
	f.Add(NewAPIKey().text)
	f.Add("khk_00000000000000000000000000000000000000")
	f.Add("wk_4f9a2c7de1b84f9a2c7de1b84f9a2c7d")
	f.Fuzz(func(t *testing.T, text string) {
		known, err := ParseAPIKey(text)
		if known != strings.HasPrefix(text, apiKeyPrefix) {
			t.Errorf("ParseAPIKey(%q) known = %v", text, known)
		}
		if err != nil {
			return
		}
		if known && (len(text) != apiKeyLen || apiKeyPrefix+text[4:36]+checksum(text[4:36]) != text) {
			t.Errorf("ParseAPIKey accepts %q, which NewAPIKey could not make", text)
		}
		if got := hint(text); len(text) >= 30 && strings.Contains(got, text[8:len(text)-4]) {
			t.Errorf("the hint %q gives away %q", got, text)
		}
	})
}

func TestHintIn(t *testing.T) {
	t.Parallel()
	key := NewAPIKey().text
	for text, want := range map[string]string{
		key: hint(key), "Bearer " + key + ".": hint(key), key + "x": hint(key), NewSecret().text: "whsec_…",
		"": "", "billing": "", "khk_": "", hint(key): "", "whsec_…": "", "network_of_all_the_warehouses_in_europe": "",
	} {
		if got := HintIn(text); got != want {
			t.Errorf("HintIn(%q) = %q, want %q", text, got, want)
		}
	}
}
