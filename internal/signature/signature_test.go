package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyhook/internal/signature"
)

const (
	secret = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDEy"
	header = "X-Webhook-Signature"
)

var body = []byte("{\"verbatim\":\"The export is slow\"}\n")

func sign(key string, text []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

func check(values []string, key string, text []byte) (bool, error) {
	presented, err := signature.Read("generic", http.Header{header: values})
	if err != nil {
		return false, err
	}
	return presented.Verify(key, text)
}

// RFC 4231, section 4: the test cases whose MAC is not cut short.
func TestRFC4231(t *testing.T) {
	t.Parallel()
	for i, tt := range []struct{ key, data, mac string }{
		{strings.Repeat("\x0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{strings.Repeat("\xaa", 20), strings.Repeat("\xdd", 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", strings.Repeat("\xcd", 50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{strings.Repeat("\xaa", 131), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{strings.Repeat("\xaa", 131), "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.", "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	} {
		if ok, err := check([]string{"sha256=" + tt.mac}, tt.key, []byte(tt.data)); !ok || err != nil {
			t.Errorf("case %d: Verify = %v, %v, want true", i+1, ok, err)
		}
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	mac := sign(secret, body)
	for _, value := range []string{"sha256=" + mac, mac, strings.ToUpper(mac), "sha256=" + strings.ToUpper(mac)} {
		if ok, err := check([]string{value}, secret, body); !ok || err != nil {
			t.Errorf("Verify(%q) = %v, %v, want true", value, ok, err)
		}
	}
	if ok, err := check([]string{sign(secret, nil)}, secret, nil); !ok || err != nil {
		t.Errorf("Verify of an empty body = %v, %v, want true", ok, err)
	}
	made, err := signature.Sign("generic", secret, body)
	if err != nil || made != "sha256="+mac {
		t.Errorf("Sign = %q, %v, want sha256=%s", made, err, mac)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	mac := sign(secret, body)
	for name, values := range map[string][]string{
		"empty":            {""},
		"short":            {"sha256=" + mac[:62]},
		"half a byte":      {"sha256=" + mac[:63]},
		"long":             {"sha256=" + mac + "00"},
		"128 bits":         {"sha256=" + mac[:32]},
		"inner space":      {"sha256=" + mac[:32] + " " + mac[33:]},
		"leading tab":      {"\tsha256=" + mac},
		"trailing CR":      {"sha256=" + mac + "\r"},
		"upper prefix":     {"SHA256=" + mac},
		"two prefixes":     {"sha256=sha256=" + mac},
		"other prefix":     {"sha1=" + mac[:40]},
		"version prefix":   {"v1=" + mac},
		"not hex":          {"sha256=" + strings.Repeat("z", 64)},
		"two the same":     {"sha256=" + mac, "sha256=" + mac},
		"two in one value": {"sha256=" + mac + ", sha256=" + mac},
		"wrong then right": {"sha256=" + strings.Repeat("0", 64), "sha256=" + mac},
		"over 4 KiB":       {"sha256=" + mac + strings.Repeat(" ", 4<<10)},
	} {
		ok, err := check(values, secret, body)
		if ok || !errors.Is(err, signature.ErrFormat) {
			t.Errorf("%s: %v, %v, want ErrFormat", name, ok, err)
		}
		if err != nil && strings.Contains(err.Error(), mac[:16]) {
			t.Errorf("%s: the error repeats the signature: %v", name, err)
		}
	}
	if _, err := signature.Read("generic", http.Header{}); !errors.Is(err, signature.ErrMissing) {
		t.Errorf("Read without a header = %v, want ErrMissing", err)
	}
	if _, err := signature.Read("other", http.Header{}); !errors.Is(err, signature.ErrUnknownScheme) {
		t.Errorf("Read of another scheme = %v, want ErrUnknownScheme", err)
	}
}

func TestWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		key  string
		body string
	}{
		"secret with a newline":  {secret + "\n", string(body)},
		"secret without whsec_":  {strings.TrimPrefix(secret, "whsec_"), string(body)},
		"another secret":         {"whsec_another", string(body)},
		"byte order mark":        {secret, "\ufeff" + string(body)},
		"CRLF":                   {secret, strings.ReplaceAll(string(body), "\n", "\r\n")},
		"re-serialised":          {secret, "{\"verbatim\": \"The export is slow\"}\n"},
		"nothing":                {secret, ""},
		"body without its end":   {secret, string(body[:len(body)-1])},
		"body with a zero at it": {secret, string(body) + "\x00"},
	} {
		if ok, err := check([]string{"sha256=" + sign(tt.key, []byte(tt.body))}, secret, body); ok || err != nil {
			t.Errorf("%s: %v, %v, want false", name, ok, err)
		}
	}
	if ok, err := check([]string{sign("", body)}, "", body); ok || !errors.Is(err, signature.ErrNoSecret) {
		t.Errorf("an empty secret = %v, %v, want ErrNoSecret", ok, err)
	}
	if _, err := signature.Sign("generic", "", body); !errors.Is(err, signature.ErrNoSecret) {
		t.Errorf("Sign with an empty secret = %v, want ErrNoSecret", err)
	}
	if ok, _ := (signature.Presented{}).Verify(secret, body); ok {
		t.Error("no signature at all was accepted")
	}
}

// One bit flipped in each byte of the MAC.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	right, err := hex.DecodeString(sign(secret, body))
	if err != nil {
		t.Fatal(err)
	}
	for i := range right {
		wrong := append([]byte(nil), right...)
		wrong[i] ^= 1 << (i % 8)
		if ok, err := check([]string{fmt.Sprintf("sha256=%x", wrong)}, secret, body); ok || err != nil {
			t.Errorf("byte %d flipped: %v, %v, want false", i, ok, err)
		}
	}
}

// FuzzVerify holds the verifier against an independent reading of the rule.
func FuzzVerify(f *testing.F) {
	mac := sign(secret, body)
	for _, value := range []string{"", mac, "sha256=" + mac, "sha256=" + mac + " ", "SHA256=" + mac, strings.ToUpper(mac), "sha256=,", "é"} {
		f.Add(value, secret, body)
	}
	f.Add("sha256="+sign("k", nil), "k", []byte{})
	f.Fuzz(func(t *testing.T, value, key string, text []byte) {
		ok, _ := check([]string{value}, key, text)
		want := sign(key, text)
		lower := strings.ToLower(value)
		right := key != "" && (lower == want || (strings.HasPrefix(value, "sha256=") && lower == "sha256="+want))
		if ok != right {
			t.Errorf("Verify(%q) with %q = %v, want %v", value, key, ok, right)
		}
	})
}
