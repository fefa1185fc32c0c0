package web

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// exportedAtOnce is how many keys are read from the database at a time.
const exportedAtOnce = 500

// exportKeys hands out what is known of the keys that were ticked, or of all that
// match the list. That it was asked for is in the audit trail before the first
// byte. An export that can't be brought to its end is cut off, so that nobody
// takes it for a whole one.
func (s *Server) exportKeys(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	format := r.PostForm.Get("format")
	write, known := keyWriters[format]
	if !known {
		return fault.On("format", fault.Invalid, "An export is csv or ndjson.")
	}
	list, err := s.listOf(r, m, r.PostForm, time.Now().UTC())
	if err != nil {
		return err
	}
	filter := list.filter
	if ticked := chosen(r.PostForm, list.filter); len(ticked.Keys) > 0 {
		filter = ticked
	}
	if _, err := s.keys.RecordExport(r.Context(), s.actor(r, m), filter, format); err != nil {
		return err
	}
	window := keyring.Window{Order: keyring.ByName, Limit: exportedAtOnce}
	first, err := s.keys.Page(r.Context(), m.Workspace.ID, filter, window)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", map[string]string{"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}[format])
	h.Set("Content-Disposition", `attachment; filename="keys-`+m.Workspace.Slug+"-"+list.at.Format("20060102-150405")+"."+format+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	s.streamKeys(w, r, m, first, filter, window, write, list.at)
	return nil
}

// streamKeys sends a first part of the keys and those behind it, or cuts the answer off.
func (s *Server) streamKeys(w http.ResponseWriter, r *http.Request, m account.Member, first keyring.Listing, filter keyring.Filter, window keyring.Window, write keyWriter, at time.Time) {
	out := bufio.NewWriterSize(w, 64<<10)
	add, err := write(out), error(nil)
	for listing := first; err == nil; listing, err = s.keys.Page(r.Context(), m.Workspace.ID, filter, window) {
		for _, key := range listing.Keys {
			err = errors.Join(err, add(exportedKey(key, at)))
		}
		if window.After = listing.Next; window.After == nil {
			break
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second)) // each part has its own time
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "an export of keys was cut off", "request", requestID(r), "err", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// An exported key is what an export tells of one: no credential, nor anything that
// one could be made or checked with.
type exported struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Status        string     `json:"status"`
	Active        bool       `json:"is_active"`
	Scheme        string     `json:"scheme"`
	Source        string     `json:"source"`
	Hint          string     `json:"hint"`
	Labels        []string   `json:"labels"`
	Owner         string     `json:"owner"`
	CreatedBy     string     `json:"created_by"`
	CreatedAt     time.Time  `json:"created_at"`
	ExpiresAt     *time.Time `json:"expires_at"`
	LastUsedAt    *time.Time `json:"last_used_at"`
	LastRefusedAt *time.Time `json:"last_refused_at"`
	Note          string     `json:"note"`
}

func exportedKey(key keyring.Key, now time.Time) exported {
	e := exported{
		ID: key.ID.String(), Name: key.Name, Status: string(key.StatusAt(now)), Active: key.Active, Scheme: key.Scheme, Source: key.Source,
		Hint: key.Hint, Labels: key.Labels, Owner: key.OwnerName, CreatedBy: key.CreatedByName, CreatedAt: key.CreatedAt.UTC(),
		ExpiresAt: utc(key.ExpiresAt), LastUsedAt: utc(key.LastUsedAt), LastRefusedAt: utc(key.LastRefusedAt), Note: key.Note,
	}
	if e.Labels == nil {
		e.Labels = []string{}
	}
	return e
}

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	t := at.UTC()
	return &t
}

// A keyWriter begins an export, and returns what writes one key.
type keyWriter func(io.Writer) func(exported) error

// keyWriters are the formats.
var keyWriters = map[string]keyWriter{
	"ndjson": func(w io.Writer) func(exported) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return func(e exported) error { return encoder.Encode(e) }
	},
	"csv": func(w io.Writer) func(exported) error {
		table := csv.NewWriter(w)
		table.UseCRLF = true
		add := func(cells []string) error {
			err := table.Write(cells)
			table.Flush()
			return errors.Join(err, table.Error())
		}
		begun := add(keyColumns)
		return func(e exported) error { return errors.Join(begun, add(e.cells())) }
	},
}

var keyColumns = []string{
	"id", "name", "status", "is_active", "scheme", "source", "hint", "labels", "owner", "created_by", "created_at", "expires_at",
	"last_used_at", "last_refused_at", "note",
}

func (e exported) cells() []string {
	cells := []string{
		e.ID, e.Name, e.Status, strconv.FormatBool(e.Active), e.Scheme, e.Source, e.Hint, strings.Join(e.Labels, ", "), e.Owner, e.CreatedBy,
		e.CreatedAt.Format(time.RFC3339), moment(e.ExpiresAt), moment(e.LastUsedAt), moment(e.LastRefusedAt), e.Note,
	}
	for i, cell := range cells {
		cells[i] = plainCell(cell)
	}
	return cells
}

func moment(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format(time.RFC3339)
}

// plainCell keeps a spreadsheet from taking somebody's text for a formula: it puts
// an apostrophe in front of what could begin one.
func plainCell(text string) string {
	if strings.HasPrefix(text, "\t") || strings.HasPrefix(text, "\r") || strings.HasPrefix(text, "\n") ||
		strings.IndexAny(strings.TrimSpace(text), "=+-@＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
