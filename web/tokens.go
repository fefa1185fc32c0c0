package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/oneline"
	"keyhook/views"
)

func (s *Server) showTokens(w http.ResponseWriter, r *http.Request, m account.Member) error {
	frame, err := s.page(w, r, m, "Tokens")
	if err != nil {
		return err
	}
	page := views.TokensPage{Page: frame}
	tokens, err := s.keys.Tokens(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	readers, err := s.readersOf(r, m, tokens)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		page.Rows = append(page.Rows, tokenRow(token, readers, frame.Now))
	}
	return render(w, r, http.StatusOK, views.Tokens(page))
}

func tokenRow(token keyring.Token, readers []views.ReaderRow, now time.Time) views.TokenRow {
	row := views.TokenRow{
		ID: token.ID.String(), Name: token.Name, Hint: token.Hint, Can: token.Scopes, Status: views.KeyStatus(token.StatusAt(now)),
		CreatedBy: token.CreatedByName, CreatedAt: token.CreatedAt, LastUsedAt: token.LastUsedAt, ExpiresAt: token.ExpiresAt,
	}
	for i := range readers {
		if readers[i].TokenID == row.ID {
			row.Reader = &readers[i]
		}
	}
	return row
}

func (s *Server) showNewToken(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderNewToken(w, r, m, http.StatusOK, "Create token", views.TokenForm{Expiry: "1y", Nonce: rand.Text()})
}

func (s *Server) renderNewToken(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, form views.TokenForm) error {
	page, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	return render(w, r, status, views.TokenNew(views.TokenNewPage{Page: page, Form: form}))
}

// issueToken makes a token and shows it, this once: in the answer to the POST, as
// issueKey does.
func (s *Server) issueToken(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := views.TokenForm{
		Name: r.PostFormValue("name"), Expiry: r.PostFormValue("expires"), ExpiresOn: r.PostFormValue("expires_on"), Nonce: r.PostFormValue("form_nonce"),
		Errors: map[string]string{},
	}
	draft := keyring.TokenDraft{Name: form.Name}
	draft.ExpiresAt = expiry(views.KeyForm{Expiry: form.Expiry, ExpiresOn: form.ExpiresOn}, nil, time.Now().UTC(), form.Errors)
	for _, scope := range r.PostForm["scopes"] {
		draft.Scopes = append(draft.Scopes, keyring.Scope(scope))
	}
	if len(form.Errors) > 0 || form.Nonce == "" {
		blameToken(&form, draft.Check())
		if form.Nonce == "" {
			form.Nonce, form.Message = rand.Text(), "The form was opened long ago. Look through it and send it again."
		}
		return s.renderNewToken(w, r, m, http.StatusUnprocessableEntity, "Error: Create token", form)
	}
	frame, err := s.page(w, r, m, "Save your token")
	if err != nil {
		return err
	}
	issued, err := s.keys.IssueToken(r.Context(), s.actor(r, m), draft, form.Nonce)
	if already, ok := errors.AsType[*keyring.TokenAlreadyIssued](err); ok {
		frame.Title = "Already shown"
		return render(w, r, http.StatusOK, views.TokenAlreadyShown(views.TokenAlreadyShownPage{
			Page: frame, TokenID: already.Token.ID.String(), Name: already.Token.Name, Hint: already.Token.Hint, ShownTo: already.ShownTo, ShownAt: already.At,
		}))
	}
	if blameToken(&form, err) {
		return s.renderNewToken(w, r, m, http.StatusUnprocessableEntity, "Error: Create token", form)
	}
	if err != nil {
		return err
	}
	frame.AnswersForm = true
	w.Header().Set("Pragma", "no-cache")
	return render(w, r, http.StatusOK, views.TokenCreated(views.TokenCreatedPage{
		Page: frame, TokenID: issued.Token.ID.String(), Name: issued.Token.Name, Text: issued.Text.Reveal(), BaseURL: s.config.PublicURL,
		ExpiresAt: issued.Token.ExpiresAt,
	}))
}

// blameToken adds what a fault says to a form. It reports whether the fault is
// about the form at all.
func blameToken(form *views.TokenForm, err error) bool {
	f, known := fault.Of(err)
	if err == nil || !known || f.Kind != fault.Invalid && f.Kind != fault.Conflict {
		return false
	}
	for field, message := range f.Fields() {
		form.Errors[field] = message
	}
	if f.Field == "" {
		form.Message = f.Message
	}
	return true
}

// confirmTokenSaved records that the token is in a safe place.
func (s *Server) confirmTokenSaved(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	token, err := s.tokenOf(r, m)
	if err != nil {
		return err
	}
	if r.PostFormValue("saved") != "true" {
		return fault.New(fault.Invalid, "Nothing is confirmed: the box that says so was not ticked.")
	}
	if err := s.keys.ConfirmTokenSaved(r.Context(), s.actor(r, m), token.ID); err != nil {
		return err
	}
	return redirect(w, r, tokensPath(m, token.ID.String()))
}

// tokenOf returns the token in the path. What can't be one is not there.
func (s *Server) tokenOf(r *http.Request, m account.Member) (keyring.Token, error) {
	id, err := uuid.Parse(r.PathValue("token"))
	if err != nil {
		id = uuid.Nil
	}
	return s.keys.FindToken(r.Context(), m.Workspace.ID, id)
}

func tokensPath(m account.Member, more ...string) string {
	path := "/w/" + m.Workspace.Slug + "/tokens"
	for _, part := range more {
		path += "/" + part
	}
	return path
}

func (s *Server) showToken(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.tokenPage(w, r, m, "")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.Token(page))
}

func (s *Server) tokenPage(w http.ResponseWriter, r *http.Request, m account.Member, doing string) (page views.TokenPage, token keyring.Token, err error) {
	if token, err = s.tokenOf(r, m); err != nil {
		return page, token, err
	}
	if page.Page, err = s.page(w, r, m, doing+token.Name); err != nil {
		return page, token, err
	}
	readers, err := s.readersOf(r, m, []keyring.Token{token})
	if err != nil {
		return page, token, err
	}
	page.Token, page.Active = tokenRow(token, readers, page.Now), token.Active
	page.InUse = token.LastUsedAt != nil && page.Now.Sub(*token.LastUsedAt) < 24*time.Hour
	page.Trail, err = s.trailOf(r, m, token.ID)
	return page, token, err
}

func (s *Server) askToDeactivateToken(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.tokenPage(w, r, m, "Deactivate ")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.TokenDeactivate(views.TokenDeactivatePage{TokenPage: page}))
}

// deactivateToken stops a token. One that is in use asks for its name first.
func (s *Server) deactivateToken(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page, token, err := s.tokenPage(w, r, m, "Deactivate ")
	if err != nil {
		return err
	}
	if token.Active && page.InUse && !oneline.Same(r.PostFormValue("confirm"), token.Name) {
		ask := views.TokenDeactivatePage{TokenPage: page, Error: "That is not the token's name. Type it as it stands above."}
		if r.PostFormValue("confirm") == "" {
			ask.Error = "Type the token's name to confirm."
		}
		return render(w, r, http.StatusUnprocessableEntity, views.TokenDeactivate(ask))
	}
	return s.switchToken(w, r, m, token, "is deactivated: requests with it get 401 from now on.", "was inactive already.", s.keys.DeactivateToken)
}

func (s *Server) reactivateToken(w http.ResponseWriter, r *http.Request, m account.Member) error {
	token, err := s.tokenOf(r, m)
	if err != nil {
		return err
	}
	return s.switchToken(w, r, m, token, "is active again.", "was active already.", s.keys.ReactivateToken)
}

// A tokenSwitch deactivates or reactivates a token.
type tokenSwitch = func(ctx context.Context, by audit.Actor, id uuid.UUID) (bool, error)

func (s *Server) switchToken(w http.ResponseWriter, r *http.Request, m account.Member, token keyring.Token, done, already string, act tokenSwitch) error {
	changed, err := act(r.Context(), s.actor(r, m), token.ID)
	if err != nil {
		return err
	}
	text := token.Name + " " + already
	if changed {
		text = token.Name + " " + done
	}
	s.flash(w, views.Flash{Text: text})
	return redirect(w, r, tokensPath(m, token.ID.String()))
}
