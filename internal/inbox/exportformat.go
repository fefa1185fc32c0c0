package inbox

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// A format writes an export's parts at the end of b.
type format interface {
	head(b []byte) []byte
	row(b []byte, r *exportRow) []byte
	end(b []byte, rows int64, continueAfter uuid.UUID) []byte
}

var formats = map[string]func(Export) format{
	NDJSON: func(e Export) format { return &table{e: e, line: appendObject} },
	CSV:    func(e Export) format { return &table{e: e, line: appendCells, titled: true} },
}

// KnownFormat reports whether exports have a format.
func KnownFormat(name string) bool { return formats[name] != nil }

// A cell is a value of a row: a text, or, where raw is set, what stands in JSON as
// it is. In CSV both are text.
type cell struct {
	name, text string
	raw        bool
}

// A table writes rows of cells.
type table struct {
	e      Export
	cells  []cell
	line   func([]byte, []cell) []byte
	titled bool // it begins with the names
}

func (t *table) head(b []byte) []byte {
	if !t.titled {
		return b
	}
	names := t.fill(&exportRow{})
	for i := range names {
		names[i] = cell{text: names[i].name}
	}
	return t.line(b, names)
}

func (t *table) row(b []byte, r *exportRow) []byte { return t.line(b, t.fill(r)) }

// end writes the line that only a whole export has. In CSV it has as many cells as
// the others, so that nothing that reads tables stumbles over it.
func (t *table) end(b []byte, rows int64, continueAfter uuid.UUID) []byte {
	n := strconv.FormatInt(rows, 10)
	if !t.titled {
		b = append(b, `{"end":true,"rows":`+n+`,"continueAfter":`...)
		return append(textOrNull(b, idText(continueAfter)), "}\n"...)
	}
	cells := make([]cell, len(t.cells))
	cells[0].text, cells[1].text, cells[2].text = "#end", n+" rows", "continue after "+idText(continueAfter)
	return t.line(b, cells)
}

const exportTime = "2006-01-02T15:04:05.000000Z"

// fill returns the cells of a row. The order is fixed: others have written programs
// that count columns.
func (t *table) fill(r *exportRow) []cell {
	c := t.cells[:0]
	add := func(name, text string) { c = append(c, cell{name: name, text: text}) }
	number := func(name string, n int64) { c = append(c, cell{name, strconv.FormatInt(n, 10), true}) }
	add("id", idText(r.ID))
	add("receivedAt", r.ReceivedAt.UTC().Format(exportTime))
	add("outcome", string(r.Outcome))
	add("reason", string(r.Reason))
	number("status", int64(r.Status))
	key, name := orNil(r.KeyID), ""
	if r.KeyID != nil {
		name = t.e.KeyNames[*r.KeyID]
	}
	add("key", key)
	add("keyName", name)
	add("scheme", r.Scheme)
	add("auth", string(r.Method))
	if r.Generation != nil {
		number("generation", int64(*r.Generation))
	} else {
		add("generation", "")
	}
	add("address", r.Address)
	add("userAgent", r.UserAgent)
	add("endpoint", r.Endpoint)
	add("contentType", r.ContentType)
	add("eventType", r.EventType)
	add("source", r.Source)
	ref := ""
	if r.SourceRef != nil {
		ref = *r.SourceRef
	}
	add("sourceRef", ref)
	add("signal", orNil(r.SignalID))
	add("sameBodyAs", orNil(r.SameBodyAs))
	add("conflict", r.Conflict)
	number("bodySize", r.BodySize)
	add("bodySha256", hex.EncodeToString(r.BodySHA256))
	c = append(c, cell{"tookMs", strconv.FormatFloat(float64(r.TookMicros)/1000, 'f', 3, 64), true})
	c = append(c, cell{"headers", headersOf(r), true})
	if t.e.Payloads {
		text, encoding := bodyText(r.Body)
		add("bodyEncoding", encoding)
		add("body", text)
	}
	t.cells = c
	return c
}

func headersOf(r *exportRow) string {
	if r.Headers == "" {
		return "{}"
	}
	return r.Headers // jsonb's own text: one line
}

// bodyText is a body as text, or as base64 where it is none. encoding is "" where no
// body is kept.
func bodyText(body []byte) (text, encoding string) {
	switch {
	case body == nil:
		return "", ""
	case utf8.Valid(body) && !strings.ContainsRune(string(body), 0):
		return string(body), "text"
	}
	return base64.StdEncoding.EncodeToString(body), "base64"
}

func orNil(id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	return id.String()
}

// appendObject writes a row as a JSON object on a line; an empty text is null.
func appendObject(b []byte, cells []cell) []byte {
	for i, c := range cells {
		b = append(b, "{,"[min(i, 1)], '"')
		b = append(b, c.name...)
		b = append(b, `":`...)
		if c.raw {
			b = append(b, c.text...)
		} else {
			b = textOrNull(b, c.text)
		}
	}
	return append(b, "}\n"...)
}

func textOrNull(b []byte, text string) []byte {
	if text == "" {
		return append(b, "null"...)
	}
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // not for a string
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// appendCells writes a row as CSV. Each cell is quoted: where a spreadsheet takes
// another separator, a text could end its cell otherwise, and begin a formula.
func appendCells(b []byte, cells []cell) []byte {
	for i, c := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		if formula(c.text) {
			b = append(b, '\'')
		}
		for j := range len(c.text) {
			switch ch := c.text[j]; ch {
			case '"':
				b = append(b, '"', '"')
			case 0: // some programs end a text there
				b = append(b, "\uFFFD"...)
			default:
				b = append(b, ch)
			}
		}
		b = append(b, '"')
	}
	return append(b, "\r\n"...)
}

// formula reports whether a spreadsheet might compute what stands in a cell: some
// skip white space in front, and take the wide forms of the signs as well.
func formula(text string) bool {
	if text == "" {
		return false
	}
	if strings.ContainsRune("\t\r\n\x00", rune(text[0])) {
		return true
	}
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, " \u00a0\u3000\ufeff\u200b"))
	return strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
}
