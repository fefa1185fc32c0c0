// Package mail sends short texts to people over SMTP. It owns no table and keeps
// no queue: what could not be sent is told at once, so that whoever made the link
// in it can hand that over by other means.
//
// A message names one person, and nothing that came from a form can add a header
// or another recipient.
package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	smtp "github.com/wneessen/go-mail"
)

// Within is how long sending takes at most, however many messages there are.
const Within = 15 * time.Second

// ErrRefused says that the server will not take mail for that address, now or later.
var ErrRefused = errors.New("the mail server refused the address")

// ErrOff says that no mail server is set.
var ErrOff = errors.New("no mail server is set")

// A Message is a text for one person.
type Message struct {
	To      string // an e-mail address, without a name
	Subject string // one line
	Text    string // plain text, lines of any length
}

// Send sends one message and returns once the server has taken it. An error wraps
// ErrRefused where trying again is useless, ErrOff where there is no server.
func (s *Sender) Send(ctx context.Context, m Message) error {
	return s.SendAll(ctx, []Message{m})[0]
}

// SendAll sends messages over one connection and returns an error, or nil, for
// each. It takes no longer than [Within]: what was not sent by then fails.
func (s *Sender) SendAll(ctx context.Context, messages []Message) []error {
	errs := make([]error, len(messages))
	fill := func(err error) []error {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		return errs
	}
	if s == nil {
		return fill(ErrOff)
	}
	if len(messages) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, Within)
	defer cancel()
	client, err := s.client(ctx)
	if err != nil {
		return fill(err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return fill(fmt.Errorf("reach the mail server: %w", err))
	}
	for i, m := range messages {
		errs[i] = s.send(ctx, client, m)
	}
	_ = client.Close() // the server has taken what it took
	return errs
}

func (s *Sender) send(ctx context.Context, client *smtp.Client, m Message) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	message, err := s.compose(m)
	if err != nil {
		return err
	}
	return asRefused(client.Send(message))
}

// asRefused marks a refusal of the recipient that will stay one.
func asRefused(err error) error {
	if failed, ok := errors.AsType[*smtp.SendError](err); ok {
		switch {
		case failed.Reason == smtp.ErrSMTPReset:
			return nil // the message was taken; only what follows failed
		case failed.Reason == smtp.ErrSMTPRcptTo && !failed.IsTemp():
			return fmt.Errorf("send mail: %w: %w", ErrRefused, err)
		}
	}
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}

// compose writes a message down.
func (s *Sender) compose(m Message) (*smtp.Msg, error) {
	if err := checkTo(m.To); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(m.Subject, unicode.IsControl) || !utf8.ValidString(m.Subject) {
		return nil, errors.New("send mail: the subject is more than one line")
	}
	message := smtp.NewMsg(smtp.WithEncoding(smtp.EncodingQP))
	message.FromMailAddress(s.from)
	message.SetMessageIDWithValue(uuid.NewString() + "@" + s.domain())
	message.SetDate()
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	if err := message.To(m.To); err != nil {
		return nil, fmt.Errorf("send mail: %w: %w", ErrRefused, err)
	}
	message.Subject(m.Subject)
	message.SetBodyString(smtp.TypeTextPlain, m.Text)
	return message, nil
}

// checkTo refuses all that is not one bare address.
func checkTo(to string) error {
	address, err := mail.ParseAddress(to)
	if err != nil || address.Address != to || address.Name != "" || strings.ContainsFunc(to, unicode.IsControl) {
		return fmt.Errorf("send mail: %w", ErrRefused)
	}
	return nil
}
