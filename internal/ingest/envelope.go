package ingest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxRef is how long a source or a source ref may be, in bytes.
const maxRef = 255

// bodyRefPrefix begins the refs that are made from a body's hash. A sender may
// not present one.
const bodyRefPrefix = "sha256:"

// An envelope is what Keyhook itself reads of a payload to
// /api/webhooks/signals. Everything else stays in the raw body.
type envelope struct {
	source    string // "": the key's own
	sourceRef string // "": none, each request is new
}

// A fieldError names the field of a payload that is missing or wrong.
type fieldError struct{ field, what string }

func (e fieldError) Error() string { return e.field + " " + e.what }

// fieldErrors are all the fields that are wrong; there is at least one.
type fieldErrors []fieldError

func (e fieldErrors) Error() string {
	texts := make([]string, len(e))
	for i := range e {
		texts[i] = e[i].Error()
	}
	return strings.Join(texts, "; ") + "."
}

// fieldRules are the fields of a payload and what each must be, in the order in
// which they are complained about. check returns "" or what is wrong.
var fieldRules = []struct {
	field string
	check func(jsonValue) string
}{
	{"verbatim", isVerbatim},
	{"interpretation", isString},
	{"severity", isOneOf("critical", "high", "medium", "low")},
	{"frequency", isOneOf("common", "occasional", "rare")},
	{"userSegment", isString},
	{"source", isRef},
	{"sourceRef", isPresentedRef},
	{"sourceUrl", isString},
	{"interviewDate", isDate},
	{"interviewee", isString},
	{"tags", isStrings},
}

// readEnvelope reads a payload to /api/webhooks/signals. Its errors are a
// *jsonError or fieldErrors.
func readEnvelope(body []byte) (envelope, error) {
	payload, err := parseJSON(body)
	if err != nil {
		return envelope{}, err
	}
	if payload.kind != jsonObject {
		return envelope{}, &jsonError{0, "a value that is not an object"}
	}
	var wrong fieldErrors
	for _, rule := range fieldRules {
		value, present := payload.member(rule.field)
		switch {
		case !present && rule.field == "verbatim":
			wrong = append(wrong, fieldError{"verbatim", "is missing"})
		case present:
			if what := rule.check(value); what != "" {
				wrong = append(wrong, fieldError{rule.field, what})
			}
		}
	}
	if wrong != nil {
		return envelope{}, wrong
	}
	source, _ := payload.member("source")
	ref, _ := payload.member("sourceRef")
	return envelope{source.text, ref.text}, nil
}

const notString = "must be a string"

func isString(v jsonValue) string {
	if v.kind != jsonString {
		return notString
	}
	return ""
}

func isVerbatim(v jsonValue) string {
	if v.kind == jsonString && strings.TrimSpace(v.text) == "" {
		return "must not be blank"
	}
	return isString(v)
}

func isOneOf(words ...string) func(jsonValue) string {
	return func(v jsonValue) string {
		if v.kind != jsonString || !slices.Contains(words, v.text) {
			return "must be one of " + strings.Join(words, ", ")
		}
		return ""
	}
}

func isStrings(v jsonValue) string {
	if v.kind != jsonArray || slices.ContainsFunc(v.elements, func(e jsonValue) bool { return e.kind != jsonString }) {
		return "must be an array of strings"
	}
	return ""
}

func isDate(v jsonValue) string {
	if v.kind == jsonString {
		for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
			if _, err := time.Parse(layout, v.text); err == nil {
				return ""
			}
		}
	}
	return "must be a date such as 2026-03-31, or an RFC 3339 time"
}

func isRef(v jsonValue) string {
	if v.kind != jsonString {
		return notString
	}
	return wrongRef(v.text)
}

func isPresentedRef(v jsonValue) string {
	if v.kind != jsonString {
		return notString
	}
	return wrongPresentedRef(v.text)
}

// wrongRef returns what is wrong with a source or a ref, or "".
func wrongRef(text string) string {
	switch {
	case strings.TrimSpace(text) == "":
		return "must not be blank"
	case len(text) > maxRef:
		return fmt.Sprintf("must be at most %d bytes long", maxRef)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "must not hold control characters"
	}
	return ""
}

func wrongPresentedRef(text string) string {
	if strings.HasPrefix(text, bodyRefPrefix) {
		return "must not begin with " + bodyRefPrefix
	}
	return wrongRef(text)
}

// refAt returns the source ref that an RFC 6901 pointer finds in body: a
// string, or a number as it is written. It is "" where the pointer leads
// nowhere, or to null. Its errors are a *jsonError or fieldErrors.
func refAt(body []byte, pointer string) (string, error) {
	root, err := parseJSON(body)
	if err != nil {
		return "", err
	}
	return refIn(root, pointer)
}

// refIn is refAt in a body that was read. Its errors are fieldErrors.
func refIn(root jsonValue, pointer string) (string, error) {
	value, found := follow(root, pointer)
	if !found || value.kind == jsonNull {
		return "", nil
	}
	field := "the event's reference at " + strconv.Quote(pointer)
	if value.kind != jsonString && value.kind != jsonNumber {
		return "", fieldErrors{{field, "must be a string or a number"}}
	}
	if what := wrongPresentedRef(value.text); what != "" {
		return "", fieldErrors{{field, what}}
	}
	return value.text, nil
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// follow returns the value that an RFC 6901 pointer leads to.
func follow(v jsonValue, pointer string) (jsonValue, bool) {
	if pointer == "" {
		return v, true
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = unescapePointer.Replace(token)
		found := false
		switch v.kind {
		case jsonObject:
			v, found = v.member(token)
		case jsonArray:
			v, found = v.element(token)
		}
		if !found {
			return jsonValue{}, false
		}
	}
	return v, true
}

// element returns the array element with an index as RFC 6901 writes it: no
// sign, no leading zero.
func (v jsonValue) element(index string) (jsonValue, bool) {
	n, err := strconv.Atoi(index)
	if err != nil || strconv.Itoa(n) != index || n < 0 || n >= len(v.elements) {
		return jsonValue{}, false
	}
	return v.elements[n], true
}
