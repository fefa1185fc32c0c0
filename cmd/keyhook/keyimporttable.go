package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/oneline"
	"keyhook/internal/sheet"
)

// An importedTable is what became, or would become, of a table.
type importedTable struct {
	DryRun         bool          `json:"dry_run"`
	Imported       int           `json:"imported"` // or would be
	Unchanged      int           `json:"unchanged"`
	Wrong          int           `json:"wrong"`
	IgnoredColumns []string      `json:"ignored_columns"`
	Remarks        []string      `json:"remarks"`
	Rows           []importedRow `json:"rows"`
}

// An importedRow has the id of a key that was made.
type importedRow struct {
	Line     int            `json:"line"`
	Result   string         `json:"result"` // new, unchanged or wrong
	ID       *string        `json:"id"`
	Name     string         `json:"name"`
	Source   string         `json:"source"`
	Warnings []string       `json:"warnings"`
	Errors   []importedFlaw `json:"errors"`
}

type importedFlaw struct {
	Column string `json:"column"`
	Text   string `json:"text"`
}

// importTable imports what a file holds, all of it or nothing.
func (c *keyImportCmd) importTable(ctx context.Context, a app) error {
	if c.Name != "" {
		return misuse("--name is for one key: a table has a column for it")
	}
	data, err := c.readTable(a)
	if err != nil {
		return err
	}
	file, err := keyring.ReadImport(data, time.Now())
	if f, wrong := fault.Of(err); err != nil && wrong {
		return misuse("--csv: %s", f.Message)
	}
	if err != nil {
		return err
	}
	return c.carryOut(ctx, a, file)
}

// readTable reads a little more than may be, so that too much is told.
func (c *keyImportCmd) readTable(a app) ([]byte, error) {
	in := a.in
	if c.CSV != "-" {
		opened, err := os.Open(c.CSV)
		if err != nil {
			return nil, misuse("--csv: %v", err)
		}
		defer opened.Close()
		in = opened
	}
	data, err := io.ReadAll(io.LimitReader(in, sheet.MaxBytes+1))
	if err != nil {
		return nil, misuse("--csv: %v", err)
	}
	return data, nil
}

// carryOut imports, or says what it would.
func (c *keyImportCmd) carryOut(ctx context.Context, a app, file keyring.ImportFile) error {
	s, by, err := c.begin(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	run := s.keys.ImportAll
	if c.DryRun {
		run = s.keys.PlanImport
	}
	plan, err := run(ctx, by, file)
	wrong := plan.Count(keyring.Wrong)
	if err != nil && wrong == 0 {
		return err
	}
	if err := c.tellTable(a, plan); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d rows are wrong: nothing was imported", wrong, len(plan.Keys))
	}
	return nil
}

// tryOne says what importing one key would do.
func (c *keyImportCmd) tryOne(ctx context.Context, a app, draft keyring.Draft, from keyring.Imported) error {
	fields := map[string]string{"name": draft.Name, "source": draft.Source, "api_key": from.APIKey}
	if from.APIKeyHash != nil {
		fields["sha256"] = hex.EncodeToString(from.APIKeyHash)
	}
	if draft.ExpiresAt != nil {
		fields["expires_at"] = draft.ExpiresAt.Format(time.RFC3339)
	}
	return c.carryOut(ctx, a, keyring.ReadImportOne(func(column string) string { return fields[column] }, time.Now()))
}

func (c *keyImportCmd) tellTable(a app, plan keyring.ImportPlan) error {
	told := importedTable{
		DryRun: c.DryRun, Imported: plan.Count(keyring.Makes), Unchanged: plan.Count(keyring.IsHere), Wrong: plan.Count(keyring.Wrong),
		IgnoredColumns: append([]string{}, plan.Ignored...), Remarks: append([]string{}, plan.Remarks...), Rows: []importedRow{},
	}
	if told.Wrong > 0 && !c.DryRun {
		told.Imported = 0
	}
	rows := [][]string{{"LINE", "RESULT", "NAME", "SOURCE", "REMARKS"}}
	for _, key := range plan.Keys {
		row := importedRow{Line: key.Line, Result: string(key.Fate), Name: key.Draft.Name, Source: key.Draft.Source, Warnings: []string{}, Errors: []importedFlaw{}}
		if told.Wrong == 0 && !c.DryRun && key.Fate == keyring.Makes {
			id := key.ID.String()
			row.ID = &id
		}
		var remarks []string
		for _, f := range key.Faults {
			row.Errors = append(row.Errors, importedFlaw{f.Column, f.Text})
			remarks = append(remarks, f.Column+": "+f.Text)
		}
		for _, r := range key.Remarks {
			row.Warnings = append(row.Warnings, r.Text)
			remarks = append(remarks, r.Code)
		}
		if key.Fate == keyring.IsHere {
			remarks = []string{"here already, as " + key.HereAs}
		}
		told.Rows = append(told.Rows, row)
		rows = append(rows, []string{strconv.Itoa(key.Line), row.Result, plain(row.Name), plain(row.Source), plain(strings.Join(remarks, "; "))})
	}
	return c.print(a.out, told, func(w io.Writer) {
		table(w, rows...)
		summarise(w, told)
	})
}

func summarise(w io.Writer, told importedTable) {
	for _, remark := range told.Remarks {
		fmt.Fprintln(w, "note:", remark)
	}
	if len(told.IgnoredColumns) > 0 {
		fmt.Fprintln(w, "ignored columns:", plain(strings.Join(told.IgnoredColumns, ", ")))
	}
	made := "imported"
	if told.DryRun {
		made = "would be imported"
	}
	fmt.Fprintf(w, "%d %s, %d here already, %d wrong\n", told.Imported, made, told.Unchanged, told.Wrong)
}

// plain keeps what a file says from steering the terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if oneline.Hides("x" + string(r) + "x") {
			return '�'
		}
		return r
	}, text)
}
