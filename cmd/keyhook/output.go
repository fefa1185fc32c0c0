package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A jsonFlag is of every command that prints something.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// print writes value as JSON if that was asked for, else what text writes.
func (j jsonFlag) print(out io.Writer, value any, text func(io.Writer)) error {
	if j.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	text(out)
	return nil
}

// table writes rows of columns; the first row is the heading.
func table(out io.Writer, rows ...[]string) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
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
