package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

func (s *Server) askToRotate(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.rotatePage(w, r, m, newRotateForm())
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyRotate(page))
}

// askToRotateInDialog is the same question as a dialog over the key's page.
func (s *Server) askToRotateInDialog(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.rotatePage(nil, r, m, newRotateForm())
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyRotateDialog(page))
}

func newRotateForm() views.RotateForm { return views.RotateForm{Overlap: "24h", Nonce: rand.Text()} }

// rotatePage tells what there is to rotate, and who would notice.
func (s *Server) rotatePage(w http.ResponseWriter, r *http.Request, m account.Member, form views.RotateForm) (page views.KeyRotatePage, key keyring.Key, err error) {
	if key, err = s.keyOf(r, m); err != nil {
		return page, key, err
	}
	frame, err := s.page(w, r, m, "Rotate "+key.Name)
	if err != nil {
		return page, key, err
	}
	there, err := s.keys.OverlapsOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return page, key, err
	}
	form.Seen = there.Seen
	page = views.KeyRotatePage{
		Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Scheme: schemeInfo(key.Scheme), Form: form,
		HasAPIKey: key.Hint != "" && !key.Leaked(), HasSecret: !key.LacksSecret() && !key.Leaked(), Leaked: key.Leaked(), ExpiresAt: key.ExpiresAt, Works: key.Active && key.StatusAt(frame.Now) != keyring.Expired,
	}
	if page.Form.What == "" {
		page.Form.What = page.All()
	}
	for _, o := range there.Overlaps {
		page.Overlaps = append(page.Overlaps, views.OverlapFacts{What: string(o.What), Since: o.Since, Until: o.Until, KeyEnds: key.ExpiresAt})
	}
	senders, err := s.events.SendersOf(r.Context(), m.Workspace.ID, key.ID, frame.Now.Add(-24*time.Hour))
	page.Requests, page.Senders = sendersOn(senders)
	return page, key, err
}

// rotateKey makes new credentials and shows them, this once, as issueKey does.
func (s *Server) rotateKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	get := r.PostFormValue
	form := views.RotateForm{What: get("what"), Overlap: get("overlap"), OverlapUntil: get("overlap_until"), Nonce: get("form_nonce"), Reason: get("reason"), Errors: map[string]string{}}
	rotation := keyring.Rotation{What: keyring.What(form.What), Secret: strings.TrimSpace(get("secret")), Nonce: form.Nonce, Reason: form.Reason}
	rotation.Overlap, rotation.Until = overlapOf(form.Overlap, form.OverlapUntil, form.Errors)
	rotation.Seen, _ = strconv.Atoi(get("seen")) // 0 is refused below
	page, key, err := s.rotatePage(w, r, m, form)
	if err != nil {
		return err
	}
	if len(form.Errors) == 0 && (form.Nonce == "" || rotation.Seen < 1) {
		page.Form.Message = "The form was opened long ago. Look through it and send it again."
	}
	if len(form.Errors) > 0 || page.Form.Message != "" {
		return s.refuseRotation(w, r, page, http.StatusUnprocessableEntity)
	}
	if rotation.What != keyring.SecretOnly && rotation.What != keyring.Both {
		rotation.Secret = "" // the field is not shown then
	}
	done, err := s.keys.Rotate(r.Context(), s.actor(r, m), key.ID, rotation)
	if already, ok := errors.AsType[*keyring.AlreadyIssued](err); ok {
		return s.showAlready(w, r, m, already)
	}
	if f, known := fault.Of(err); err != nil && known && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
		page.Form.Errors = f.Fields()
		if f.Field == "" {
			page.Form.Message = f.Message
		}
		return s.refuseRotation(w, r, page, f.Status())
	}
	if err != nil {
		return err
	}
	if !done.Shows() {
		return s.tellRotated(w, r, m, done)
	}
	return s.showRotated(w, r, page.Page, done)
}

// refuseRotation shows the form again. Its nonce is fresh where it was missing; one
// that was not used up stays.
func (s *Server) refuseRotation(w http.ResponseWriter, r *http.Request, page views.KeyRotatePage, status int) error {
	if page.Form.Nonce == "" {
		page.Form.Nonce = rand.Text()
	}
	page.Title = "Error: " + page.Title
	return render(w, r, status, views.KeyRotate(page))
}

// overlapOf reads how long old credentials go on working.
func overlapOf(choice, day string, wrong map[string]string) (time.Duration, *time.Time) {
	lengths := map[string]time.Duration{"now": 0, "1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}
	if length, ok := lengths[choice]; ok {
		return length, nil
	}
	if choice != "date" {
		wrong["overlap"] = "Choose how long the old credentials go on working."
		return 0, nil
	}
	at, err := time.Parse(time.DateOnly, strings.TrimSpace(day))
	if err != nil {
		wrong["overlap"] = "Write a date such as 2027-01-31."
		return 0, nil
	}
	end := endOfDay(at)
	return 0, &end
}

// tellRotated goes to the page of a key with nothing to show.
func (s *Server) tellRotated(w http.ResponseWriter, r *http.Request, m account.Member, done keyring.Rotated) error {
	text := "The new secret is stored. The old one has stopped."
	if done.Until != nil {
		text = "The new secret is stored. The old one works until " + views.Until(r.Context(), *done.Until, done.Key.ExpiresAt) + "."
	}
	s.flash(w, views.Flash{Text: text + warnings(done.Key, done.Warnings)})
	return redirect(w, r, keysPath(m, done.Key.ID.String()))
}

// showRotated asks the database for nothing, as showIssued does.
func (s *Server) showRotated(w http.ResponseWriter, r *http.Request, frame views.Page, done keyring.Rotated) error {
	frame.AnswersForm, frame.Title = true, "Save your new credentials"
	w.Header().Set("Pragma", "no-cache")
	secret := done.Secret.Reveal()
	if done.Pasted {
		secret = ""
	}
	return render(w, r, http.StatusOK, views.KeyRotated(views.KeyRotatedPage{
		KeyCreatedPage: views.KeyCreatedPage{
			Page: frame, KeyID: done.Key.ID.String(), Name: done.Key.Name, Hint: done.Key.Hint, HookURL: s.hookURL(done.Key),
			SignalsURL: s.config.HooksURL + "/api/webhooks/signals", APIKey: done.APIKey.Reveal(), Secret: secret,
			Scheme: schemeInfo(done.Key.Scheme), Pasted: done.Pasted, Warnings: explained(done.Key, done.Warnings),
			AllowInURL: done.Key.AllowInURL && done.APIKey.Reveal() != "", ExpiresAt: done.Key.ExpiresAt,
		},
		What: string(done.What), Until: done.Until, Renewed: done.Renewed,
	}))
}
