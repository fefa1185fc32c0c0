package web

import (
	"net/http"
	"slices"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// overlapParts are the overlaps of a key with who still uses the old credentials.
func (s *Server) overlapParts(r *http.Request, m account.Member, key keyring.Key) ([]views.OverlapPart, error) {
	there, err := s.keys.OverlapsOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return nil, err
	}
	var parts []views.OverlapPart
	for _, o := range there.Overlaps {
		use, err := s.events.UseSince(r.Context(), m.Workspace.ID, key.ID, inbox.Rotation{At: o.Since, Old: o.CountedAs, New: o.New, Before: o.Before})
		if err != nil {
			return nil, err
		}
		part := views.OverlapPart{
			OverlapFacts: views.OverlapFacts{What: string(o.What), Since: o.Since, Until: o.Until, KeyEnds: key.ExpiresAt},
			Nonce:        nonce(r), Slug: m.Workspace.Slug, KeyID: key.ID.String(), Now: time.Now().UTC(), CanEdit: mayEdit(m, key),
			Old: use.Old, New: use.New, LastOldAt: use.LastOldAt, Safe: use.Safe, Quiet: use.Quiet, CanUndo: o.Latest && use.New == 0,
		}
		_, part.Senders = sendersOn(use.Senders)
		parts = append(parts, part)
	}
	return parts, nil
}

// partOf finds the overlap that a request names.
func (s *Server) partOf(r *http.Request, m account.Member) (keyring.Key, views.OverlapPart, bool, error) {
	key, err := s.keyOf(r, m)
	if err != nil {
		return key, views.OverlapPart{}, false, err
	}
	parts, err := s.overlapParts(r, m, key)
	i := slices.IndexFunc(parts, func(p views.OverlapPart) bool { return p.What == r.FormValue("what") })
	if err != nil || i < 0 {
		return key, views.OverlapPart{}, false, err
	}
	return key, parts[i], true, nil
}

// showOverlap is the part of a key's page that tells who still uses old
// credentials. Once there is no overlap, it is empty and asks no more.
func (s *Server) showOverlap(w http.ResponseWriter, r *http.Request, m account.Member) error {
	_, part, found, err := s.partOf(r, m)
	if err != nil {
		return err
	}
	if !found {
		return render(w, r, http.StatusOK, views.OverlapOver(r.FormValue("what")))
	}
	return render(w, r, http.StatusOK, views.OverlapUse(part))
}

func (s *Server) askToEndOverlap(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, part, found, err := s.partOf(r, m)
	if err != nil {
		return err
	}
	if !found {
		return redirect(w, r, keysPath(m, key.ID.String()))
	}
	frame, err := s.page(w, r, m, "Stop the old credentials of "+key.Name)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.OverlapEnd(views.OverlapEndPage{Page: frame, KeyName: key.Name, Scheme: schemeInfo(key.Scheme), Part: part}))
}

func (s *Server) endOverlap(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.changeOverlap(w, r, m, func(key keyring.Key, what keyring.What) (string, error) {
		return "The old " + views.Parts(string(what)) + " stopped for good: requests with it get 401 from now on.", s.keys.EndOverlap(r.Context(), s.actor(r, m), key.ID, what)
	})
}

func (s *Server) undoRotation(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.changeOverlap(w, r, m, func(key keyring.Key, what keyring.What) (string, error) {
		return "The rotation is undone. The old " + views.Parts(string(what)) + " works on, the new one never will.", s.keys.UndoRotation(r.Context(), s.actor(r, m), key.ID, what)
	})
}

// moveOverlapEnd gives the old credentials another end. What is wrong with it stands
// at its field.
func (s *Server) moveOverlapEnd(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.changeOverlap(w, r, m, func(key keyring.Key, what keyring.What) (string, error) {
		wrong := map[string]string{}
		length, until := overlapOf(r.PostFormValue("overlap"), r.PostFormValue("until"), wrong)
		if text := wrong["overlap"]; text != "" {
			return "", fault.On("overlap", fault.Invalid, text)
		}
		if until == nil {
			at := time.Now().UTC().Add(length)
			until = &at
		}
		return "The old " + views.Parts(string(what)) + " works until " + views.Until(r.Context(), *until, key.ExpiresAt) + ".", s.keys.MoveOverlapEnd(r.Context(), s.actor(r, m), key.ID, what, *until)
	})
}

// changeOverlap does something to an overlap and tells of it on the key's page.
// What can't be done is told there too, for the page is what has changed.
func (s *Server) changeOverlap(w http.ResponseWriter, r *http.Request, m account.Member, change func(keyring.Key, keyring.What) (string, error)) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	what := r.PostFormValue("what")
	text, err := change(key, keyring.What(what))
	f, known := fault.Of(err)
	switch {
	case err == nil:
		s.flash(w, views.Flash{Text: text})
		return redirect(w, r, keysPath(m, key.ID.String()))
	case known && f.Kind == fault.Invalid:
		return s.renderKey(w, r, m, f.Status(), key, map[string]string{"end-" + what: f.Message})
	case known && f.Kind == fault.Conflict:
		return s.renderKey(w, r, m, f.Status(), key, map[string]string{"overlap": f.Message})
	}
	return err
}
