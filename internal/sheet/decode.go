package sheet

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// decode returns the text of a file without its byte order mark and with line
// feeds where lines end, or says what else the file seems to be.
func decode(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return nil, wrong("This is a workbook or another archive. Save the sheet as CSV in UTF-8.")
	case bytes.HasPrefix(data, []byte("PGDMP")):
		return nil, wrong("This is a dump of a whole database. Export the table as CSV.")
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}), halfEmpty(data):
		return nil, wrong("The file is in UTF-16. Save it as CSV in UTF-8.")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return nil, wrong("Line %d holds a byte that is no text (NUL).", lineAt(data, at))
	}
	if at := invalid(data); at >= 0 {
		return nil, wrong("Line %d holds a character that is not UTF-8. Save the file as CSV in UTF-8.", lineAt(data, at))
	}
	if !bytes.ContainsRune(data, '\n') {
		data = bytes.ReplaceAll(data, []byte{'\r'}, []byte{'\n'})
	}
	return data, nil
}

// halfEmpty reports whether every other byte of the beginning is NUL, as in UTF-16
// without a mark.
func halfEmpty(data []byte) bool {
	head := data[:min(len(data), 64)]
	var zeros [2]int
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	return len(head) >= 8 && max(zeros[0], zeros[1]) > len(head)/3
}

func invalid(data []byte) int {
	for at := 0; at < len(data); {
		if data[at] < utf8.RuneSelf {
			at++
			continue
		}
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

func lineAt(data []byte, at int) int { return 1 + bytes.Count(data[:at], []byte{'\n'}) }

// dialect tells what separates cells: what a line “sep=;” in front says, which is
// skipped, else what the line of names has most of outside quotes.
func dialect(text []byte) (rest []byte, skipped int, separator rune) {
	for {
		line, after, more := bytes.Cut(text, []byte{'\n'})
		trimmed := strings.TrimSpace(string(line[:min(len(line), maxCell)]))
		if sep, ok := strings.CutPrefix(strings.ToLower(trimmed), "sep="); ok && len(sep) == 1 && strings.Contains(",;\t", sep) {
			return after, skipped + 1, rune(sep[0])
		}
		if trimmed != "" || !more {
			return text, skipped, mostly(trimmed)
		}
		text, skipped = after, skipped+1
	}
}

func mostly(line string) rune {
	counts, quoted := map[rune]int{}, false
	for _, r := range line {
		if r == '"' {
			quoted = !quoted
		}
		if !quoted {
			counts[r]++
		}
	}
	best := ','
	for _, r := range ";\t" {
		if counts[r] > counts[best] {
			best = r
		}
	}
	return best
}
