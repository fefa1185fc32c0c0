package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Line returns e as a line of an export: JSON with the members in the order of the
// struct, hashes in base64. One entry has one line: what differs was altered.
func (e Entry) Line() ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(e)
	return line.Bytes(), err
}

// longestLine bounds the memory that reading an export takes.
const longestLine = 16 << 20

// ReadExport reads the entries of an export. A line that Line would not have
// written comes as the zero Entry.
func ReadExport(from io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewScanner(from)
		lines.Split(splitLines)
		lines.Buffer(nil, longestLine)
		for lines.Scan() {
			if !yield(parseLine(lines.Bytes()), nil) {
				return
			}
		}
		if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(Entry{}, nil)
		} else if err != nil {
			yield(Entry{}, err)
		}
	}
}

// splitLines ends a line at its line feed and takes nothing else from it, as
// bufio.ScanLines would: what stands before it is part of the writing.
func splitLines(data []byte, atEnd bool) (advance int, line []byte, err error) {
	if end := bytes.IndexByte(data, '\n'); end >= 0 {
		return end + 1, data[:end], nil
	}
	if atEnd && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func parseLine(line []byte) Entry {
	var entry Entry
	if json.Unmarshal(line, &entry) != nil {
		return Entry{}
	}
	written, err := entry.Line()
	if err != nil || !bytes.Equal(bytes.TrimSuffix(written, []byte("\n")), line) {
		return Entry{}
	}
	return entry
}

// A Format is a form of export.
type Format string

// The formats. What can be verified is the first.
const (
	NDJSON Format = "ndjson"
	CSV    Format = "csv"
)

// An Export is what of a chain is written, and how.
type Export struct {
	Label  string // the workspace's name
	Format Format
	Filter Filter // the zero Filter: all of it, which can be verified
	Stated string // the filter as it is recorded
}

// Export writes entries of a chain, and records in the chain that it does: by must
// be in its workspace, or in none for the instance's. The last entry is that of the
// export. It reads in portions, so that a slow reader holds nothing.
func (s *Store) Export(ctx context.Context, by Actor, e Export, to io.Writer) error {
	fields := Fields{"format": string(e.Format)}
	if e.Stated != "" {
		fields["filter"] = e.Stated
	}
	var last int64
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) (err error) {
		if err := Record(ctx, tx, by, TrailExported, Target{Kind: "audit", ID: by.Chain(), Label: e.Label}, nil, fields); err != nil {
			return err
		}
		last, err = lastOf(ctx, tx, by.Chain())
		return err
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(to, 64<<10)
	write, finish := e.Format.writer(out)
	if err := s.upTo(ctx, by.Chain(), last, e.Filter, write); err != nil {
		return fmt.Errorf("export the trail: %w", err)
	}
	return errors.Join(finish(), out.Flush())
}

// writer returns what writes an entry, and what ends the file.
func (f Format) writer(out io.Writer) (write func(Entry) error, finish func() error) {
	if f == CSV {
		rows := csv.NewWriter(out)
		finish = func() error { rows.Flush(); return rows.Error() }
		begin := rows.Write(strings.Split(strings.Join(strings.Fields(columns), ""), ","))
		return func(e Entry) error { return errors.Join(begin, rows.Write(e.cells())) }, finish
	}
	return func(e Entry) error {
		line, err := e.Line()
		if err != nil {
			return err
		}
		_, err = out.Write(line)
		return err
	}, func() error { return nil }
}

// cells returns e as a row for a spreadsheet, which must not take a cell for a
// formula.
func (e Entry) cells() []string {
	cells := []string{
		e.Chain, strconv.FormatInt(e.Seq, 10), e.At, string(e.ActorKind), e.ActorID, e.ActorLabel, string(e.Action), e.TargetKind,
		e.TargetID, e.TargetLabel, e.Address, e.RequestID, e.Before, e.After,
		base64.StdEncoding.EncodeToString(e.PrevHash), base64.StdEncoding.EncodeToString(e.Hash),
	}
	for i, cell := range cells[:14] {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cells[i] = "'" + cell
		}
	}
	return cells
}

// eachEntry calls use with each entry of a chain in order.
func eachEntry(ctx context.Context, tx *sqlx.Tx, chain string, use func(Entry) error) error {
	const query = `SELECT ` + columns + ` FROM audit_log WHERE chain = $1 ORDER BY seq`
	rows, err := tx.QueryxContext(ctx, query, chain)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var entry Entry
		if err := rows.StructScan(&entry); err != nil {
			return err
		}
		if err := use(entry); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Chains names the chains that the database has entries or a head of: the
// instance's last, and those of workspaces that are gone too.
func (s *Store) Chains(ctx context.Context) ([]string, error) {
	const query = `
		SELECT chain FROM audit_heads UNION SELECT DISTINCT chain FROM audit_log
		ORDER BY 1`
	var chains []string
	err := s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &chains, query) })
	if err != nil {
		return nil, fmt.Errorf("list the chains: %w", err)
	}
	return chains, nil
}

// ParseChain returns the workspace of a chain's name; uuid.Nil is the instance. A
// chain has one name: an id written otherwise is none.
func ParseChain(chain string) (uuid.UUID, bool) {
	if chain == ChainOf(uuid.Nil) {
		return uuid.Nil, true
	}
	id, err := uuid.Parse(chain)
	return id, err == nil && ChainOf(id) == chain
}
