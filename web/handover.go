package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

func (s *Server) askToHandOver(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	return s.renderHandover(w, r, m, http.StatusOK, key, views.HandoverForm{Overlap: "24h", Nonce: rand.Text()})
}

// renderHandover asks whom a link is for, and tells of the key's other links.
func (s *Server) renderHandover(w http.ResponseWriter, r *http.Request, m account.Member, status int, key keyring.Key, form views.HandoverForm) error {
	title := "Hand over " + key.Name
	if status != http.StatusOK {
		title = "Error: " + title
	}
	frame, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	there, err := s.keys.OverlapsOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return err
	}
	links, err := s.handovers(r, m, key)
	if err != nil {
		return err
	}
	page := views.HandoverPage{
		Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Scheme: schemeInfo(key.Scheme), Form: form,
		Replaces: there.Works, Status: views.KeyStatus(key.StatusAt(frame.Now)),
	}
	if i := slices.IndexFunc(links, func(l views.HandoverFacts) bool { return l.State == views.LinkWaiting }); i >= 0 {
		page.Waiting = &links[i]
	}
	return render(w, r, status, views.HandOver(page))
}

// handOverKey makes a link and shows it, this once: in the answer to the POST, as
// credentials are. Sent again, the form makes no second link, which would
// withdraw the first.
func (s *Server) handOverKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	get := r.PostFormValue
	form := views.HandoverForm{Recipient: get("recipient"), Note: get("note"), Overlap: get("overlap"), Nonce: get("form_nonce"), Errors: map[string]string{}}
	draft := keyring.HandoverDraft{Recipient: form.Recipient, Note: form.Note, Nonce: form.Nonce}
	if form.Overlap != "" {
		draft.Overlap = handoverOverlap(form.Overlap, form.Errors)
	}
	if f, wrong := fault.Of(draft.Check()); wrong {
		for field, message := range f.Fields() {
			form.Errors[field] = message
		}
	}
	if len(form.Errors) == 0 && form.Nonce == "" {
		form.Nonce, form.Message = rand.Text(), "The form was opened long ago. Look through it and send it again."
	}
	if len(form.Errors) > 0 || form.Message != "" {
		return s.renderHandover(w, r, m, http.StatusUnprocessableEntity, key, form)
	}
	frame, err := s.page(w, r, m, "Send this link")
	if err != nil {
		return err
	}
	frame.AnswersForm = true
	made, token, err := s.keys.HandOver(r.Context(), s.actor(r, m), key.ID, draft)
	if exists, ok := errors.AsType[*keyring.HandoverExists](err); ok {
		frame.Title = "Already shown"
		return render(w, r, http.StatusOK, views.HandoverMade(views.HandoverMadePage{Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Link: handoverFacts(exists.Handover)}))
	}
	if f, known := fault.Of(err); err != nil && known && f.Kind == fault.Conflict {
		form.Message = f.Message
		return s.renderHandover(w, r, m, f.Status(), key, form)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Pragma", "no-cache")
	return render(w, r, http.StatusOK, views.HandoverMade(views.HandoverMadePage{
		Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Scheme: schemeInfo(key.Scheme), Link: handoverFacts(made),
		URL: s.config.PublicURL + handoverPath(made.ID) + "?token=" + token.Reveal(),
	}))
}

// handoverOverlap reads how long the old credentials work on once a link is used.
func handoverOverlap(choice string, wrong map[string]string) time.Duration {
	if choice == "date" { // of a link, nobody knows when it is used
		choice = ""
	}
	length, _ := overlapOf(choice, "", wrong)
	return length
}

func handoverPath(id uuid.UUID) string { return "/handover/" + id.String() }

func (s *Server) withdrawHandover(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(strings.TrimSpace(r.PostFormValue("link")))
	if err != nil {
		return fault.New(fault.NotFound, "There is no such link.")
	}
	if err := s.keys.WithdrawHandover(r.Context(), s.actor(r, m), key.ID, id); err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "The link is withdrawn: it opens nothing any more. Credentials that were made by it stay as they are."})
	return redirect(w, r, keysPath(m, key.ID.String()))
}

// handovers are a key's links as its page tells them.
func (s *Server) handovers(r *http.Request, m account.Member, key keyring.Key) (facts []views.HandoverFacts, err error) {
	links, err := s.keys.HandoversOf(r.Context(), m.Workspace.ID, key.ID)
	for _, link := range links {
		facts = append(facts, handoverFacts(link))
	}
	return facts, err
}

func handoverFacts(h keyring.Handover) views.HandoverFacts {
	facts := views.HandoverFacts{
		ID: h.ID.String(), Recipient: h.Recipient, MadeBy: h.MadeBy, MadeAt: h.CreatedAt, Until: h.ExpiresAt, Overlap: h.Overlap(),
		UsedFrom: h.UsedFrom, Saved: h.SavedAt != nil, State: views.LinkWaiting,
	}
	switch {
	case h.Used():
		facts.State, facts.UsedAt = views.LinkUsed, *h.UsedAt
	case h.Over():
		facts.State = views.LinkOver
	}
	return facts
}
