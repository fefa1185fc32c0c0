package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// TestPrintsPlainly: no text can make a terminal act, and JSON reads as it was.
func TestPrintsPlainly(t *testing.T) {
	t.Parallel()
	const text = "a\x1b[2Jb\u009b31mc\u202ed\u2066e\x7ff\rg\u200bh\U000E0041i\u2028j"
	var out bytes.Buffer
	if err := (jsonFlag{}).print(&out, nil, func(w io.Writer) { table(w, []string{text, "x\ny\tz"}, []string{"b"}) }); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `a\u001B[2Jb\u009B31mc\u202Ed\u2066e\u007Ff\u000Dg\u200Bh\uE0041i\u2028j  x y z`+"\nb\n"; strings.ReplaceAll(got, " \n", "\n") != want {
		t.Errorf("a table prints %q, want %q", got, want)
	}
	out.Reset()
	if err := (jsonFlag{JSON: true}).print(&out, text, nil); err != nil {
		t.Fatal(err)
	}
	var read string
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || read != text {
		t.Errorf("JSON %s reads as %q, %v; want %q", out.String(), read, err, text)
	}
	if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		t.Errorf("JSON holds a character that acts: %q", out.String())
	}
}
