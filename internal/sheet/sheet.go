// Package sheet reads the tables that databases and spreadsheets write: values
// separated by commas, semicolons or tabs, with a first line of names. It owns no
// table of the database.
//
// What can't be read for certain is refused with the line that it is on, never
// guessed at.
package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"keyhook/internal/fault"
)

// The limits of what is read.
const (
	MaxBytes   = 10 << 20
	MaxRows    = 10_000
	maxColumns = 200
	maxCell    = 16 << 10 // bytes
)

// A Table is what a file says.
type Table struct {
	Columns []string // the names in the first line, trimmed
	Rows    []Row
	Blank   int // rows with nothing in any cell, which are left out
}

// A Row is one row, with a cell for each column, trimmed. Line is where it begins in the file.
type Row struct {
	Line  int
	Cells []string
}

// Read reads a table. Its errors are faults on the field "file".
func Read(data []byte) (Table, error) {
	if len(data) > MaxBytes {
		return Table{}, fault.On("file", fault.TooLarge, fmt.Sprintf("The file is larger than %d MB. Split it.", MaxBytes>>20))
	}
	text, err := decode(data)
	if err != nil {
		return Table{}, err
	}
	text, skipped, separator := dialect(text)
	if bytes.Count(text, []byte(string(separator))) > MaxRows*maxColumns {
		return Table{}, wrong("The file has more cells than %d rows of %d columns.", MaxRows, maxColumns)
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = separator, -1, true
	var table Table
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Table{}, unreadable(err, skipped)
		}
		line, _ := r.FieldPos(0)
		if err := table.add(line+skipped, cells); err != nil {
			return Table{}, err
		}
	}
	switch {
	case table.Columns == nil:
		return Table{}, wrong("The file is empty.")
	case len(table.Rows) == 0:
		return Table{}, wrong("The file has a line of names and no rows.")
	}
	return table, nil
}

// add takes the next record, the first of which names the columns.
func (t *Table) add(line int, cells []string) error {
	kept := make([]string, len(cells))
	blank := true
	for i, cell := range cells {
		if len(cell) > maxCell {
			return wrong("Line %d has a cell of more than %d KB. Is a quote missing?", line, maxCell>>10)
		}
		kept[i] = strings.Clone(strings.TrimSpace(cell)) // else one cell keeps its whole record
		blank = blank && kept[i] == ""
	}
	switch {
	case blank:
		t.Blank++
	case t.Columns == nil:
		return t.name(kept)
	case len(kept) != len(t.Columns):
		return wrong("Line %d has %d cells where the first line names %d columns.", line, len(kept), len(t.Columns))
	case len(t.Rows) == MaxRows:
		return wrong("The file has more than %d rows. Split it.", MaxRows)
	default:
		t.Rows = append(t.Rows, Row{line, kept})
	}
	return nil
}

func (t *Table) name(columns []string) error {
	if len(columns) > maxColumns {
		return wrong("The file has more than %d columns.", maxColumns)
	}
	at := map[string]int{}
	for i, column := range columns {
		name := strings.ToLower(column)
		if j, twice := at[name]; twice && name != "" { // not repeated: without a line of names it may be a key
			return wrong("Columns %d and %d have the same name.", j+1, i+1)
		}
		at[name] = i
	}
	t.Columns = columns
	return nil
}

// unreadable says where the file breaks the rules of its quotes.
func unreadable(err error, skipped int) error {
	if failure, ok := errors.AsType[*csv.ParseError](err); ok {
		if failure.StartLine != failure.Line {
			return wrong("A quote that opens on line %d is not closed as it should be.", failure.StartLine+skipped)
		}
		return wrong("Line %d has a quote in the wrong place: a cell with quotes in it stands in quotes itself, and each of its own is doubled.", failure.Line+skipped)
	}
	return wrong("The file can't be read as a table.")
}

func wrong(format string, args ...any) error {
	return fault.On("file", fault.Invalid, fmt.Sprintf(format, args...))
}
