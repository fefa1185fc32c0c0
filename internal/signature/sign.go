package signature

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Event is what is to be signed.
type Event struct {
	Body []byte
	ID   string    // of the event, where the signature covers it
	Time time.Time // of the signature, where it has one
	User string    // of basic credentials
}

// Sign returns the headers that prove an event, as a sender makes them.
func Sign(scheme, secret string, e Event) (http.Header, error) {
	s, known := Find(scheme)
	if !known {
		return nil, ErrUnknownScheme
	}
	if err := s.CheckSecret(secret); err != nil {
		return nil, err
	}
	headers := http.Header{}
	err := s.sign(headers, secret, e)
	return headers, err
}

func signHex(name, prefix string) func(http.Header, string, Event) error {
	return func(headers http.Header, secret string, e Event) error {
		headers.Set(name, prefix+hex.EncodeToString(mac([]byte(secret), "", e.Body)))
		return nil
	}
}

func signStandard(headers http.Header, secret string, e Event) error {
	key, err := decodedKey(secret)
	if err != nil {
		return err
	}
	if !isEventID(e.ID) {
		return &FormatError{standardNames.id, "must have 1 to 255 printable ASCII characters, and no full stop"}
	}
	headers.Set(standardNames.id, e.ID)
	headers.Set(standardNames.timestamp, unix(e.Time))
	headers.Set(standardNames.signature, "v1,"+base64.StdEncoding.EncodeToString(mac(key, e.ID+"."+unix(e.Time)+".", e.Body)))
	return nil
}

func signStripe(headers http.Header, secret string, e Event) error {
	at := unix(e.Time)
	headers.Set("Stripe-Signature", "t="+at+",v1="+hex.EncodeToString(mac([]byte(secret), at+".", e.Body)))
	return nil
}

func signSlack(headers http.Header, secret string, e Event) error {
	at := unix(e.Time)
	headers.Set("X-Slack-Request-Timestamp", at)
	headers.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac([]byte(secret), "v0:"+at+":", e.Body)))
	return nil
}

func signShopify(headers http.Header, secret string, e Event) error {
	headers.Set("X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(mac([]byte(secret), "", e.Body)))
	return nil
}

// signLinear sends the time beside the body, which may hold one itself.
func signLinear(headers http.Header, secret string, e Event) error {
	headers.Set(linearTime, strconv.FormatInt(e.Time.UnixMilli(), 10))
	return signHex(linearHeader, "")(headers, secret, e)
}

// signGitLab signs with a signing token, and sends any other secret as it is.
func signGitLab(headers http.Header, secret string, e Event) error {
	if _, err := decodedKey(secret); err == nil && strings.HasPrefix(secret, secretPrefix) {
		return signStandard(headers, secret, e)
	}
	headers.Set("X-Gitlab-Token", secret)
	return nil
}

func signBasic(headers http.Header, secret string, e Event) error {
	headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(e.User+":"+secret)))
	return nil
}
