package web

import (
	"net/http"
	"net/url"
	"strconv"

	"keyhook/internal/account"
	"keyhook/internal/evidence"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// askForAnswer asks about one key of a review. Without a key it is the review.
func (s *Server) askForAnswer(w http.ResponseWriter, r *http.Request, m account.Member) error {
	review, err := s.reviewOf(r, m)
	if err != nil {
		return err
	}
	if r.URL.Query().Get("key") == "" {
		return redirect(w, r, reviewsPath(m, review.ID.String()))
	}
	page, _, err := s.answerPage(w, r, m, review, r.URL.Query())
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.ReviewAnswerForm(page))
}

func (s *Server) answerPage(w http.ResponseWriter, r *http.Request, m account.Member, review evidence.Review, values url.Values) (page views.ReviewAnswerPage, key keyring.Key, err error) {
	line, err := s.evidence.Line(r.Context(), m.Workspace.ID, review.ID, idOf(values.Get("key")))
	if err != nil {
		return page, key, err
	}
	if !mayAnswer(m, line) {
		return page, key, fault.New(fault.Forbidden, "You answer only for keys that you own.")
	}
	if key, err = s.keys.Find(r.Context(), m.Workspace.ID, line.KeyID); err != nil {
		return page, key, err
	}
	page = views.ReviewAnswerPage{Review: reviewRow(review), Line: reviewLine(m, line), Note: line.Note}
	page.Show, page.After = linesIn(values, review)
	page.KeyDeactivatePage, err = s.deactivationOf(w, r, m, key)
	page.Page.Title = "Answer for " + key.Name
	return page, key, err
}

// answerReview keeps what was answered, and stops a key at once if that is the
// answer. One that is in use asks for its name, which is checked here again.
func (s *Server) answerReview(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	review, err := s.reviewOf(r, m)
	if err != nil {
		return err
	}
	form := r.PostForm
	answer := evidence.Answer{Answer: form.Get("answer"), Note: form.Get("note")}
	for _, text := range form["key"] {
		answer.Keys = append(answer.Keys, idOf(text))
	}
	if answer.Answer == evidence.Deactivate {
		if len(answer.Keys) != 1 {
			return fault.New(fault.Invalid, "Deactivate one key at a time.")
		}
		page, key, err := s.answerPage(w, r, m, review, form)
		if err != nil {
			return err
		}
		if page.Error = unconfirmed(r, key, page.InUse); page.Error != "" {
			page.Note = answer.Note
			return render(w, r, http.StatusUnprocessableEntity, views.ReviewAnswerForm(page))
		}
	}
	done, err := s.evidence.Answer(r.Context(), s.actor(r, m), review.ID, answer)
	if f, ok := fault.Of(err); err != nil && ok && f.Field == "note" {
		return s.askAgain(w, r, m, review, f)
	}
	if err != nil {
		return err
	}
	s.flash(w, answerFlash(m, answer, done))
	show, after := linesIn(form, review)
	return redirect(w, r, reviewsPath(m, review.ID.String())+"?"+url.Values{"show": {show}, "after": {strconv.Itoa(after)}}.Encode())
}

// askAgain shows the form with what is wrong with its note.
func (s *Server) askAgain(w http.ResponseWriter, r *http.Request, m account.Member, review evidence.Review, f *fault.Error) error {
	page, _, err := s.answerPage(w, r, m, review, r.PostForm)
	if err != nil {
		return err
	}
	page.Note, page.Errors = r.PostForm.Get("note"), map[string]string{"note": f.Message}
	return render(w, r, f.Status(), views.ReviewAnswerForm(page))
}

func answerFlash(m account.Member, answer evidence.Answer, done evidence.Outcome) views.Flash {
	left := ""
	if done.LeftOut > 0 {
		left = " " + strconv.Itoa(done.LeftOut) + " that you don’t own were left out."
	}
	switch {
	case answer.Answer == evidence.Deactivate && done.Deactivated > 0:
		return views.Flash{
			Text: "Answered: the key is deactivated, and requests with it get 401 from now on.",
			Undo: keysPath(m, answer.Keys[0].String()) + "/reactivate", UndoLabel: "Reactivate",
		}
	case answer.Answer == evidence.Deactivate:
		return views.Flash{Text: "Answered: deactivate. The key was inactive already."}
	case done.Answered == 1:
		return views.Flash{Text: "Answered: keep." + left}
	}
	return views.Flash{Text: "Answered: keep, for " + strconv.Itoa(done.Answered) + " keys." + left}
}
