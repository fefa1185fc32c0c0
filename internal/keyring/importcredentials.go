package keyring

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/internal/signature"
)

// readCredentials keeps of an API key its hash and hint alone.
func (c *Candidate) readCredentials(apiKey, sum, secret, given string) {
	from := Imported{APIKey: apiKey, Secret: secret}
	if sum != "" {
		if from.APIKeyHash = readSum(sum); from.APIKeyHash == nil {
			c.fail("sha256", "The SHA-256 is neither 64 hexadecimal digits nor base64 of 32 bytes.")
			return
		}
	}
	if f, wrong := fault.Of(from.check(c.Draft.Scheme)); wrong {
		for _, one := range append([]*fault.Error{f}, f.More...) {
			c.fail(one.Field, "%s", one.Message)
		}
		return
	}
	c.secret = secret
	switch {
	case apiKey != "":
		c.APIKeyHash, c.Hint = hash(apiKey), hint(apiKey)
		c.remarkOnForm(apiKey)
	case from.APIKeyHash != nil:
		c.APIKeyHash, c.Hint = from.APIKeyHash, c.readHint(given)
		c.remark("hash only", "Only the SHA-256 is known: the form and the length of the API key can't be looked at.")
	}
	scheme, known := signature.Find(c.Draft.Scheme)
	if known && !scheme.HasAPIKey && c.APIKeyHash != nil {
		c.fail("api_key", "%s has no API key, only a secret.", scheme.Title)
	}
}

func readSum(text string) []byte {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "sha256:"), `\x`) // PostgreSQL writes bytes so
	if sum, err := hex.DecodeString(text); err == nil && len(sum) == sha256.Size {
		return sum
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if sum, err := encoding.DecodeString(text); err == nil && len(sum) == sha256.Size {
			return sum
		}
	}
	return nil
}

// maxHint is short enough to give away nothing of a key of the origin.
const maxHint = 20

func (c *Candidate) readHint(given string) string {
	switch {
	case given == "":
		return "imported"
	case len([]rune(given)) > maxHint:
		c.fail("hint", "The hint is longer than %d characters: it would give the API key away.", maxHint)
	case oneline.Hides(given):
		c.fail("hint", "The hint holds a character that can't be seen.")
	case slices.Equal(hash(given), c.APIKeyHash):
		c.fail("hint", "The hint is the API key itself.")
	}
	return oneline.Fold(given)
}

var (
	originForm = regexp.MustCompile(`^wk_[0-9A-Za-z_-]{32}$`)
	sumForm    = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// remarkOnForm says what is odd about the text of an API key.
func (c *Candidate) remarkOnForm(apiKey string) {
	known, _ := ParseAPIKey(apiKey)
	switch {
	case sumForm.MatchString(apiKey):
		c.remark("a hash?", "The API key looks like a SHA-256. It is read as plain text; for a hash the column is sha256.")
	case len(apiKey) < 24:
		c.remark("short", "The API key has only %d characters. Rotate it when its sender can change.", len(apiKey))
	case !known && !originForm.MatchString(apiKey):
		c.remark("other form", "The API key is neither wk_ and 32 characters nor Keyhook's own form, so a scanner does not find it where it leaks.")
	}
}

// remarkOn says what people should know before they import the row.
func (c *Candidate) remarkOn(now time.Time) {
	if c.APIKeyHash != nil && c.secret == "" {
		c.remark("no secret", "There is no signing secret: whoever reads the API key on its way can send in its name.")
	}
	if at := c.Draft.ExpiresAt; at != nil && !at.After(now) {
		c.remark("expired", "It is past its expiry: requests with it are refused.")
	}
	if c.LastUsedAt == nil {
		c.remark("last use unknown", "When it was last used is not known. It shows as never used until a request comes.")
	}
	if name := c.Draft.Name; name != "" && strings.ContainsRune("=+-@", rune(name[0])) {
		c.remark("formula", "The name begins like a formula of a spreadsheet. It is text here.")
	}
	if scheme, known := signature.Find(c.Draft.Scheme); known && c.secret != "" && !scheme.LooksRight(c.secret) && c.Draft.Scheme != signature.Generic {
		c.remark("odd secret", "The secret does not look like one for %s, which is %s.", scheme.Title, scheme.Form.Text)
	}
	if c.Draft.Source == OriginSource {
		c.remark("shared source", "It has the source webhook, which imported keys may share: the same sourceRef through two of them is one event.")
	}
}
