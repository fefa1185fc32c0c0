package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested.
const maxDepth = 64

// A jsonError says why a body is not the JSON that Keyhook takes, and where.
type jsonError struct {
	offset int
	what   string
}

func (e *jsonError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.offset) }

type jsonKind int

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// A jsonValue is a parsed value. encoding/json would not do: it folds the case
// of names, takes the last of two equal ones, and turns bad text into U+FFFD.
type jsonValue struct {
	kind     jsonKind
	text     string // of a string, decoded; of a number or a bool, as written
	elements []jsonValue
	members  []jsonMember
}

type jsonMember struct {
	name  string
	value jsonValue
}

// member returns the value called name, its case as written.
func (v jsonValue) member(name string) (jsonValue, bool) {
	for _, m := range v.members {
		if m.name == name {
			return m.value, true
		}
	}
	return jsonValue{}, false
}

// parseJSON reads one JSON value and nothing behind it: valid UTF-8, no
// duplicate names, no lone surrogates, no NUL, at most 64 levels. Whatever it
// takes, PostgreSQL can store as text and as jsonb's strings.
func parseJSON(body []byte) (jsonValue, error) {
	if !utf8.Valid(body) {
		return jsonValue{}, &jsonError{invalidAt(body), "bytes that are not UTF-8"}
	}
	p := jsonParser{body: body}
	p.space()
	value, err := p.value(0)
	if err != nil {
		return jsonValue{}, err
	}
	p.space()
	if p.at < len(body) {
		return jsonValue{}, p.fail("data behind the end of the JSON value")
	}
	return value, nil
}

func invalidAt(body []byte) int {
	at := 0
	for at < len(body) {
		r, size := utf8.DecodeRune(body[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

type jsonParser struct {
	body []byte
	at   int
}

func (p *jsonParser) fail(what string) error { return &jsonError{p.at, what} }

// peek returns the byte at the cursor, or 0 at the end.
func (p *jsonParser) peek() byte {
	if p.at < len(p.body) {
		return p.body[p.at]
	}
	return 0
}

func (p *jsonParser) space() {
	for p.at < len(p.body) && bytes.IndexByte([]byte(" \t\r\n"), p.body[p.at]) >= 0 {
		p.at++
	}
}

func (p *jsonParser) value(depth int) (jsonValue, error) {
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return jsonValue{}, p.fail("nested deeper than 64 levels")
		}
		p.at++
		if c == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case c == '"':
		text, err := p.string()
		return jsonValue{kind: jsonString, text: text}, err
	case c == '-' || isDigit(c):
		return p.number()
	}
	return p.literal()
}

func (p *jsonParser) literal() (jsonValue, error) {
	for text, kind := range map[string]jsonKind{"null": jsonNull, "true": jsonBool, "false": jsonBool} {
		if bytes.HasPrefix(p.body[p.at:], []byte(text)) {
			p.at += len(text)
			return jsonValue{kind: kind, text: text}, nil
		}
	}
	if p.at == len(p.body) {
		return jsonValue{}, p.fail("the JSON value ends too early")
	}
	return jsonValue{}, p.fail("not JSON")
}

func (p *jsonParser) object(depth int) (jsonValue, error) {
	object := jsonValue{kind: jsonObject}
	seen := map[string]bool{}
	for first := true; ; first = false {
		p.space()
		if first && p.peek() == '}' {
			p.at++
			return object, nil
		}
		member, err := p.pair(depth, seen)
		if err != nil {
			return jsonValue{}, err
		}
		object.members = append(object.members, member)
		if done, err := p.next('}'); done || err != nil {
			return object, err
		}
	}
}

func (p *jsonParser) pair(depth int, seen map[string]bool) (jsonMember, error) {
	if p.peek() != '"' {
		return jsonMember{}, p.fail("a member name in quotes is missing")
	}
	start := p.at
	name, err := p.string()
	if err != nil {
		return jsonMember{}, err
	}
	if seen[name] {
		return jsonMember{}, &jsonError{start, "a member name that was there before"}
	}
	seen[name] = true
	p.space()
	if p.peek() != ':' {
		return jsonMember{}, p.fail("a colon is missing")
	}
	p.at++
	p.space()
	value, err := p.value(depth)
	return jsonMember{name, value}, err
}

func (p *jsonParser) array(depth int) (jsonValue, error) {
	array := jsonValue{kind: jsonArray}
	for first := true; ; first = false {
		p.space()
		if first && p.peek() == ']' {
			p.at++
			return array, nil
		}
		element, err := p.value(depth)
		if err != nil {
			return jsonValue{}, err
		}
		array.elements = append(array.elements, element)
		if done, err := p.next(']'); done || err != nil {
			return array, err
		}
	}
}

// next takes the comma before another element, or the end of them.
func (p *jsonParser) next(end byte) (done bool, err error) {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		return false, nil
	case end:
		p.at++
		return true, nil
	}
	return false, p.fail("a comma or an end is missing")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *jsonParser) digits() int {
	start := p.at
	for isDigit(p.peek()) {
		p.at++
	}
	return p.at - start
}

func (p *jsonParser) number() (jsonValue, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	leading := p.peek()
	if n := p.digits(); n == 0 || (n > 1 && leading == '0') {
		return jsonValue{}, p.fail("a number that is not JSON's")
	}
	if p.peek() == '.' {
		p.at++
		if p.digits() == 0 {
			return jsonValue{}, p.fail("a number that is not JSON's")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return jsonValue{}, p.fail("a number that is not JSON's")
		}
	}
	return jsonValue{kind: jsonNumber, text: string(p.body[start:p.at])}, nil
}

// string reads a string whose opening quote is at the cursor.
func (p *jsonParser) string() (string, error) {
	p.at++
	var text []byte
	for {
		if p.at == len(p.body) {
			return "", p.fail("the JSON value ends too early")
		}
		switch c := p.body[p.at]; {
		case c == '"':
			p.at++
			return string(text), nil
		case c < ' ':
			return "", p.fail("a control character in a string")
		case c == '\\':
			var err error
			if text, err = p.escape(text); err != nil {
				return "", err
			}
		default:
			text = append(text, c)
			p.at++
		}
	}
}

var simpleEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *jsonParser) escape(text []byte) ([]byte, error) {
	p.at++
	if c, ok := simpleEscapes[p.peek()]; ok {
		p.at++
		return append(text, c), nil
	}
	r, err := p.unicode()
	if err != nil {
		return nil, err
	}
	switch {
	case r == 0:
		return nil, p.fail("a NUL in a string")
	case 0xDC00 <= r && r <= 0xDFFF:
		return nil, p.fail("half of a surrogate pair")
	case 0xD800 <= r && r <= 0xDBFF:
		if p.peek() != '\\' {
			return nil, p.fail("half of a surrogate pair")
		}
		p.at++
		low, err := p.unicode()
		if err != nil || low < 0xDC00 || low > 0xDFFF {
			return nil, p.fail("half of a surrogate pair")
		}
		r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
	}
	return utf8.AppendRune(text, r), nil
}

const badEscape = "an escape that is not JSON's"

// unicode reads u and four hexadecimal digits.
func (p *jsonParser) unicode() (rune, error) {
	if p.peek() != 'u' || p.at+5 > len(p.body) {
		return 0, p.fail(badEscape)
	}
	digits := p.body[p.at+1 : p.at+5]
	for _, c := range digits {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return 0, p.fail(badEscape)
		}
	}
	n, err := strconv.ParseUint(string(digits), 16, 32)
	if err != nil {
		return 0, p.fail(badEscape)
	}
	p.at += 5
	return rune(n), nil
}
