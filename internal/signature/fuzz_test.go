package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyhook/internal/signature"
)

// FuzzRead: whatever stands in the headers, what is read is no panic, and its
// verdict with a secret that signed nothing is no.
func FuzzRead(f *testing.F) {
	f.Add("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "msg_1", "1767225600", "t=1767225600,v1=00", "Basic eDp5")
	f.Add("sha256=00", "", "+1", "t=,v1", "Bearer x")
	f.Fuzz(func(t *testing.T, sum, id, at, stripe, authorization string) {
		headers := http.Header{
			"Webhook-Signature": {sum}, "Webhook-Id": {id}, "Webhook-Timestamp": {at}, "X-Slack-Signature": {sum}, "X-Slack-Request-Timestamp": {at},
			"Stripe-Signature": {stripe}, "Authorization": {authorization}, "X-Hub-Signature-256": {sum}, "X-Webhook-Signature": {sum},
			"X-Shopify-Hmac-Sha256": {sum}, "Linear-Signature": {sum}, "Linear-Timestamp": {at}, "X-Gitlab-Token": {id},
		}
		for _, s := range signature.All() {
			presented, err := s.Read(headers)
			if err != nil {
				bad := (*signature.FormatError)(nil)
				if !errors.Is(err, signature.ErrMissing) && !errors.As(err, &bad) {
					t.Errorf("%s: Read = %v", s.Name, err)
				}
				continue
			}
			if err := presented.Verify("a secret that nobody has told anybody", []byte(id), time.Unix(1767225600, 0)); err == nil {
				t.Errorf("%s: accepted", s.Name)
			}
		}
	})
}

// FuzzPlain holds the schemes whose providers publish no Go library against an
// independent reading of their rule.
func FuzzPlain(f *testing.F) {
	sum := func(key string, text []byte) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(text)
		return mac.Sum(nil)
	}
	plain := hex.EncodeToString(sum(secret, body))
	for _, value := range []string{"", plain, "sha256=" + plain, "sha256=" + plain + " ", "SHA256=" + plain, strings.ToUpper(plain), "sha256=,", "é", base64.StdEncoding.EncodeToString(sum(secret, body))} {
		f.Add(value, secret, body)
	}
	f.Fuzz(func(t *testing.T, value, key string, text []byte) {
		whole := hex.EncodeToString(sum(key, text))
		lower, bare := strings.ToLower(value), strings.TrimPrefix(value, "sha256=")
		for scheme, tt := range map[string]struct {
			header string
			want   bool
		}{
			signature.Generic: {"X-Webhook-Signature", lower == whole || bare != value && strings.ToLower(bare) == whole},
			signature.GitHub:  {"X-Hub-Signature-256", bare != value && strings.ToLower(bare) == whole},
			signature.Linear:  {"Linear-Signature", lower == whole},
			signature.Shopify: {"X-Shopify-Hmac-Sha256", value == base64.StdEncoding.EncodeToString(sum(key, text))},
			signature.GitLab:  {"X-Gitlab-Token", value == key && len(value) <= 4<<10},
		} {
			headers := http.Header{tt.header: {value}, "Linear-Timestamp": {fmt.Sprint(now.UnixMilli())}}
			err := signature.Verify(scheme, []string{key}, user, headers, text, now)
			if scheme == signature.Linear && errors.Is(err, signature.ErrStale) {
				continue // the body names another time
			}
			if want := tt.want && key != "" && value != ""; (err == nil) != want {
				t.Errorf("%s: Verify(%q) with %q = %v, want accepted %v", scheme, value, key, err, want)
			}
		}
	})
}
