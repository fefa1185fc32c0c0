package signature_test

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"keyhook/internal/signature"
)

// schemeOf are the vectors' names of the schemes.
var schemeOf = map[string]string{
	"standard-webhooks": signature.Standard, "sha256-hex": signature.GitHub, "stripe": signature.Stripe,
	"slack-v0": signature.Slack, "shopify": signature.Shopify,
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// TestVectors are others' published examples; each names its source.
func TestVectors(t *testing.T) {
	t.Parallel()
	var vectors []struct {
		ID, Scheme, Secret, Body, Expect string
		Headers                          map[string]string
		NowUnix                          *int64 `json:"now_unix"`
		KeyHex                           string `json:"key_hex"`
		MsgHex                           string `json:"msg_hex"`
		TagHex                           string `json:"tag_hex"`
	}
	read(t, "signatures.json", &vectors)
	if len(vectors) != 47 {
		t.Errorf("%d vectors, want 47", len(vectors))
	}
	for _, v := range vectors {
		want := strings.HasPrefix(v.Expect, "accept")
		if v.TagHex != "" {
			if got := primitive(t, v.KeyHex, v.MsgHex, v.TagHex); got != want {
				t.Errorf("%s: %v, want %v", v.ID, got, want)
			}
			continue
		}
		headers := http.Header{}
		for name, value := range v.Headers {
			headers.Set(name, value)
		}
		now := time.Unix(0, 0)
		if v.NowUnix != nil {
			now = time.Unix(*v.NowUnix, 0)
		}
		scheme, known := schemeOf[v.Scheme]
		if !known {
			t.Errorf("%s: the scheme %q is not ours", v.ID, v.Scheme)
		}
		err := signature.Verify(scheme, []string{v.Secret}, "", headers, []byte(v.Body), now)
		if (err == nil) != want {
			t.Errorf("%s: Verify = %v, want %s", v.ID, err, v.Expect)
		}
		if scheme == signature.Standard { // Svix's names are the same
			err := signature.Verify(scheme, []string{v.Secret}, "", svix(headers), []byte(v.Body), now)
			if (err == nil) != want {
				t.Errorf("%s as svix: Verify = %v, want %s", v.ID, err, v.Expect)
			}
		}
	}
}

func svix(headers http.Header) http.Header {
	other := http.Header{}
	for name, values := range headers {
		other[strings.Replace(name, "Webhook-", "Svix-", 1)] = values
	}
	return other
}

// primitive checks a bare MAC by way of the scheme that signs the body alone.
func primitive(t *testing.T, keyHex, msgHex, tagHex string) bool {
	t.Helper()
	key, err := hex.DecodeString(keyHex)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := hex.DecodeString(msgHex)
	if err != nil {
		t.Fatal(err)
	}
	headers := http.Header{"X-Hub-Signature-256": {"sha256=" + tagHex}}
	return signature.Verify(signature.GitHub, []string{string(key)}, "", headers, msg, time.Unix(0, 0)) == nil
}

// TestWycheproof runs C2SP's vectors (testdata/README.md). It calls tags of half
// the length valid; here a signature is whole.
func TestWycheproof(t *testing.T) {
	t.Parallel()
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			TagSize int
			Tests   []struct {
				TcID                  int
				Key, Msg, Tag, Result string
			}
		}
	}
	read(t, "hmac_sha256_test.json", &file)
	ran := 0
	for _, group := range file.TestGroups {
		for _, v := range group.Tests {
			ran++
			want := v.Result == "valid" && group.TagSize == 256
			if got := primitive(t, v.Key, v.Msg, v.Tag); got != want {
				t.Errorf("test %d: %v, want %v", v.TcID, got, want)
			}
		}
	}
	if ran != 174 || file.NumberOfTests != 174 {
		t.Errorf("%d tests of %d, want 174", ran, file.NumberOfTests)
	}
}

// RFC 4231, section 4: the test cases whose MAC is not cut short, and the fifth,
// whose is.
func TestRFC4231(t *testing.T) {
	t.Parallel()
	for i, tt := range []struct {
		key, data, mac string
		want           bool
	}{
		{strings.Repeat("\x0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", true},
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", true},
		{strings.Repeat("\xaa", 20), strings.Repeat("\xdd", 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe", true},
		{"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", strings.Repeat("\xcd", 50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b", true},
		{strings.Repeat("\x0c", 20), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b", false},
		{strings.Repeat("\xaa", 131), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", true},
		{strings.Repeat("\xaa", 131), "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.", "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2", true},
	} {
		if got := primitive(t, hex.EncodeToString([]byte(tt.key)), hex.EncodeToString([]byte(tt.data)), tt.mac); got != tt.want {
			t.Errorf("case %d: %v, want %v", i+1, got, tt.want)
		}
	}
}
