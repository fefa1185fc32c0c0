package web

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/oneline"
	"keyhook/views"
)

func (s *Server) showEditKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	return s.renderEditKey(w, r, m, http.StatusOK, "Edit "+key.Name, key, formOf(key), nil)
}

func (s *Server) renderEditKey(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, key keyring.Key, form views.KeyForm, clash *views.EditClash) error {
	page, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	owners, err := s.owners(r, m)
	if err != nil {
		return err
	}
	owners = withOwnerOf(key, owners)
	form.OnlyOwned = onlyOwned(m, key)
	return render(w, r, status, views.KeyEdit(views.KeyEditPage{
		Page: page, KeyID: key.ID.String(), KeyName: key.Name, ExpiresAt: key.ExpiresAt, Form: form, Owners: owners,
		Scheme: schemeInfo(key.Scheme), HookURL: s.config.HooksURL, Clash: clash,
	}))
}

func (s *Server) editKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	form := readKeyForm(r)
	form.Scheme, form.Expiry = key.Scheme, cmp.Or(form.Expiry, "keep") // a form without a choice changes nothing
	draft, wrong := draftOf(form, key.ExpiresAt, time.Now().UTC())
	if len(wrong) > 0 {
		form.Errors = wrong
		blame(&form, draft.CheckEdit(key))
		return s.renderEditKey(w, r, m, http.StatusUnprocessableEntity, "Error: Edit "+key.Name, key, form, nil)
	}
	draft.Seen = form.Seen
	_, err = s.keys.Edit(r.Context(), s.actor(r, m), key.ID, draft)
	if since, ok := errors.AsType[*keyring.EditedSince](err); ok {
		return s.showClash(w, r, m, form, since)
	}
	if status, ok := blame(&form, err); err != nil && ok {
		return s.renderEditKey(w, r, m, status, "Error: Edit "+key.Name, key, form, nil)
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Saved."})
	return redirect(w, r, keysPath(m, key.ID.String()))
}

// showClash shows a form again that was opened before somebody else changed its
// key: with what was typed, what is stored now, and who stored it. Sent once more,
// it is a choice.
func (s *Server) showClash(w http.ResponseWriter, r *http.Request, m account.Member, form views.KeyForm, since *keyring.EditedSince) error {
	clash := &views.EditClash{Changes: differences(since.Now, since.Wanted)}
	entries, err := s.trailOf(r, m, since.Stored.ID)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(entries, func(e views.TrailEntry) bool { return e.Action == string(audit.KeyEdited) }); i >= 0 {
		clash.Who, clash.At = entries[i].Actor, entries[i].At
	}
	form.Seen = since.Stored.Edition()
	return s.renderEditKey(w, r, m, http.StatusConflict, "Changed meanwhile: Edit "+since.Stored.Name, since.Stored, form, clash)
}

// onlyOwned tells whether the member may edit a key as long as they own it, and not
// because they made it or of their role.
func onlyOwned(m account.Member, key keyring.Key) bool {
	own := key.OwnerID != nil && *key.OwnerID == m.User.ID
	key.OwnerID = nil
	return own && !mayEdit(m, key)
}

func (s *Server) askToDeactivate(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.deactivatePage(w, r, m)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyDeactivate(page))
}

// askInDialog is the same question as a dialog over the key's page.
func (s *Server) askInDialog(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.deactivatePage(nil, r, m)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyDeactivateDialog(page))
}

// deactivatePage is the question about the key in the path.
func (s *Server) deactivatePage(w http.ResponseWriter, r *http.Request, m account.Member) (views.KeyDeactivatePage, keyring.Key, error) {
	key, err := s.keyOf(r, m)
	if err != nil {
		return views.KeyDeactivatePage{}, key, err
	}
	page, err := s.deactivationOf(w, r, m, key)
	return page, key, err
}

// deactivationOf tells who would notice if a key stopped.
func (s *Server) deactivationOf(w http.ResponseWriter, r *http.Request, m account.Member, key keyring.Key) (views.KeyDeactivatePage, error) {
	frame, err := s.page(w, r, m, "Deactivate "+key.Name)
	if err != nil {
		return views.KeyDeactivatePage{}, err
	}
	page := views.KeyDeactivatePage{Page: frame, KeyID: key.ID.String(), KeyName: key.Name, InUse: inUse(key, frame.Now), LastUsedAt: key.LastUsedAt}
	senders, err := s.events.SendersOf(r.Context(), m.Workspace.ID, key.ID, frame.Now.Add(-24*time.Hour))
	page.Requests, page.Senders = sendersOn(senders)
	return page, err
}

// deactivateKey stops a key. One that is in use asks for its name first, which is
// checked here again, whatever the page did.
func (s *Server) deactivateKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page, key, err := s.deactivatePage(w, r, m)
	if err != nil {
		return err
	}
	page.Reason = r.PostFormValue("reason")
	if page.Error = unconfirmed(r, key, page.InUse); page.Error != "" {
		return render(w, r, http.StatusUnprocessableEntity, views.KeyDeactivate(page))
	}
	changed, err := s.keys.Deactivate(r.Context(), s.actor(r, m), key.ID, page.Reason)
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		page.Errors = f.Fields()
		return render(w, r, http.StatusUnprocessableEntity, views.KeyDeactivate(page))
	}
	if err != nil {
		return err
	}
	message := views.Flash{Text: key.Name + " was inactive already."}
	if changed {
		message = views.Flash{
			Text: key.Name + " is deactivated: requests with it get 401 from now on.",
			Undo: keysPath(m, key.ID.String()) + "/reactivate", UndoLabel: "Reactivate",
		}
	}
	s.flash(w, message)
	return redirect(w, r, keysPath(m, key.ID.String()))
}

// unconfirmed says what is missing before a key that is in use may be stopped.
func unconfirmed(r *http.Request, key keyring.Key, inUse bool) string {
	switch typed := r.PostFormValue("confirm"); {
	case !key.Active || !inUse || oneline.Same(typed, key.Name):
		return ""
	case typed == "":
		return "Type the key's name to confirm."
	}
	return "That is not the key's name. Type it as it stands above."
}

func (s *Server) reactivateKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	changed, err := s.keys.Reactivate(r.Context(), s.actor(r, m), key.ID)
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: reactivated(key, changed, time.Now())})
	return redirect(w, r, keysPath(m, key.ID.String()))
}

// reactivated tells what a key is now. One that expired meanwhile works no more
// than before.
func reactivated(key keyring.Key, changed bool, now time.Time) string {
	key.Active = true
	switch {
	case key.StatusAt(now) == keyring.Expired:
		return key.Name + " is no longer deactivated, but expired on " + key.ExpiresAt.UTC().Format("2 Jan 2006") + ": requests with it still get 401."
	case key.StatusAt(now) == keyring.LeakedOut:
		return key.Name + " is no longer deactivated, but its credentials leaked and have stopped: requests get 401 until it has new ones."
	case !changed:
		return key.Name + " was active already."
	}
	return key.Name + " is active again."
}
