package web

import (
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// importPage is how many rows of a preview a page shows.
const importPage = 100

// showImportPreview says what would become of each row, a page at a time.
func (s *Server) showImportPreview(w http.ResponseWriter, r *http.Request, m account.Member, name string, status int, message string) error {
	id, err := uuid.Parse(name)
	if err != nil {
		return s.importGone(w, r, m)
	}
	draft, err := s.keys.PreviewImport(r.Context(), s.actor(r, m), id)
	if f, wrong := fault.Of(err); err != nil && wrong && f.Kind == fault.NotFound {
		return s.importGone(w, r, m)
	}
	if err != nil {
		return err
	}
	if draft.Used {
		return s.tellImported(w, r, m, draft)
	}
	frame, err := s.page(w, r, m, "Preview of an import")
	if err != nil {
		return err
	}
	page := views.ImportPreviewPage{
		Page: frame, DraftID: draft.ID.String(), Seen: draft.Seen, Until: draft.ExpiresAt, Ignored: draft.Plan.Ignored, Notes: draft.Plan.Remarks,
		New: draft.Plan.Count(keyring.Makes), Unchanged: draft.Plan.Count(keyring.IsHere), Wrong: draft.Plan.Count(keyring.Wrong),
		PerPage: importPage, Message: message, Show: known(r.URL.Query().Get("show"), []string{"wrong", "remarked", "unchanged"}),
	}
	fillImport(&page, draft.Plan.Keys, r.URL.Query().Get("from"))
	return render(w, r, status, views.ImportPreview(page))
}

// fillImport gives the page its rows: those of the kind that is shown, from one on.
func fillImport(page *views.ImportPreviewPage, keys []keyring.PlannedKey, from string) {
	if n, err := strconv.Atoi(from); err == nil && n > 0 {
		page.From = n / importPage * importPage
	}
	for _, key := range keys {
		row := importRow(key)
		remarked := row.Fate == string(keyring.Makes) && len(row.Remarks) > 0
		if remarked {
			page.Remarked++
		}
		if page.Show != "" && page.Show != row.Fate && !(page.Show == "remarked" && remarked) {
			continue
		}
		if page.Matching >= page.From && page.Matching < page.From+importPage {
			page.Rows = append(page.Rows, row)
		}
		page.Matching++
	}
}

func importRow(key keyring.PlannedKey) views.ImportRow {
	d := key.Draft
	row := views.ImportRow{
		Line: key.Line, Fate: string(key.Fate), Name: d.Name, HereAs: key.HereAs, Hint: key.Hint, Secret: key.HasSecret(), Inactive: !key.Active,
		Scheme: d.Scheme, Source: d.Source, Owner: key.OwnerName, CreatedAt: key.CreatedAt, LastUsedAt: key.LastUsedAt, ExpiresAt: d.ExpiresAt,
	}
	for _, f := range key.Faults {
		row.Faults = append(row.Faults, views.ImportRemark{Head: f.Column, Text: f.Text})
	}
	if key.Fate == keyring.Makes {
		for _, m := range key.Remarks {
			row.Remarks = append(row.Remarks, views.ImportRemark{Head: m.Code, Text: m.Text})
		}
	}
	return row
}
