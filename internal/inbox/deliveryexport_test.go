package inbox_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
)

// A cutter takes so many bytes and then fails, as a connection does. Between two
// writes other requests arrive.
type cutter struct {
	bytes.Buffer
	left    int
	between func()
}

var errCut = errors.New("cut")

func (c *cutter) Write(text []byte) (int, error) {
	n := min(len(text), c.left)
	c.left -= n
	c.Buffer.Write(text[:n])
	if n < len(text) {
		return n, errCut
	}
	c.between()
	return n, nil
}

// wholeLines returns the ids of the lines that ended, and whether the last one says
// that it is the last.
func wholeLines(t *testing.T, text string) (ids []string, ended bool) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		var row struct {
			ID  string
			End bool
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		if ended = row.End; !ended {
			ids = append(ids, row.ID)
		}
	}
	return ids, ended
}

// TestExportResumes cuts an export again and again, anywhere, while requests come
// in, and goes on behind the last whole line: each row that was there is had once.
func TestExportResumes(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.exec(`INSERT INTO deliveries (id, workspace_id, webhook_key_id, auth_method, outcome, status, endpoint, address, received_at)
		SELECT (left(uuid_floor(now() - interval '1 hour' + n * interval '10 ms')::text, 24) || lpad(to_hex(n), 12, '0'))::uuid,
			$1, $2, 'api_key', CASE WHEN n % 3 = 0 THEN 'refused' ELSE 'accepted' END, 200, '/hooks', '192.0.2.1', now()
		FROM generate_series(1, 45000) AS n`, p.workspace, p.keys[0])
	var want []string
	if err := p.Raw().Select(&want, `SELECT id FROM deliveries WHERE outcome = 'refused' ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	by := audit.Actor{WorkspaceID: p.workspace, Kind: audit.User, UserID: uuid.New(), Label: "Ada"}
	export := inbox.Export{Filter: inbox.DeliveryFilter{Outcome: inbox.Refused}, Stated: "outcome=refused", Format: inbox.NDJSON}
	var got []string
	cuts := 0
	for size := 150_001; ; size += 1_000_003 {
		out := &cutter{left: size, between: func() { p.add(p.refused(0, "meanwhile")) }}
		done, err := p.events.Export(t.Context(), by, export, out)
		ids, ended := wholeLines(t, out.String())
		got = append(got, ids...)
		if ended != (err == nil) || done.Whole != ended {
			t.Fatalf("Export = %+v, %v, and its last line says ended %v", done, err, ended)
		}
		if ended {
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("Export = %v, want %v", err, errCut)
		}
		cuts++
		if len(ids) > 0 {
			export.After = uuid.MustParse(ids[len(ids)-1])
		}
	}
	if cuts < 3 || len(got) < len(want) {
		t.Fatalf("%d cuts, %d rows, want some and at least %d", cuts, len(got), len(want))
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Errorf("rows (-want +got):\n%.1000s", diff)
	}
	seen := map[string]bool{}
	for _, id := range got {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
	begun, ended := p.count(`SELECT count(*) FROM audit_log WHERE action = 'deliveries.export_begun' AND after LIKE '%outcome=refused%'`),
		p.count(`SELECT count(*) FROM audit_log WHERE action = 'deliveries.export_ended' AND after LIKE '%"whole":false%'`)
	if begun != cuts+1 || ended != cuts {
		t.Errorf("the trail has %d beginnings and %d ends of %d exports, of which %d were cut", begun, ended, cuts+1, cuts)
	}
	if n := p.count(`SELECT count(*) FROM audit_log WHERE action = 'deliveries.export_ended' AND after LIKE '%"whole":true%'`); n != 1 {
		t.Errorf("the trail has %d whole exports, want 1", n)
	}
	// What hardly anything meets is found behind all that is looked at for one page.
	p.exec(`UPDATE deliveries SET source_ref = 'rare' WHERE id = (SELECT id FROM deliveries ORDER BY id OFFSET 44000 LIMIT 1)`)
	out := &cutter{left: 1 << 20, between: func() {}}
	done, err := p.events.Export(t.Context(), by, inbox.Export{Filter: inbox.DeliveryFilter{SourceRef: "rare"}, Format: inbox.NDJSON}, out)
	if err != nil || done.Rows != 1 || !strings.Contains(out.String(), `"sourceRef":"rare"`) {
		t.Errorf("Export of one row in 45,000 = %+v, %v", done, err)
	}
}

// TestExportNeedsItsRecord: where nothing can be recorded, nothing is written.
func TestExportNeedsItsRecord(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.add(p.arrival(0, "r", "x"))
	p.exec(`ALTER TABLE audit_log ADD CONSTRAINT never CHECK (action <> 'deliveries.export_begun')`)
	var out bytes.Buffer
	_, err := p.events.Export(t.Context(), audit.Actor{WorkspaceID: p.workspace}, inbox.Export{Format: inbox.CSV}, &out)
	if err == nil || out.Len() > 0 {
		t.Errorf("Export = %v after %d bytes, want an error before the first", err, out.Len())
	}
}

// TestExportCSV: what senders wrote stays a text in every spreadsheet.
func TestExportCSV(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	hostile := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "－1", " =1", "a;=1+1", `"=1"`, "x\r\n=1", "\u202e=1", "plain"}
	var want []string
	for i, text := range hostile {
		a := p.arrival(0, fmt.Sprint("r", i), "body "+text)
		a.EventType, a.UserAgent = text, text
		p.add(a)
		if strings.ContainsRune("=+-@\t\r＝－ ", []rune(text)[0]) {
			text = "'" + text
		}
		want = append(want, text)
	}
	binary := p.arrival(0, "binary", "\x00\xff")
	p.add(binary)
	var out bytes.Buffer
	by := audit.Actor{WorkspaceID: p.workspace, Kind: audit.User, UserID: uuid.New()}
	done, err := p.events.Export(t.Context(), by, inbox.Export{Format: inbox.CSV, Payloads: true, KeyNames: map[uuid.UUID]string{p.keys[0]: "=HYPERLINK(1)"}}, &out)
	if err != nil || !done.Whole || int(done.Rows) != len(hostile)+1 {
		t.Fatalf("Export = %+v, %v", done, err)
	}
	text := out.String()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != len(hostile)+3 {
		t.Fatalf("%d rows, %v\n%s", len(rows), err, text)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for i, row := range rows[1 : len(hostile)+1] {
		wanted := strings.ReplaceAll(want[i], "\r\n", "\n") // as encoding/csv reads it
		if row[column["eventType"]] != wanted || row[column["userAgent"]] != wanted || row[column["keyName"]] != "'=HYPERLINK(1)" {
			t.Errorf("%q is written %q and %q, want %q", hostile[i], row[column["eventType"]], row[column["userAgent"]], wanted)
		}
	}
	last := rows[len(hostile)+1]
	if last[column["bodyEncoding"]] != "base64" || last[column["body"]] != "AP8=" {
		t.Errorf("a binary body is written %q, %q", last[column["bodyEncoding"]], last[column["body"]])
	}
	end := rows[len(rows)-1]
	if end[0] != "#end" || end[1] != fmt.Sprint(done.Rows, " rows") || len(end) != len(rows[0]) {
		t.Errorf("the last line is %q", end)
	}
}

// TestExportBounds: bodies of any size are had in pages that hold a bounded number of
// bytes, and a filter that hardly anything meets does not stop at what it looked at.
func TestExportBounds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	big := strings.Repeat("x", 3<<20)
	for i := range 4 {
		p.add(p.arrival(0, fmt.Sprint("r", i), big+fmt.Sprint(i)))
	}
	largest := 0
	out := writer(func(text []byte) { largest = max(largest, len(text)) })
	by := audit.Actor{WorkspaceID: p.workspace, Kind: audit.User, UserID: uuid.New()}
	done, err := p.events.Export(t.Context(), by, inbox.Export{Format: inbox.NDJSON, Payloads: true}, out)
	if err != nil || done.Rows != 4 || largest > 8<<20 {
		t.Errorf("Export = %+v, %v, at most %d bytes at once", done, err, largest)
	}
	other := p.addWorkspace()
	if done, err = p.events.Export(t.Context(), by.In(other), inbox.Export{Format: inbox.NDJSON}, out); err != nil || done.Rows != 0 || !done.Whole {
		t.Errorf("Export of another workspace = %+v, %v, want nothing", done, err)
	}
	if done, err = p.events.Export(t.Context(), by, inbox.Export{Format: inbox.NDJSON, Filter: inbox.DeliveryFilter{Until: time.Now().Add(-time.Hour)}}, out); err != nil || done.Rows != 0 {
		t.Errorf("Export until an hour ago = %+v, %v, want nothing", done, err)
	}
}

type writer func([]byte)

func (w writer) Write(text []byte) (int, error) { w(text); return len(text), nil }
