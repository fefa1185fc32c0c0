package api

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"mime"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// appendSignal writes a signal. cursor "" is of one whose place can't be told yet.
// A JSON body stands in it as it came, but for line breaks; any other is base64.
func appendSignal(b []byte, s *inbox.Signal, cursor string) []byte {
	b = appendID(append(b, `{"id":`...), &s.ID)
	b = appendMember(b, "cursor", cursor)
	b = appendID(append(b, `,"key":`...), s.KeyID)
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
	b = append(b, `","suspect":`...)
	if s.Suspect == nil {
		b = append(b, "null"...)
	} else {
		b = appendText(append(b, `{"reason":`...), s.Suspect.Reason)
		b = append(appendTime(append(b, `,"markedAt":`...), s.Suspect.MarkedAt), '}')
	}
	b = append(b, `,"erased":`...)
	if s.Erased == nil {
		return append(b, "null}"...)
	}
	b = appendText(append(b, `{"reason":`...), s.Erased.Reason)
	return append(appendTime(append(b, `,"erasedAt":`...), s.Erased.ErasedAt), "}}"...)
}

// appendID writes an id, or null for none.
func appendID(b []byte, id *uuid.UUID) []byte {
	if id == nil {
		return append(b, "null"...)
	}
	b = append(b, '"')
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return append(b, '"')
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
	if s.Erased != nil {
		return append(b, `,"body":null`...)
	}
	if s.BodyGone() {
		return append(b, `,"body":null,"bodyKept":false`...)
	}
	if isJSON(s.ContentType) && embeddable(s.Body) {
		b = append(b, `,"body":`...)
		from := len(b)
		b = append(b, bytes.TrimSpace(s.Body)...)
		blank(b[from:], '\n') // white space: inside a text they would be escaped
		blank(b[from:], '\r')
		return b
	}
	b = append(b, `,"bodyEncoding":"base64","body":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Body)
	return append(b, '"')
}

// blank makes spaces of a byte.
func blank(text []byte, c byte) {
	for i := bytes.IndexByte(text, c); i >= 0; i = bytes.IndexByte(text, c) {
		text[i] = ' '
		text = text[i+1:]
	}
}

// isJSON tells whether a content type is JSON, or none.
func isJSON(contentType string) bool {
	if contentType == "application/json" || contentType == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
