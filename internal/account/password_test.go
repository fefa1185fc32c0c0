package account

import (
	"strings"
	"testing"
)

// TestPHC pins the form of stored password hashes: those that are stored must go
// on being understood.
func TestPHC(t *testing.T) {
	t.Parallel()
	got := phc("copper-lantern-riverbank-42", []byte("0123456789abcdef"))
	if !strings.HasPrefix(got, "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$") || len(got) != 97 {
		t.Errorf("phc = %s", got)
	}
	s := NewStore(nil, nil, nil)
	foreign := "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" // of other parameters, with a hash that is not it
	for stored, want := range map[string]bool{got: true, "": false, foreign + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA": false} {
		if right, err := s.verify(t.Context(), stored, "copper-lantern-riverbank-42"); err != nil || right != want {
			t.Errorf("verify(%.30s) = %v, %v; want %v", stored, right, err, want)
		}
	}
	if right, err := s.verify(t.Context(), got, strings.Repeat("x", 1<<20)); err != nil || right {
		t.Errorf("verify of a huge password = %v, %v", right, err)
	}
	if _, err := s.verify(t.Context(), "$argon2id$v=x$m=,t=,p=$!$!", "x"); err == nil {
		t.Error("verify understands a damaged hash")
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for password, fits := range map[string]bool{
		"copper-lantern-riverbank-42": true,
		"four words in a row":         true,
		"größenwahn im mai":           true,
		"short":                       false,
		strings.Repeat("x", 1025):     false,
		"passwordpassword":            false,
		"Password1234":                false,
		"aaaaaaaaaaaaaaaa":            false,
		"abcabcabcabcabc":             false,
		"123456789012345":             false,
		"qwertyuiopasdf":              false,
		"ada.okonkwo1234":             false,
		"AdaOkonkwo!!!!":              false,
		"ada.okonkwo likes the sea":   true,
		"bad\xffutf8 password":        false,
		"keyhook keyhook":             false,
	} {
		if f := checkPassword(password, "ada.okonkwo@example.com", "Ada Okonkwo"); (f == nil) != fits {
			t.Errorf("checkPassword(%.30q) = %v, want fits %v", password, f, fits)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "unknown", "@": "unknown",
	} {
		if got := network(address); got != want {
			t.Errorf("network(%q) = %s, want %s", address, got, want)
		}
	}
}
