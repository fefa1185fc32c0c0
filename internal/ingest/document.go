package ingest

import (
	"net/http"
	"strings"
	"sync"
)

// A document says how to use an endpoint. It is the same for every key.
type document struct {
	Endpoint    string   `json:"endpoint"`
	Method      string   `json:"method"`
	Description string   `json:"description"`
	Credentials []string `json:"credentials"`
	Payload     any      `json:"payload"`
	SameEvent   string   `json:"sameEvent"`
	MaxBody     int64    `json:"maxBodyBytes"`
	Errors      string   `json:"errors"`
	Help        string   `json:"help"`
}

// hookCredentials are every scheme's, since what is said is the same for every key.
var hookCredentials = sync.OnceValue(func() []string {
	var list []string
	for _, scheme := range schemes {
		list = append(list, scheme.Name+": "+strings.Join(scheme.Example, ", "))
	}
	return list
})

var signalsCredentials = []string{
	"X-Webhook-Signature with X-Workspace-ID, and X-Webhook-Key-ID to name one key",
	"X-API-Key: <API key>",
	"Authorization: Bearer <API key>",
}

var signalsPayload = map[string]string{
	"verbatim":       "string, not blank, required",
	"interpretation": "string",
	"severity":       "critical, high, medium or low",
	"frequency":      "common, occasional or rare",
	"userSegment":    "string",
	"source":         "string, at most 255 bytes; the key's own unless the key allows another",
	"sourceRef":      "string, at most 255 bytes; two requests with the same one are the same event",
	"sourceUrl":      "string",
	"interviewDate":  "RFC 3339 time or date",
	"interviewee":    "string",
	"tags":           "array of strings",
}

// document answers GET and HEAD; what the path names is neither looked up nor
// repeated.
func (h *Handler) document(w http.ResponseWriter, route route) {
	d := document{
		Endpoint: route.endpoint, Method: http.MethodPost,
		Description: "Receives a webhook of any content type for one key, and verifies it as the key's scheme says.",
		Credentials: hookCredentials(), Payload: "any body, stored as it is",
		SameEvent: "what the key's scheme says: for generic and basic the Idempotency-Key header, else the key's JSON pointer into the body; without it each request is new, but standard refuses",
		MaxBody:   h.config.MaxBody,
		Errors:    h.config.DocsURL + "/docs/errors", Help: h.config.DocsURL + "/docs/send",
	}
	if route.signals() {
		d.Description = "Receives a signal as a JSON object. Unknown fields are kept."
		d.Credentials, d.Payload = signalsCredentials, signalsPayload
		d.SameEvent = "sourceRef in the body; without it each request is new"
	}
	h.writeJSON(w, "application/json", http.StatusOK, d)
}
