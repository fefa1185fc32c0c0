package ingest

import (
	"bytes"
	"fmt"
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
