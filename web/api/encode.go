package api

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// An item is a signal as it is sent, on one line, with its place.
type item struct {
	at   inbox.Position
	json []byte
}

// encode turns signals into items that share one piece of memory.
func encode(workspace uuid.UUID, signals []inbox.Signal) []item {
	size := 0
	for i := range signals {
		size += 700 + len(signals[i].Body)*4/3 + len(signals[i].Headers)
	}
	text, items := make([]byte, 0, size), make([]item, len(signals))
	for i := range signals {
		from := len(text)
		text = appendSignal(text, &signals[i], signals[i].Position.Cursor(workspace))
		items[i] = item{signals[i].Position, text[from:len(text):len(text)]}
	}
	return items
}

// appendSignal writes a signal. cursor "" is of one whose place can't be told yet.
// A JSON body stands in it as it came, but for line breaks; any other is base64.
func appendSignal(b []byte, s *inbox.Signal, cursor string) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, s.ID.String()...)
	b = append(b, '"')
	b = appendMember(b, "cursor", cursor)
	key := ""
	if s.KeyID != nil {
		key = s.KeyID.String()
	}
	b = appendMember(b, "key", key)
	b = appendMember(b, "source", s.Source)
	ref := ""
	if s.SourceRef != nil {
		ref = *s.SourceRef
	}
	b = appendMember(b, "sourceRef", ref)
	b = appendMember(b, "eventType", s.EventType)
	b = append(b, `,"auth":{"method":`...)
	b = appendText(b, string(s.Method))
	b = append(b, `,"generation":`...)
	if s.Generation == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(*s.Generation), 10)
	}
	b = append(b, `},"receivedAt":"`...)
	b = s.ReceivedAt.UTC().AppendFormat(b, timeFormat)
	b = append(b, `","contentType":`...)
	b = appendText(b, s.ContentType)
	b = append(b, `,"headers":`...)
	b = append(b, s.Headers...) // jsonb's own text: one line
	b = appendBody(b, s)
	b = append(b, `,"sha256":"`...)
	b = hex.AppendEncode(b, s.SHA256)
	return append(b, `"}`...)
}

// appendMember adds a text, or null for none, behind another member.
func appendMember(b []byte, name, text string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	if text == "" {
		return append(b, "null"...)
	}
	return appendText(b, text)
}

func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // not for a string
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

func appendBody(b []byte, s *inbox.Signal) []byte {
	if isJSON(s.ContentType) && embeddable(s.Body) {
		b = append(b, `,"body":`...)
		from := len(b)
		b = append(b, bytes.TrimSpace(s.Body)...)
		for i := from; i < len(b); i++ {
			if b[i] == '\n' || b[i] == '\r' { // white space: inside a text they would be escaped
				b[i] = ' '
			}
		}
		return b
	}
	b = append(b, `,"bodyEncoding":"base64","body":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Body)
	return append(b, '"')
}

// isJSON tells whether a content type is JSON, or none.
func isJSON(contentType string) bool {
	if contentType == "application/json" || contentType == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// maxDepth is how deep a body may be nested that stands in an answer.
const maxDepth = 64

// embeddable tells whether a body can stand in an answer as JSON without any
// reader's parser giving up on the whole page for it: a hostile sender must not be
// able to stop those who read.
func embeddable(body []byte) bool {
	if !json.Valid(body) || !utf8.Valid(body) {
		return false
	}
	depth := 0
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			end, ok := skipText(body, i+1)
			if !ok {
				return false
			}
			i = end
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(body) && strings.IndexByte("0123456789+-.eE", body[end]) >= 0 {
				end++
			}
			if !sober(body[i:end]) {
				return false
			}
			i = end - 1
		}
	}
	return true
}

// skipText returns where a text ends whose first byte is at i, and whether each of
// its surrogates has its other half.
func skipText(body []byte, i int) (end int, ok bool) {
	for ; body[i] != '"'; i++ {
		if body[i] != '\\' {
			continue
		}
		if i++; body[i] != 'u' {
			continue
		}
		unit := hexUnit(body[i+1:])
		i += 4
		switch {
		case unit >= 0xdc00 && unit < 0xe000:
			return 0, false
		case unit >= 0xd800 && unit < 0xdc00:
			if body[i+1] != '\\' || body[i+2] != 'u' {
				return 0, false
			}
			if low := hexUnit(body[i+3:]); low < 0xdc00 || low >= 0xe000 {
				return 0, false
			}
			i += 6
		}
	}
	return i, true
}

// hexUnit reads four hexadecimal digits, which valid JSON has there.
func hexUnit(digits []byte) uint16 {
	n, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	if err != nil {
		return 0xdc00 // a lone half: not embedded
	}
	return uint16(n)
}

// sober tells whether a number is one that every parser can hold.
func sober(number []byte) bool {
	if len(number) < 16 && !bytes.ContainsAny(number, "eE") {
		return true
	}
	if len(number) > 40 {
		return false
	}
	_, err := strconv.ParseFloat(string(number), 64)
	return err == nil
}
