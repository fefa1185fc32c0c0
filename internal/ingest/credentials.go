package ingest

import (
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// credentials are what a request presents, judged by its own bytes and the time
// alone: whatever is said of them can be said of a request to a key that is not
// there.
type credentials struct {
	method      inbox.Method // as far as it can be told without the key
	apiKey      string
	apiKeyWrong inbox.Reason // why the API key can't hold
	inURL       bool
	readings    []reading // under every scheme that finds something in the headers
	workspaceID uuid.UUID
	keyID       uuid.UUID
	wrong       inbox.Reason // why none of it can hold, whatever the key is
	hints       []string
}

// A reading is what the headers say under one scheme.
type reading struct {
	scheme    *signature.Scheme
	presented signature.Presented
	wrong     inbox.Reason // why it can't hold
}

// presented reads the credentials of a request. What is wrong with them here is
// told in hints, since the sender could tell it too.
func presented(rq *request) credentials {
	c := credentials{method: inbox.ByNothing}
	c.readAPIKey(rq)
	if rq.route.signals() {
		c.wrong = c.apiKeyWrong
		c.read(rq, generic)
	} else {
		for _, scheme := range schemes {
			c.read(rq, scheme)
		}
	}
	c.readIDs(rq)
	c.conclude()
	return c
}

// schemes are all of them; generic is the one that /api/webhooks/signals takes.
var (
	schemes    = signature.All()
	generic, _ = signature.Find(signature.Generic)
)

// conclude finds out whether anything that came could hold at all.
func (c *credentials) conclude() {
	switch {
	case c.wrong != "":
	case c.method == inbox.ByNothing:
		c.fail(inbox.NoCredentials, nothingCame)
	case c.apiKey != "" && c.apiKeyWrong == "" || slices.ContainsFunc(c.readings, func(r reading) bool { return r.wrong == "" }):
	case c.apiKeyWrong != "":
		c.wrong = c.apiKeyWrong
	default:
		c.wrong = c.readings[0].wrong
	}
}

const nothingCame = "No credentials came with the request: send X-API-Key, Authorization: Bearer or X-Webhook-Signature, or sign as your key’s page says."

// fail notes why the credentials can't hold; the first reason stays.
func (c *credentials) fail(reason inbox.Reason, hint string) {
	if c.wrong == "" {
		c.wrong = reason
	}
	c.hint(hint)
}

// hint adds a hint, once: two schemes may read one header.
func (c *credentials) hint(text string) {
	if text != "" && !slices.Contains(c.hints, text) {
		c.hints = append(c.hints, text)
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
		c.failAPIKey(inbox.MalformedAPIKey, "The API key sent is a signing secret. API keys begin with khk_; whoever saw this request may have seen the secret.")
		return
	}
	if _, err := keyring.ParseAPIKey(c.apiKey); err != nil {
		c.failAPIKey(inbox.MalformedAPIKey, err.Error())
	}
}

func (c *credentials) failAPIKey(reason inbox.Reason, hint string) {
	if c.apiKeyWrong == "" {
		c.apiKeyWrong = reason
	}
	c.hint(hint)
}

func (c *credentials) addAPIKeys(method inbox.Method, texts ...string) {
	for _, text := range texts {
		switch {
		case text == "":
		case c.apiKey == "":
			c.apiKey, c.method = text, method
		case c.apiKey != text:
			c.failAPIKey(inbox.KeyMismatch, "Two different API keys came with the request.")
		}
	}
}

// read adds what a scheme finds in the headers.
func (c *credentials) read(rq *request, scheme *signature.Scheme) {
	found, err := scheme.Read(rq.header)
	if err == signature.ErrMissing {
		return
	}
	r := reading{scheme: scheme, presented: found}
	if bad, ok := errors.AsType[*signature.FormatError](err); ok {
		r.wrong = inbox.SignatureFormat
		c.hint(bad.Error() + ".")
	} else if !found.Fresh(rq.receivedAt) {
		r.wrong = inbox.TimestampStale
		c.hint("The signature’s timestamp is more than 5 minutes away from serverTime.")
	}
	if len(c.readings) == 0 {
		c.method = r.method()
	}
	c.readings = append(c.readings, r)
}

// method is how a request proves itself with r.
func (r reading) method() inbox.Method {
	switch {
	case r.scheme.Name == signature.Basic:
		return inbox.ByBasic
	case r.presented.Signed || r.wrong == inbox.SignatureFormat:
		return inbox.BySignature
	}
	return inbox.ByToken
}

// of returns what the headers say under a scheme.
func (c *credentials) of(scheme string) (reading, bool) {
	for _, r := range c.readings {
		if r.scheme.Name == scheme {
			return r, true
		}
	}
	return reading{}, false
}

// signatureText is a signature as it came, for whoever has to find out why it did
// not hold. A secret that is sent as it is, is not kept.
func (r reading) signatureText(rq *request) string {
	if r.scheme == nil || r.method() != inbox.BySignature {
		return ""
	}
	var parts []string
	for _, name := range slices.Concat(r.scheme.Headers, r.scheme.Aliases) {
		if values := rq.header.Values(name); len(values) > 0 && !secretHeaders[name] {
			parts = append(parts, strings.Join(values, ", "))
		}
	}
	return clean(strings.Join(parts, " "), 4<<10)
}

// secretHeaders hold secrets as they are.
var secretHeaders = map[string]bool{"Authorization": true, "X-Gitlab-Token": true}

// readIDs reads which workspace or key the request names.
func (c *credentials) readIDs(rq *request) {
	if !rq.route.signals() {
		c.keyID, _ = parseID(rq.route.keyID) // a malformed id is an unknown one
		return
	}
	if len(c.readings) == 0 {
		return
	}
	if c.wrong == "" {
		c.wrong = c.readings[0].wrong
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
