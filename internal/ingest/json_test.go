package ingest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/ingest"
)

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// goodJSON and badJSON are named as JSON test suites do: y_ must be taken, n_
// must not.
var goodJSON = map[string]string{
	"y_empty_object":      `{}`,
	"y_spaces":            " \t\r\n{ \"a\" : [ 1 , 2 ] } \n",
	"y_scalar":            `"text"`,
	"y_numbers":           `[0,-0,1,-1.5,1e5,1E+5,1.25e-10,123456789012345678901234567890,1e400000]`,
	"y_literals":          `[null,true,false]`,
	"y_escapes":           `["\"\\\/\b\f\n\r\t\u0041\u00e9"]`,
	"y_surrogate_pair":    `["\ud83d\ude00"]`,
	"y_unicode":           `["é漢😀"]`,
	"y_separators":        "[\"\u2028\u2029\"]",
	"y_noncharacter":      `["\uffff"]`,
	"y_case_differs":      `{"a":1,"A":2}`,
	"y_empty_name":        `{"":1}`,
	"y_equal_in_siblings": `[{"a":1},{"a":1}]`,
	"y_deep":              nested(64),
	"y_delete_character":  "[\"\x7f\"]",
}

var badJSON = map[string]string{
	"n_nothing":              ``,
	"n_only_spaces":          `  `,
	"n_trailing_data":        `{} x`,
	"n_two_values":           `{}{}`,
	"n_trailing_comma":       `{"a":1,}`,
	"n_trailing_array_comma": `[1,]`,
	"n_leading_comma":        `[,1]`,
	"n_double_comma":         `[1,,2]`,
	"n_missing_colon":        `{"a" 1}`,
	"n_missing_value":        `{"a":}`,
	"n_unquoted_name":        `{a:1}`,
	"n_single_quotes":        `{'a':1}`,
	"n_number_name":          `{1:1}`,
	"n_duplicate_name":       `{"a":1,"a":1}`,
	"n_duplicate_escaped":    `{"a":1,"\u0061":2}`,
	"n_duplicate_deep":       `{"x":[{"a":1,"b":2,"a":3}]}`,
	"n_comment":              `{}/* */`,
	"n_unclosed_object":      `{"a":1`,
	"n_unclosed_array":       `[1`,
	"n_unclosed_string":      `"a`,
	"n_wrong_close":          `[1}`,
	"n_too_deep":             nested(65),
	"n_far_too_deep":         strings.Repeat("[", 100000),
	"n_leading_zero":         `[01]`,
	"n_minus_zero_one":       `[-01]`,
	"n_plus":                 `[+1]`,
	"n_dot_first":            `[.5]`,
	"n_dot_last":             `[5.]`,
	"n_exponent_empty":       `[1e]`,
	"n_exponent_sign":        `[1e+]`,
	"n_minus":                `[-]`,
	"n_hex":                  `[0x1]`,
	"n_nan":                  `[NaN]`,
	"n_infinity":             `[Infinity]`,
	"n_literal_case":         `[True]`,
	"n_literal_cut":          `[tru]`,
	"n_literal_long":         `[nulll]`,
	"n_bad_escape":           `["\x41"]`,
	"n_escape_cut":           `["\u00`,
	"n_escape_not_hex":       `["\u00g0"]`,
	"n_escape_sign":          `["\u+041"]`,
	"n_escape_upper_u":       `["\U0041"]`,
	"n_lone_high":            `["\ud800"]`,
	"n_lone_high_text":       `["\ud800x"]`,
	"n_high_high":            `["\ud800\ud800"]`,
	"n_lone_low":             `["\udc00"]`,
	"n_high_escape":          `["\ud800\n"]`,
	"n_escaped_nul":          `["\u0000"]`,
	"n_escaped_nul_name":     `{"\u0000":1}`,
	"n_raw_nul":              "[\"\x00\"]",
	"n_nul_behind":           "{}\x00",
	"n_newline":              "[\"a\nb\"]",
	"n_tab":                  "[\"\t\"]",
	"n_bom":                  "\ufeff{}",
	"n_bad_utf8":             "[\"\xff\"]",
	"n_overlong":             "[\"\xc0\x80\"]",
	"n_raw_surrogate":        "[\"\xed\xa0\x80\"]",
	"n_utf16":                "{\x00}\x00",
	"n_form_feed":            "[\f1]",
	"n_nbsp":                 "[\u00a01]",
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for name, text := range goodJSON {
		if err := ingest.ParseJSON([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range badJSON {
		if err := ingest.ParseJSON([]byte(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	want := []string{"a\"\\/\b\f\n\r\tAé😀"}
	if diff := cmp.Diff(want, ingest.Strings([]byte(`["a\"\\\/\b\f\n\r\t\u0041\u00E9\ud83d\uDE00"]`))); diff != "" {
		t.Errorf("decoded string (-want +got):\n%s", diff)
	}
}

func TestEnvelopeFields(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"verbatim":"x"}`,
		`{"verbatim":"x","unknown":{"deep":[null]},"Source":1}`,
		`{"verbatim":"x","interpretation":"","severity":"critical","frequency":"rare","userSegment":"a","sourceUrl":"u","interviewee":"i","tags":[]}`,
		`{"verbatim":"x","interviewDate":"2026-03-31"}`,
		`{"verbatim":"x","interviewDate":"2026-03-31T12:00:00.5+02:00","tags":["a","b"]}`,
		`{"verbatim":"x","source":"` + strings.Repeat("s", 255) + `","sourceRef":"` + strings.Repeat("é", 127) + `"}`,
	} {
		if _, _, err := ingest.ReadEnvelope([]byte(body)); err != nil {
			t.Errorf("ReadEnvelope(%s) = %v", body, err)
		}
	}
	for body, field := range map[string]string{
		`{}`:                                                                     "verbatim",
		`{"Verbatim":"x"}`:                                                       "verbatim",
		`{"verbatim":null}`:                                                      "verbatim",
		`{"verbatim":" \t\n\u00a0"}`:                                             "verbatim",
		`{"verbatim":7}`:                                                         "verbatim",
		`{"verbatim":"x","interpretation":1}`:                                    "interpretation",
		`{"verbatim":"x","severity":"High"}`:                                     "severity",
		`{"verbatim":"x","severity":null}`:                                       "severity",
		`{"verbatim":"x","frequency":"often"}`:                                   "frequency",
		`{"verbatim":"x","userSegment":[]}`:                                      "userSegment",
		`{"verbatim":"x","sourceUrl":{}}`:                                        "sourceUrl",
		`{"verbatim":"x","interviewee":false}`:                                   "interviewee",
		`{"verbatim":"x","interviewDate":"31.03.2026"}`:                          "interviewDate",
		`{"verbatim":"x","interviewDate":"2026-02-30"}`:                          "interviewDate",
		`{"verbatim":"x","interviewDate":1}`:                                     "interviewDate",
		`{"verbatim":"x","tags":"a"}`:                                            "tags",
		`{"verbatim":"x","tags":["a",1]}`:                                        "tags",
		`{"verbatim":"x","source":""}`:                                           "source",
		`{"verbatim":"x","source":"a\u0007"}`:                                    "source",
		`{"verbatim":"x","source":"` + strings.Repeat("s", 256) + `"}`:           "source",
		`{"verbatim":"x","sourceRef":5}`:                                         "sourceRef",
		`{"verbatim":"x","sourceRef":" "}`:                                       "sourceRef",
		`{"verbatim":"x","sourceRef":"a\nb"}`:                                    "sourceRef",
		`{"verbatim":"x","sourceRef":"sha256:00"}`:                               "sourceRef",
		`{"verbatim":"x","sourceRef":"` + strings.Repeat("é", 128) + `"}`:        "sourceRef",
		`{"verbatim":"x","severity":1,"tags":2,"interviewDate":"x","source":""}`: "severity",
	} {
		_, _, err := ingest.ReadEnvelope([]byte(body))
		if err == nil || !ingest.IsFieldError(err) || !strings.HasPrefix(err.Error(), field+" ") {
			t.Errorf("ReadEnvelope(%s) = %v, want it to blame %s", body, err, field)
		}
	}
	for _, body := range []string{`[]`, `"x"`, `null`, ``, `{"verbatim":"x"}{}`} {
		if _, _, err := ingest.ReadEnvelope([]byte(body)); err == nil || ingest.IsFieldError(err) {
			t.Errorf("ReadEnvelope(%s) = %v, want it to blame the whole", body, err)
		}
	}
}

// The pointers of RFC 6901, section 5, on strings and numbers.
func TestRefAt(t *testing.T) {
	t.Parallel()
	const body = `{"foo":["bar","baz"],"":"empty","a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,
		"o":{"id":"x-1","n":1.50,"nil":null,"list":[{"id":"y"}],"sha":"sha256:1","blank":" ","yes":true}}`
	for pointer, want := range map[string]string{
		"/foo/0": "bar", "/foo/1": "baz", "/": "empty", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4",
		`/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8", "/o/id": "x-1", "/o/n": "1.50", "/o/list/0/id": "y",
		"/o/nil": "", "/nowhere": "", "/foo/2": "", "/foo/-": "", "/foo/01": "", "/foo/+1": "", "/o/id/x": "", "/~01": "",
	} {
		if got, err := ingest.RefAt([]byte(body), pointer); got != want || err != nil {
			t.Errorf("RefAt(%q) = %q, %v, want %q", pointer, got, err, want)
		}
	}
	for _, pointer := range []string{"", "/foo", "/o", "/o/sha", "/o/blank", "/o/yes"} {
		if got, err := ingest.RefAt([]byte(body), pointer); !ingest.IsFieldError(err) {
			t.Errorf("RefAt(%q) = %q, %v, want a field error", pointer, got, err)
		}
	}
	if _, err := ingest.RefAt([]byte("a=b"), "/a"); err == nil || ingest.IsFieldError(err) {
		t.Errorf("RefAt of a form = %v, want it to blame the body", err)
	}
}

// FuzzEnvelope holds the scanner against encoding/json, which is laxer: what the
// scanner takes, that takes too, and it can be stored.
func FuzzEnvelope(f *testing.F) {
	for _, text := range goodJSON {
		f.Add([]byte(text))
		f.Add([]byte(`{"verbatim":"x","extra":` + text + `}`))
	}
	for _, text := range badJSON {
		f.Add([]byte(text[:min(len(text), 300)]))
		f.Add([]byte(`{"verbatim":` + text[:min(len(text), 300)] + `}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		source, ref, err := ingest.ReadEnvelope(body)
		if err == nil && (len(source) > 255 || len(ref) > 255 || strings.ContainsAny(source+ref, "\x00\n")) {
			t.Errorf("source %q, ref %q can't be stored", source, ref)
		}
		if ingest.ParseJSON(body) != nil {
			return
		}
		if !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 || !json.Valid(body) {
			t.Errorf("%q was taken", body)
		}
		for _, text := range ingest.Strings(body) {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("%q holds the text %q, which can't be stored", body, text)
			}
		}
		if _, err := ingest.RefAt(body, "/a/0/b"); err == nil && !json.Valid(body) {
			t.Errorf("%q was taken for a reference", body)
		}
	})
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"203.0.113.9:1", []string{"192.0.2.1"}, "203.0.113.9"}, // not a proxy of ours
		{"10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"10.0.0.1:1", []string{"6.6.6.6, 192.0.2.1"}, "192.0.2.1"}, // what a sender made up stays left
		{"10.0.0.1:1", []string{"6.6.6.6", "192.0.2.1, 10.1.1.1"}, "192.0.2.1"},
		{"10.0.0.1:1", []string{"6.6.6.6", "10.2.2.2"}, "6.6.6.6"},
		{"10.0.0.1:1", []string{"6.6.6.6, nonsense"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded, "X-Real-Ip": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"}}}
		if got := ingest.ClientAddress(r, trusted).String(); got != tt.want {
			t.Errorf("peer %s, forwarded %q = %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}
