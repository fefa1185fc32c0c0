package keyring

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"

	"keyhook/internal/fault"
)

// The form of an API key, and of a token: a prefix, 32 random base62 characters (190 bits), and
// the CRC-32 of those as 6 more, so that a typo is seen without a look-up and a
// scanner can tell a key from chance.
const (
	apiKeyPrefix = "khk_"
	tokenPrefix  = "kht_"
	randomLen    = 32
	sumLen       = 6
	apiKeyLen    = len(apiKeyPrefix) + randomLen + sumLen
	secretPrefix = "whsec_"
	secretBytes  = 32
	alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// A Credential is the text of an API key or a signing secret. Printing, logging
// or encoding one shows nothing; only Reveal gives up its text.
type Credential struct{ text string }

const redacted = "[redacted]"

// Reveal returns the credential's text.
func (c Credential) Reveal() string { return c.text }

// String and the methods below keep the text out of whatever prints.
func (c Credential) String() string               { return redacted }
func (c Credential) GoString() string             { return redacted }
func (c Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (c Credential) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Format keeps the text out of %x, %q and the like.
func (c Credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// NewAPIKey returns a new random API key.
func NewAPIKey() Credential {
	random := randomText(randomLen)
	return Credential{apiKeyPrefix + random + checksum(random)}
}

// NewToken returns a new random token for a program.
func NewToken() Credential {
	random := randomText(randomLen)
	return Credential{tokenPrefix + random + checksum(random)}
}

// NewSecret returns a new random signing secret: whsec_ and base64 of 32 bytes.
// As an HMAC key it is used as text, as shown.
func NewSecret() Credential {
	var raw [secretBytes]byte
	rand.Read(raw[:])
	return Credential{secretPrefix + base64.StdEncoding.EncodeToString(raw[:])}
}

// randomText draws n characters of the alphabet, each as likely as any other:
// bytes that would favour some are thrown away.
func randomText(n int) string {
	const fair = 256 - 256%len(alphabet)
	text := make([]byte, 0, n)
	buffer := make([]byte, 2*n)
	for {
		rand.Read(buffer)
		for _, b := range buffer {
			if int(b) >= fair {
				continue
			}
			if text = append(text, alphabet[int(b)%len(alphabet)]); len(text) == n {
				return string(text)
			}
		}
	}
}

// checksum is the CRC-32 (IEEE) of text in base62, padded to six characters.
func checksum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var digits [sumLen]byte
	for i := sumLen - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return string(digits[:])
}

// ParseAPIKey says what can be told of an API key from its text alone. known is
// false for forms that are not Keyhook's own, which have no checksum. An error
// is a hint for the sender; it does not repeat the text.
func ParseAPIKey(text string) (known bool, err error) {
	body, ok := strings.CutPrefix(text, apiKeyPrefix)
	switch {
	case !ok:
		return false, checkForeign(text)
	case len(text) != apiKeyLen:
		return true, wrongForm("The API key has %d characters where %d are expected.", len(text), apiKeyLen)
	case strings.Trim(body, alphabet) != "":
		return true, wrongForm("The API key holds a character other than letters and digits.")
	case checksum(body[:randomLen]) != body[randomLen:]:
		return true, wrongForm("The API key's checksum does not match: a character is wrong or two are swapped.")
	}
	return true, nil
}

// wrongForm is a sentence for who holds the key. It never repeats the key.
func wrongForm(format string, args ...any) error {
	return fault.On("api_key", fault.Invalid, fmt.Sprintf(format, args...))
}

// maxForeign is the longest API key of another form that is looked up.
const maxForeign = 256

func checkForeign(text string) error {
	if text == "" || len(text) > maxForeign {
		return wrongForm("An API key has between 1 and %d characters.", maxForeign)
	}
	for _, r := range text {
		if r <= ' ' || r > '~' {
			return wrongForm("The API key holds a space or a character that is not ASCII.")
		}
	}
	return nil
}

// hash is how an API key is stored: with 190 random bits there is nothing to
// guess, so a slow hash would only help who wants to keep us busy.
func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
