package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/mail"
	"keyhook/views"
)

const (
	resetsAtOnce = 4
	resetWithin  = mail.Within + 10*time.Second
)

func (s *Server) showForgot(w http.ResponseWriter, r *http.Request) error {
	if s.config.Mail == nil {
		return s.notFound(w, r)
	}
	return render(w, r, http.StatusOK, views.Forgot(views.ForgotPage{Page: s.bare(w, r, "Forgot your password?")}))
}

// askReset answers the same, and as fast, whether or not there is such an account:
// all that depends on it comes after the answer.
func (s *Server) askReset(w http.ResponseWriter, r *http.Request) error {
	if s.config.Mail == nil {
		return s.notFound(w, r)
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page := views.ForgotPage{Page: s.bare(w, r, "Look into your mail"), Email: strings.TrimSpace(r.PostFormValue("email")), Sent: true}
	page.Email = page.Email[:min(len(page.Email), maxFilterText)]
	by := s.visitor(r)
	err := s.accounts.CountReset(r.Context(), by.Address)
	if err == nil {
		select {
		case s.resets <- struct{}{}:
		default:
			err = fault.New(fault.Busy, "Too many people ask for a link at this moment. Try again.")
		}
	}
	if f, ok := fault.Of(err); err != nil && ok {
		page.Title, page.Sent, page.Message = "Error: Forgot your password?", false, f.Message
		return render(w, r, f.Status(), views.Forgot(page))
	}
	if err != nil {
		return err
	}
	go func(ctx context.Context) {
		defer func() { <-s.resets }()
		s.mailReset(ctx, by, page.Email)
	}(context.WithoutCancel(r.Context()))
	return render(w, r, http.StatusOK, views.Forgot(page))
}

// mailReset mails a link to an account's address, if there is one. The log tells of
// a failure, and not of whom.
func (s *Server) mailReset(ctx context.Context, by audit.Actor, email string) {
	ctx, cancel := context.WithTimeout(ctx, resetWithin)
	defer cancel()
	user, token, err := s.accounts.AskReset(ctx, by, email)
	if err == nil && token != "" {
		err = s.config.Mail.Send(ctx, mail.Message{
			To: user.Email, Subject: "Choose a new password for Keyhook",
			Text: "Hello " + user.Name + ",\n\nsomebody, hopefully you, asked for a link to choose a new password for Keyhook at " + s.config.PublicURL +
				". It works once, for 30 minutes:\n\n" + s.config.PublicURL + "/password?token=" + token +
				"\n\nIf that was not you, there is nothing to do: your password stays as it is until the link is used.\n",
		})
	}
	if err != nil {
		s.log.ErrorContext(ctx, "mail a link for a password", "request", by.RequestID, "err", err)
	}
}
