package web

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
	"keyhook/views"
)

func (s *Server) showNewKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	form := views.KeyForm{Scheme: signature.Generic, Owner: m.User.ID.String(), Expiry: "1y", RatePer: "minute", IdenticalBodies: "store", Log: "full", Nonce: rand.Text()}
	return s.renderNewKey(w, r, m, http.StatusOK, "Create key", form)
}

func (s *Server) renderNewKey(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, form views.KeyForm) error {
	page, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	owners, err := s.owners(r, m)
	if err != nil {
		return err
	}
	return render(w, r, status, views.KeyNew(views.KeyNewPage{
		Page: page, Form: form, Owners: owners, Schemes: schemeInfos(), HookURL: s.config.HooksURL,
	}))
}

// issueKey makes a key and shows its credentials, this once: in the answer to the
// POST, so that no address serves a secret. Sent again, the form makes no second key.
func (s *Server) issueKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := readKeyForm(r)
	form.Scheme = cmp.Or(form.Scheme, signature.Generic)
	draft, wrong := draftOf(form, nil, time.Now().UTC())
	secret := strings.TrimSpace(r.PostFormValue("secret"))
	if f, bad := fault.Of(keyring.CheckSecret(draft.Scheme, secret)); secret != "" && bad {
		wrong["secret"] = f.Message + " Paste it again."
	}
	byLink := form.Give == "link"
	if byLink && secret != "" {
		wrong["secret"] = "A secret is given, and the recipient is to make or paste it. Leave it out, or don’t send a link."
	}
	if len(wrong) > 0 {
		return s.refuseForm(w, r, m, form, wrong, draft)
	}
	if form.Nonce == "" {
		form.Nonce, form.Message = rand.Text(), "The form was opened long ago. Look through it and send it again."
		return s.renderNewKey(w, r, m, http.StatusUnprocessableEntity, "Error: Create key", form)
	}
	frame, err := s.page(w, r, m, "Save your credentials")
	if err != nil {
		return err
	}
	issued, err := s.issue(r, m, draft, secret, form.Nonce, byLink)
	if already, ok := errors.AsType[*keyring.AlreadyIssued](err); ok {
		return s.showAlready(w, r, m, already)
	}
	if status, ok := blame(&form, err); err != nil && ok {
		return s.renderNewKey(w, r, m, status, "Error: Create key", form)
	}
	if err != nil {
		return err
	}
	if byLink {
		return redirect(w, r, keysPath(m, issued.Key.ID.String(), "handover"))
	}
	if !issued.Shows() {
		return s.tellIssued(w, r, m, issued)
	}
	return s.showIssued(w, r, m, frame, issued)
}

func (s *Server) issue(r *http.Request, m account.Member, draft keyring.Draft, secret, nonce string, byLink bool) (keyring.Issued, error) {
	if byLink {
		return s.keys.IssueWithout(r.Context(), s.actor(r, m), draft, nonce)
	}
	if secret == "" {
		return s.keys.Issue(r.Context(), s.actor(r, m), draft, nonce)
	}
	return s.keys.IssueWith(r.Context(), s.actor(r, m), draft, secret, nonce)
}

// tellIssued goes to the page of a key with nothing to show: what was pasted is
// not shown again, and what is missing is asked for there.
func (s *Server) tellIssued(w http.ResponseWriter, r *http.Request, m account.Member, issued keyring.Issued) error {
	sender := schemeInfo(issued.Key.Scheme).Title
	text := issued.Key.Name + " is ready. Give its address to " + sender + "."
	if issued.Key.LacksSecret() {
		text = issued.Key.Name + " is made. Give its address to " + sender + ", and paste the secret that you find there."
	}
	s.flash(w, views.Flash{Text: text + warnings(issued.Key, issued.Warnings)})
	return redirect(w, r, keysPath(m, issued.Key.ID.String()))
}

// refuseForm tells of the fields that can't be read together with those that can
// be but are wrong, so that people correct a form once.
func (s *Server) refuseForm(w http.ResponseWriter, r *http.Request, m account.Member, form views.KeyForm, wrong map[string]string, draft keyring.Draft) error {
	form.Errors = wrong
	blame(&form, draft.Check())
	return s.renderNewKey(w, r, m, http.StatusUnprocessableEntity, "Error: Create key", form)
}

// showIssued asks the database for nothing: the key is made by then, and nobody
// could be shown its credentials again.
func (s *Server) showIssued(w http.ResponseWriter, r *http.Request, m account.Member, frame views.Page, issued keyring.Issued) error {
	frame.KeyCount++ // the frame is older than the key
	frame.AnswersForm = true
	w.Header().Set("Pragma", "no-cache")
	id, secret := issued.Key.ID.String(), issued.Secret.Reveal()
	if issued.Pasted {
		secret = ""
	}
	return render(w, r, http.StatusOK, views.KeyCreated(views.KeyCreatedPage{
		Page: frame, KeyID: id, Name: issued.Key.Name, Hint: issued.Key.Hint, HookURL: s.hookURL(issued.Key),
		SignalsURL: s.config.HooksURL + "/api/webhooks/signals", WorkspaceID: m.Workspace.ID.String(),
		APIKey: issued.APIKey.Reveal(), Secret: secret, Scheme: schemeInfo(issued.Key.Scheme), Pasted: issued.Pasted,
		Warnings: explained(issued.Key, issued.Warnings), RequireSignature: issued.Key.RequireSignature,
		AllowInURL: issued.Key.AllowInURL, ExpiresAt: issued.Key.ExpiresAt,
		First: views.FirstRequestPart{Nonce: nonce(r), Slug: m.Workspace.Slug, KeyID: id, State: "waiting"},
	}))
}

func (s *Server) showAlready(w http.ResponseWriter, r *http.Request, m account.Member, already *keyring.AlreadyIssued) error {
	if info := schemeInfo(already.Key.Scheme); !info.HasAPIKey && !info.MakesSecret {
		return redirect(w, r, keysPath(m, already.Key.ID.String())) // nothing was shown
	}
	if already.Key.Bare() {
		return redirect(w, r, keysPath(m, already.Key.ID.String(), "handover")) // nor here, yet
	}
	page, err := s.page(w, r, m, "Already shown")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyAlreadyShown(views.KeyAlreadyShownPage{
		Page: page, KeyID: already.Key.ID.String(), Name: already.Key.Name, Hint: already.Key.Hint,
		CreatedAt: already.Key.CreatedAt, Rotated: string(already.Rotated), ShownTo: already.ShownTo, ShownAt: already.At,
	}))
}

func (s *Server) hookURL(key keyring.Key) string {
	return s.config.HooksURL + "/hooks/" + key.ID.String()
}

// showFirst is the line that waits for a new key's first request.
func (s *Server) showFirst(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	part := views.FirstRequestPart{Nonce: nonce(r), Slug: m.Workspace.Slug, KeyID: key.ID.String(), State: "waiting"}
	first, found, err := s.events.FirstOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return err
	}
	if found {
		part.At, part.State = first.ReceivedAt, "accepted"
		if first.Outcome == inbox.Refused {
			part.State, part.Reason = "refused", explain(string(first.Reason), first.Reason.Explain(), first.Scheme)
		}
	}
	return render(w, r, http.StatusOK, views.FirstRequest(part))
}

// confirmSaved records that the credentials are in a safe place. Browsers don't
// send the form before its box is ticked.
func (s *Server) confirmSaved(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	if r.PostFormValue("saved") != "true" {
		return fault.New(fault.Invalid, "Nothing is confirmed: the box that says so was not ticked.")
	}
	if err := s.keys.ConfirmSaved(r.Context(), s.actor(r, m), key.ID); err != nil {
		return err
	}
	return redirect(w, r, keysPath(m, key.ID.String()))
}
