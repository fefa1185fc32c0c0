package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	linearHeader = "Linear-Signature"
	linearTime   = "Linear-Timestamp"
	linearField  = "webhookTimestamp"
)

// readLinear reads a bare MAC. The time is in the body, which is looked at only
// once its signature holds; the header stands in for it.
func readLinear(headers http.Header) (Presented, error) {
	p, err := hexReader(linearHeader, "", false)(headers)
	if err != nil {
		return Presented{}, err
	}
	p.timed = checkLinearTime
	if len(headers.Values(linearTime)) == 0 {
		return p, nil
	}
	if p.header, err = one(headers, linearTime); err != nil {
		return Presented{}, err
	}
	if _, ok := milliseconds(p.header); !ok {
		return Presented{}, &FormatError{linearTime, "must be a time in milliseconds since 1970"}
	}
	return p, nil
}

// checkLinearTime wants a time near now: the signed body's, else the header's.
// A request without any is stale: it could have been kept for long.
func checkLinearTime(header string, body []byte, now time.Time) error {
	text, found, err := member(body, linearField)
	switch {
	case errors.Is(err, errTwice):
		return ErrStale
	case !found:
		text = header
	}
	if at, ok := milliseconds(text); ok && near(at, now) {
		return nil
	}
	return ErrStale
}

func milliseconds(text string) (time.Time, bool) {
	if len(text) == 0 || len(text) > 14 || text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n), err == nil
}

var errTwice = errors.New("the member is there twice")

// member returns a number or a string of a JSON object by its exact name.
func member(body []byte, name string) (text string, found bool, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return "", false, io.ErrUnexpectedEOF
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return text, found, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return text, found, err
		}
		if key != name {
			continue
		}
		if found {
			return "", true, errTwice
		}
		found, text = true, string(value)
		if len(value) > 0 && value[0] == '"' {
			if err := json.Unmarshal(value, &text); err != nil {
				return "", true, err
			}
		}
	}
	return text, found, nil
}
