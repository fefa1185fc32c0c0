package api

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep a body may be nested that stands in an answer.
const maxDepth = 64

// embeddable tells whether a body can stand in an answer as JSON without any
// reader's parser giving up on the whole page for it: a hostile sender must not be
// able to stop those who read. It is RFC 8259 to the letter, and within limits on
// depth, surrogates and numbers; one pass, because every signal read goes through it.
func embeddable(body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	c := checker{body: body}
	if !c.value(0) {
		return false
	}
	c.space()
	return c.at == len(body)
}

// A checker walks through a body.
type checker struct {
	body []byte
	at   int
}

func (c *checker) space() {
	for c.at < len(c.body) {
		switch c.body[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (c *checker) peek() byte {
	if c.at == len(c.body) {
		return 0
	}
	return c.body[c.at]
}

// skip goes over a byte, if it is the next one.
func (c *checker) skip(b byte) bool {
	if c.peek() != b || c.at == len(c.body) {
		return false
	}
	c.at++
	return true
}

// value goes over a value and the white space in front of it.
func (c *checker) value(depth int) bool {
	c.space()
	switch c.peek() {
	case '{':
		return c.list(depth+1, '}', true)
	case '[':
		return c.list(depth+1, ']', false)
	case '"':
		return c.text()
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	default:
		return c.number()
	}
}

// list goes over an object or an array, whose beginning is next.
func (c *checker) list(depth int, end byte, named bool) bool {
	if depth > maxDepth {
		return false
	}
	c.at++
	if c.space(); c.skip(end) {
		return true
	}
	for {
		if named && !c.name() || !c.value(depth) {
			return false
		}
		if c.space(); c.skip(end) {
			return true
		}
		if !c.skip(',') {
			return false
		}
	}
}

// name goes over a member's name and its colon.
func (c *checker) name() bool {
	if c.space(); c.peek() != '"' || !c.text() {
		return false
	}
	c.space()
	return c.skip(':')
}

func (c *checker) word(word string) bool {
	if !bytes.HasPrefix(c.body[c.at:], []byte(word)) {
		return false
	}
	c.at += len(word)
	return true
}

// text goes over a text, whose quote is next. Each surrogate must have its other half.
func (c *checker) text() bool {
	c.at++
	for {
		c.plain()
		switch b := c.peek(); {
		case b == '"':
			c.at++
			return true
		case b != '\\' || !c.escape():
			return false
		}
	}
}

// plain goes over what in a text stands for itself, up to a quote, a backslash, a
// control character or the end; eight bytes at once where none of them is one.
func (c *checker) plain() {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	body, at := c.body, c.at
	for ; at+8 <= len(body); at += 8 {
		word := binary.LittleEndian.Uint64(body[at:])
		quote, slash := word^ones*'"', word^ones*'\\'
		if ((word-ones*' ')&^word|(quote-ones)&^quote|(slash-ones)&^slash)&highs != 0 {
			break
		}
	}
	for at < len(body) && body[at] >= ' ' && body[at] != '"' && body[at] != '\\' {
		at++
	}
	c.at = at
}

// escape goes over an escape, whose backslash is next.
func (c *checker) escape() bool {
	c.at++
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return true
	case 'u':
		unit, ok := c.unit()
		if !ok || unit >= 0xdc00 && unit < 0xe000 {
			return false
		}
		if unit < 0xd800 || unit >= 0xe000 {
			return true
		}
		if !c.skip('\\') || c.peek() != 'u' {
			return false
		}
		low, ok := c.unit()
		return ok && low >= 0xdc00 && low < 0xe000
	default:
		return false
	}
}

// unit reads a u, which is next, and four hexadecimal digits.
func (c *checker) unit() (unit uint16, ok bool) {
	if c.at+5 > len(c.body) {
		return 0, false
	}
	for _, digit := range c.body[c.at+1 : c.at+5] {
		switch {
		case digit >= '0' && digit <= '9':
			digit -= '0'
		case digit|' ' >= 'a' && digit|' ' <= 'f':
			digit = digit | ' ' - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | uint16(digit)
	}
	c.at += 5
	return unit, true
}

// number goes over a number, which must be one that every parser can hold.
func (c *checker) number() bool {
	from := c.at
	c.skip('-')
	if !c.skip('0') && !c.digits() {
		return false
	}
	if c.skip('.') && !c.digits() {
		return false
	}
	if c.peek()|' ' == 'e' {
		c.at++
		if !c.skip('+') {
			c.skip('-')
		}
		if !c.digits() {
			return false
		}
	}
	return sober(c.body[from:c.at])
}

// digits goes over digits and reports whether there was one.
func (c *checker) digits() bool {
	from := c.at
	for c.at < len(c.body) && c.body[c.at] >= '0' && c.body[c.at] <= '9' {
		c.at++
	}
	return c.at > from
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
