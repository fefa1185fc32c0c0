package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/oneline"
	"keyhook/views"
)

// formTime is how browsers write a moment that was chosen. All are UTC.
const formTime = "2006-01-02T15:04:05"

// typedMoment reads what a browser or a person wrote; the zero time is none.
func typedMoment(text string) time.Time {
	text = strings.Replace(strings.TrimSpace(text), " ", "T", 1)
	for _, layout := range []string{formTime, "2006-01-02T15:04", time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 1970 && at.Year() < 3000 {
			return at.UTC()
		}
	}
	return time.Time{}
}

// readMark reads a mark from an address or a form.
func readMark(value func(string) string, key keyring.Key) inbox.Mark {
	mark := inbox.Mark{
		KeyID: key.ID, Address: strings.TrimSpace(value("address")), From: typedMoment(value("from")), Until: typedMoment(value("until")), Reason: oneline.Fold(value("reason")),
	}
	if text := strings.TrimSpace(value("generation")); text != "" {
		generation, _ := strconv.Atoi(text) // 0 is refused
		mark.Generation = &generation
	}
	if now := time.Now().UTC(); mark.Until.After(now) && mark.Until.Sub(now) <= time.Minute { // a form has whole seconds, some have whole minutes
		mark.Until = now
	}
	return mark
}

// showSuspect is a form for a mark, what it would cover once its range is known,
// and the marks of the key.
func (s *Server) showSuspect(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	value := r.URL.Query().Get
	mark := readMark(value, key)
	if value("from") == "" && value("until") == "" {
		return s.renderSuspect(w, r, m, http.StatusOK, key, mark, value, nil)
	}
	err = mark.CheckRange(time.Now())
	if f, ok := fault.Of(err); err != nil && ok {
		return s.renderSuspect(w, r, m, f.Status(), key, mark, value, f)
	}
	return s.renderSuspect(w, r, m, http.StatusOK, key, mark, value, nil)
}

func (s *Server) renderSuspect(w http.ResponseWriter, r *http.Request, m account.Member, status int, key keyring.Key, mark inbox.Mark, value func(string) string, f *fault.Error) error {
	title := "Suspect signals of " + key.Name
	if f != nil {
		title = "Error: " + title
	}
	frame, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	page := views.SuspectPage{
		Page: frame, KeyID: key.ID.String(), KeyName: key.Name, SeesPayloads: m.Can(account.ViewPayloads), Most: inbox.MaxPreviewed - 1,
		From: value("from"), Until: value("until"), Address: value("address"), Generation: value("generation"), Reason: value("reason"),
	}
	if f != nil {
		page.Errors = f.Fields()
	}
	if mark.CheckRange(time.Now()) == nil {
		preview, err := s.events.PreviewMark(r.Context(), m.Workspace.ID, mark, page.SeesPayloads)
		if err != nil {
			return err
		}
		page.Previewed, page.Covered = true, preview.Signals
		for _, signal := range preview.Newest {
			page.Rows = append(page.Rows, signalRow(signal, map[uuid.UUID]string{key.ID: key.Name}))
		}
	}
	marks, err := s.events.MarksOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return err
	}
	for _, mark := range marks {
		page.Marks = append(page.Marks, markRow(mark))
	}
	return render(w, r, status, views.Suspect(page))
}

func markRow(mark inbox.Mark) views.MarkRow {
	row := views.MarkRow{
		ID: mark.ID.String(), Address: mark.Address, From: mark.From, Until: mark.Until, Reason: mark.Reason,
		MarkedAt: mark.MarkedAt, MarkedBy: mark.MarkedBy, EndedAt: mark.EndedAt, EndedBy: mark.EndedBy,
	}
	if mark.Generation != nil {
		row.Generation = *mark.Generation
	}
	return row
}

func (s *Server) markSuspect(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	mark := readMark(r.PostFormValue, key)
	_, err = s.events.MarkSuspect(r.Context(), s.actor(r, m), mark)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Invalid {
		return s.renderSuspect(w, r, m, f.Status(), key, mark, r.PostFormValue, f)
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Marked. Readers see it from now on, and learn of it where they have read these signals already."})
	return redirect(w, r, keysPath(m, key.ID.String(), "suspect"))
}

func (s *Server) endSuspect(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(r.PostFormValue("mark"))
	if err != nil {
		return fault.New(fault.NotFound, "There is no such mark.")
	}
	changed, err := s.events.Unmark(r.Context(), s.actor(r, m), key.ID, id)
	if err != nil {
		return err
	}
	text := "The mark is taken back."
	if !changed {
		text = "That mark was taken back already."
	}
	s.flash(w, views.Flash{Text: text})
	return redirect(w, r, keysPath(m, key.ID.String(), "suspect"))
}
