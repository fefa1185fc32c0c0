package ingest

import (
	"encoding/json"
	"net/http"
	"strings"
)

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
