package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
)

// A jsonFlag is of every command that prints something.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// print writes value as JSON if that was asked for, else what text writes.
func (j jsonFlag) print(out io.Writer, value any, text func(io.Writer)) error {
	if j.JSON {
		var encoded strings.Builder
		encoder := json.NewEncoder(&encoded)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value); err != nil {
			return err
		}
		_, err := io.WriteString(out, plainly(encoded.String(), escapeJSON))
		return err
	}
	var written strings.Builder
	text(&written)
	_, err := io.WriteString(out, plainly(written.String(), escapeText))
	return err
}

// plainly replaces what a terminal would act on instead of showing: control
// characters, and those that turn the direction of writing. Breaks of lines stay,
// and tabs, with which columns are set.
func plainly(text string, escape func(r rune) string) string {
	var plain strings.Builder
	for _, r := range text {
		if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			plain.WriteString(escape(r))
		} else {
			plain.WriteRune(r)
		}
	}
	return plain.String()
}

func escapeText(r rune) string { return fmt.Sprintf(`\u%04X`, r) }

// escapeJSON writes what reads as the same text again: such characters stand in
// JSON's strings alone.
func escapeJSON(r rune) string {
	var escaped strings.Builder
	for _, unit := range utf16.AppendRune(nil, r) {
		fmt.Fprintf(&escaped, `\u%04x`, unit)
	}
	return escaped.String()
}

// table writes rows of columns; the first row is the heading.
func table(out io.Writer, rows ...[]string) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = strings.ReplaceAll(plainly(strings.ReplaceAll(cell, "\n", " "), escapeText), "\t", " ")
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
}

// readSecret reads a secret from standard input: its first line. A secret on the
// command line would be seen by everybody who lists the processes.
func readSecret(in io.Reader) (string, error) {
	const limit = 64 << 10
	text, err := io.ReadAll(io.LimitReader(in, limit))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", misuse("standard input is empty")
	}
	return line, nil
}
