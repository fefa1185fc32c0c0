package ingest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// credentials are what a request presents, judged by its own bytes alone.
type credentials struct {
	method       inbox.Method
	apiKey       string
	inURL        bool
	signed       bool // a signature header is there
	signature    signature.Presented
	signatureRaw string
	workspaceID  uuid.UUID
	keyID        uuid.UUID
	wrong        inbox.Reason // why none of it can hold
	hints        []string
}

// presented reads the credentials of a request. What is wrong with them here is
// told in hints, since the sender could tell it too.
func presented(rq *request) credentials {
	c := credentials{method: inbox.ByNothing}
	c.readAPIKey(rq)
	c.readSignature(rq)
	c.readIDs(rq)
	if c.wrong == "" && c.method == inbox.ByNothing {
		c.fail(inbox.NoCredentials, "No credentials came with the request: send X-API-Key, Authorization: Bearer or X-Webhook-Signature.")
	}
	return c
}

// fail notes why the credentials can't hold; the first reason stays.
func (c *credentials) fail(reason inbox.Reason, hint string) {
	if c.wrong == "" {
		c.wrong = reason
	}
	if hint != "" {
		c.hints = append(c.hints, hint)
	}
}

func (c *credentials) readAPIKey(rq *request) {
	var bearers []string
	for _, value := range rq.header.Values("Authorization") {
		if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
			bearers = append(bearers, strings.TrimSpace(token))
		}
	}
	c.addAPIKeys(inbox.ByURL, rq.route.apiKey)
	c.inURL = rq.route.apiKey != ""
	c.addAPIKeys(inbox.ByAPIKey, rq.header.Values("X-API-Key")...)
	c.addAPIKeys(inbox.ByBearer, bearers...)
	if c.apiKey == "" {
		return
	}
	if strings.HasPrefix(c.apiKey, "whsec_") {
		c.fail(inbox.MalformedAPIKey, "The API key sent is a signing secret. API keys begin with khk_; whoever saw this request may have seen the secret.")
		return
	}
	if _, err := keyring.ParseAPIKey(c.apiKey); err != nil {
		c.fail(inbox.MalformedAPIKey, err.Error())
	}
}

func (c *credentials) addAPIKeys(method inbox.Method, texts ...string) {
	for _, text := range texts {
		switch {
		case text == "":
		case c.apiKey == "":
			c.apiKey, c.method = text, method
		case c.apiKey != text:
			c.fail(inbox.KeyMismatch, "Two different API keys came with the request.")
		}
	}
}

func (c *credentials) readSignature(rq *request) {
	read, err := signature.Read(keyring.Generic, rq.header)
	if errors.Is(err, signature.ErrMissing) {
		return
	}
	c.signed, c.method, c.signature = true, inbox.BySignature, read
	c.signatureRaw = clean(strings.Join(rq.header.Values(signature.Header(keyring.Generic)), ", "), 4<<10)
	if err != nil {
		c.fail(inbox.SignatureFormat, "X-Webhook-Signature must be sent once, as sha256= and 64 hexadecimal characters.")
	}
}

// readIDs reads which workspace or key the request names.
func (c *credentials) readIDs(rq *request) {
	if !rq.route.signals() {
		c.keyID, _ = parseID(rq.route.keyID) // a malformed id is an unknown one
		return
	}
	if !c.signed {
		return
	}
	var ok bool
	switch text := rq.header.Get("X-Workspace-ID"); {
	case text == "":
		c.fail(inbox.WorkspaceMissing, "A signature came without X-Workspace-ID.")
	default:
		if c.workspaceID, ok = parseID(text); !ok {
			c.fail(inbox.UnknownWorkspace, "X-Workspace-ID is not an id: 36 characters such as 0197b0c2-… are expected.")
		}
	}
	if text := rq.header.Get("X-Webhook-Key-ID"); text != "" {
		if c.keyID, ok = parseID(text); !ok {
			c.fail(inbox.UnknownKey, "X-Webhook-Key-ID is not an id: 36 characters such as 0197b0c2-… are expected.")
		}
	}
}

// parseID reads an id in its usual form and no other.
func parseID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 || id == uuid.Nil {
		return uuid.Nil, false
	}
	return id, true
}

func isIdentity(encoding string) bool {
	return encoding == "" || strings.EqualFold(strings.TrimSpace(encoding), "identity")
}

// kept are the headers that are stored, and no others: none of them holds a
// credential. Content-Type and User-Agent have columns of their own.
var kept = []string{
	"Webhook-Id", "Webhook-Timestamp", "X-Github-Event", "X-Github-Delivery",
	"X-Shopify-Webhook-Id", "X-Shopify-Topic", "X-Gitlab-Event", "X-Gitlab-Event-Uuid", "Linear-Delivery",
	"Linear-Event", "Idempotency-Key",
}

// maxHeaderText is how much of a header is stored, in bytes.
const maxHeaderText = 512

// keptHeaders returns a JSON object of the headers that are stored, "" for none.
// What became the event's ref is stored as that.
func keptHeaders(header http.Header, e event) string {
	var headers map[string]string
	for _, name := range kept {
		values := header[name]
		if len(values) == 0 || e.unsigned && len(values) == 1 && values[0] == e.ref {
			continue
		}
		if headers == nil {
			headers = map[string]string{}
		}
		headers[strings.ToLower(name)] = clean(strings.Join(values, ", "), maxHeaderText)
	}
	if headers == nil {
		return ""
	}
	text, err := json.Marshal(headers)
	if err != nil {
		panic(err) // a map of strings
	}
	return string(text)
}

// clean makes a sender's text fit to store: UTF-8 without control characters,
// at most limit bytes.
func clean(text string, limit int) string {
	if len(text) <= limit && isPlain(text) {
		return text
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// isPlain reports whether text is printable ASCII.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
