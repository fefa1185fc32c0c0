package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	codeStep     = 30 // seconds that a code is for
	codeLength   = 6
	codeSkew     = 1  // steps that a clock may be off
	secretSize   = 20 // bytes, as RFC 4226 recommends
	recoverySize = 15 // bytes, 120 bits: 24 letters
	recoveryMany = 10
)

var letters = base32.StdEncoding.WithPadding(base32.NoPadding)

// A CodeSecret is what an authenticator app makes codes from. Printing or logging
// one shows nothing; only Reveal gives up its text.
type CodeSecret struct{ text string }

// Reveal returns the secret's text, which can be typed into an app.
func (c CodeSecret) Reveal() string   { return c.text }
func (c CodeSecret) String() string   { return "[secret]" }
func (c CodeSecret) GoString() string { return "account.CodeSecret{}" }

// URL is what a picture for an authenticator app holds; label says whose codes they are.
func (c CodeSecret) URL(label string) string {
	query := url.Values{"secret": {c.text}, "issuer": {"Keyhook"}}
	return "otpauth://totp/" + url.PathEscape("Keyhook:"+label) + "?" + query.Encode()
}

func newCodeSecret() CodeSecret {
	var raw [secretSize]byte
	rand.Read(raw[:])
	return CodeSecret{letters.EncodeToString(raw[:])}
}

// plainCode is what somebody typed without what they may write between letters.
func plainCode(typed string) string {
	if len(typed) > 100 {
		return ""
	}
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "\t", "", "\u00a0", "").Replace(typed))
}

// isCode tells a code of an app from a recovery code.
func isCode(typed string) bool {
	plain := plainCode(typed)
	return len(plain) <= codeLength+2 || strings.Trim(plain, "0123456789") == ""
}

// matchStep returns the step after last that code is for, 0 if there is none. The
// work is the same whichever it is.
func (c CodeSecret) matchStep(code string, last int64, now time.Time) (step int64, err error) {
	middle := now.Unix() / codeStep
	for at := middle - codeSkew; at <= middle+codeSkew; at++ {
		want, err := hotp.GenerateCodeCustom(c.text, uint64(max(at, 0)), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, fmt.Errorf("make a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(plainCode(code))) == 1 && at > last {
			step = at
		}
	}
	return step, nil
}

// newRecoveryCodes returns codes that are good once each, as they are shown, and
// the hashes that are stored of them.
func newRecoveryCodes() (codes []string, hashes [][]byte) {
	for range recoveryMany {
		var raw [recoverySize]byte
		rand.Read(raw[:])
		text := letters.EncodeToString(raw[:])
		hashes = append(hashes, recoveryHash(text))
		var groups []string
		for ; text != ""; text = text[4:] {
			groups = append(groups, text[:4])
		}
		codes = append(codes, strings.Join(groups, "-"))
	}
	return codes, hashes
}

func recoveryHash(typed string) []byte {
	sum := sha256.Sum256([]byte(plainCode(typed)))
	return sum[:]
}
