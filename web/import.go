package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// showImport asks for keys that were made elsewhere or, where the address names a
// draft, shows what would become of them.
func (s *Server) showImport(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if name := r.URL.Query().Get("draft"); name != "" {
		return s.showImportPreview(w, r, m, name, http.StatusOK, "")
	}
	return s.renderImport(w, r, m, http.StatusOK, views.ImportForm{})
}

func (s *Server) renderImport(w http.ResponseWriter, r *http.Request, m account.Member, status int, form views.ImportForm) error {
	title := "Import keys"
	if status != http.StatusOK {
		title = "Error: " + title
	}
	page, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	return render(w, r, status, views.Import(views.ImportPage{Page: page, Form: form}))
}

// importKeys takes a table or one key for a preview, or does what a preview said.
func (s *Server) importKeys(w http.ResponseWriter, r *http.Request, m account.Member) error {
	sent, err := readUpload(w, r)
	if f, wrong := fault.Of(err); err != nil && wrong {
		return s.renderImport(w, r, m, f.Status(), views.ImportForm{Errors: map[string]string{"file": f.Message}})
	}
	if err != nil {
		return badForm(err)
	}
	switch sent.get("do") {
	case "import":
		return s.runImport(w, r, m, sent)
	case "one":
		return s.keepOne(w, r, m, sent)
	}
	return s.keepTable(w, r, m, sent)
}

// keepTable keeps a table for its preview.
func (s *Server) keepTable(w http.ResponseWriter, r *http.Request, m account.Member, sent upload) error {
	refuse := func(f *fault.Error) error {
		return s.renderImport(w, r, m, f.Status(), views.ImportForm{Errors: map[string]string{"file": f.Message}})
	}
	data := sent["file"]
	switch text := sent["text"]; {
	case len(data) > 0 && len(text) > 0:
		return refuse(fault.New(fault.Invalid, "Choose a file or paste a table, not both."))
	case len(data) == 0:
		data = text
	}
	if len(data) == 0 {
		return refuse(fault.New(fault.Invalid, "Choose a file, or paste a table."))
	}
	file, err := keyring.ReadImport(data, time.Now().UTC())
	if f, wrong := fault.Of(err); err != nil && wrong {
		return refuse(f)
	}
	if err != nil {
		return err
	}
	return s.keepImport(w, r, m, file)
}

// keepOne keeps one key for its preview, or says by field what is wrong with it.
func (s *Server) keepOne(w http.ResponseWriter, r *http.Request, m account.Member, sent upload) error {
	form := views.ImportForm{One: true, Name: sent.get("name"), Source: sent.get("source"), Errors: map[string]string{}}
	fields := []string{"name", "api_key", "sha256", "secret", "source"}
	file := keyring.ReadImportOne(func(column string) string {
		if !slices.Contains(fields, column) {
			return ""
		}
		return sent.get(column)
	}, time.Now().UTC())
	plan, err := s.keys.PlanImport(r.Context(), s.actor(r, m), file)
	if err != nil {
		return err
	}
	for _, f := range plan.Keys[0].Faults {
		form.Errors[f.Column] = f.Text
	}
	if slices.ContainsFunc(plan.Keys[0].Remarks, func(r keyring.Remark) bool { return r.Code == "renamed" }) {
		form.Errors["name"] = "Another key has that name. Add what makes this one different."
	}
	if len(form.Errors) > 0 {
		if keyring.HintIn(form.Name+" "+form.Source) != "" {
			form.Name, form.Source = "", "" // a credential in the wrong field is not shown
		}
		return s.renderImport(w, r, m, http.StatusUnprocessableEntity, form)
	}
	return s.keepImport(w, r, m, file)
}

func (s *Server) keepImport(w http.ResponseWriter, r *http.Request, m account.Member, file keyring.ImportFile) error {
	id, err := s.keys.KeepImport(r.Context(), s.actor(r, m), file)
	if err != nil {
		return err
	}
	return redirect(w, r, keysPath(m, "import")+"?draft="+id.String())
}

// runImport does what was seen. What changed since is shown instead, and a second
// press is told what the first one did.
func (s *Server) runImport(w http.ResponseWriter, r *http.Request, m account.Member, sent upload) error {
	id, err := uuid.Parse(sent.get("draft"))
	if err != nil {
		return s.importGone(w, r, m)
	}
	done, _, err := s.keys.RunImport(r.Context(), s.actor(r, m), id, sent.get("seen"))
	f, wrong := fault.Of(err)
	switch {
	case err != nil && wrong && f.Kind == fault.NotFound:
		return s.importGone(w, r, m)
	case err != nil && wrong && (f.Kind == fault.Conflict || f.Kind == fault.Invalid):
		return s.showImportPreview(w, r, m, id.String(), f.Status(), f.Message)
	case err != nil:
		return err
	}
	return s.tellImported(w, r, m, done)
}

func (s *Server) tellImported(w http.ResponseWriter, r *http.Request, m account.Member, done keyring.ImportDraft) error {
	text := counted(done.Imported, "key is", "keys are") + " imported. Senders go on as before."
	if done.Unchanged > 0 {
		text += " " + counted(done.Unchanged, "was", "were") + " here already."
	}
	s.flash(w, views.Flash{Text: text})
	return redirect(w, r, keysPath(m))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// importGone starts again where a preview is over.
func (s *Server) importGone(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderImport(w, r, m, http.StatusNotFound, views.ImportForm{Message: "This preview is over: it is kept for 15 minutes, and only the latest. Choose the file again."})
}
