package ingest

import (
	"strconv"
	"unicode/utf8"
)

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
