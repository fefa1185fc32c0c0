package mail_test

import (
	"context"
	"errors"
	"mime"
	"strings"
	"testing"
	"time"

	"keyhook/internal/mail"
	"keyhook/internal/mailtest"
)

const from = "Keyhook <keyhook@example.com>"

// sender sends to s; the address has PORT where its port belongs.
func sender(t *testing.T, s *mailtest.Server, address string) *mail.Sender {
	t.Helper()
	made, err := mail.New(s.At(address), from)
	if err != nil {
		t.Fatal(err)
	}
	made.Trust(s.Pool)
	return made
}

func TestSend(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server  mailtest.Behaviour
		address string // of the server, its port in place of PORT
		secured bool
		who     string
	}{
		"plain":                          {mailtest.Behaviour{}, "smtp://127.0.0.1:PORT", false, ""},
		"STARTTLS where it is offered":   {mailtest.Behaviour{OffersTLS: true}, "smtp://127.0.0.1:PORT", true, ""},
		"STARTTLS left":                  {mailtest.Behaviour{OffersTLS: true}, "smtp://127.0.0.1:PORT?starttls=never", false, ""},
		"STARTTLS demanded":              {mailtest.Behaviour{OffersTLS: true}, "smtp://127.0.0.1:PORT?starttls=required", true, ""},
		"a password over STARTTLS":       {mailtest.Behaviour{OffersTLS: true, User: "ada"}, "smtp://ada:pa%20ss%2F@127.0.0.1:PORT", true, "ada"},
		"TLS from the start":             {mailtest.Behaviour{StartsTLS: true}, "smtps://127.0.0.1:PORT", true, ""},
		"a password over TLS":            {mailtest.Behaviour{StartsTLS: true, User: "ada"}, "smtps://ada:pa%20ss%2F@127.0.0.1:PORT", true, "ada"},
		"a host that is written in IPv6": {mailtest.Behaviour{Host: "::1"}, "smtp://[::1]:PORT", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mailtest.Start(t, tt.server)
			sender := sender(t, s, tt.address)
			link := "https://keys.example.com/invitation?token=" + strings.Repeat("a=", 60)
			err := sender.Send(t.Context(), mail.Message{To: "grace@example.org", Subject: "Zoë invites you", Text: "Hello,\n\n" + link + "\n.\nbye"})
			if err != nil {
				t.Fatal(err)
			}
			got := s.Only()
			if got.From != "keyhook@example.com" || got.To != "grace@example.org" || got.Secured != tt.secured || got.User != tt.who {
				t.Errorf("the server took %+v", got)
			}
			message := got.Parsed(t)
			subject, _ := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
			if subject != "Zoë invites you" || message.Header.Get("Auto-Submitted") != "auto-generated" || message.Header.Get("Message-Id") == "" {
				t.Errorf("headers = %v", message.Header)
			}
			if text := got.Text(t); text != "Hello,\r\n\r\n"+link+"\r\n.\r\nbye\r\n" {
				t.Errorf("text = %q", text)
			}
		})
	}
}

// TestRefusals: what goes wrong is told apart, within the time that there is.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server  mailtest.Behaviour
		address string
		refused bool   // for good
		says    string // in the error
	}{
		"an unknown recipient":               {mailtest.Behaviour{Refuses: 550}, "smtp://127.0.0.1:PORT", true, "550"},
		"a full mailbox":                     {mailtest.Behaviour{Refuses: 452}, "smtp://127.0.0.1:PORT", false, "452"},
		"a wrong password":                   {mailtest.Behaviour{OffersTLS: true, User: "grace"}, "smtp://ada:pa%20ss%2F@127.0.0.1:PORT", false, "535"},
		"no STARTTLS where it is demanded":   {mailtest.Behaviour{}, "smtp://127.0.0.1:PORT?starttls=required", false, "STARTTLS"},
		"a password that would go in clear":  {mailtest.Behaviour{User: "ada"}, "smtp://ada:pa%20ss%2F@127.0.0.1:PORT", false, "authentication"},
		"a certificate that nobody vouches":  {mailtest.Behaviour{OffersTLS: true, Stranger: true}, "smtp://127.0.0.1:PORT", false, "certificate"},
		"a certificate of another host":      {mailtest.Behaviour{StartsTLS: true}, "smtps://localhost:PORT", false, "localhost"},
		"a server that is not there":         {mailtest.Behaviour{Gone: true}, "smtp://127.0.0.1:PORT", false, "refused"},
		"a server that hangs up":             {mailtest.Behaviour{HangsUp: true}, "smtp://127.0.0.1:PORT", false, "EOF"},
		"a server that takes the text badly": {mailtest.Behaviour{FailsData: true}, "smtp://127.0.0.1:PORT", false, "554"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mailtest.Start(t, tt.server)
			err := sender(t, s, tt.address).Send(t.Context(), mail.Message{To: "grace@example.org", Subject: "Hello", Text: "Hello"})
			if err == nil || errors.Is(err, mail.ErrRefused) != tt.refused || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Send = %v, want refused for good: %v, and %q in it", err, tt.refused, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "pa ss/") {
				t.Errorf("the error tells the password: %v", err)
			}
			if n := len(s.Taken()); n != 0 {
				t.Errorf("the server took %d messages", n)
			}
		})
	}
}

// TestSlow: a server that says nothing holds nobody up past the time that there is.
func TestSlow(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.Behaviour{Silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	errs := sender(t, s, "smtp://127.0.0.1:PORT").SendAll(ctx, []mail.Message{{To: "a@example.org"}, {To: "b@example.org"}})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, err := range errs {
		if err == nil || errors.Is(err, mail.ErrRefused) {
			t.Errorf("SendAll = %v, want an error that is no refusal", err)
		}
	}
}

// TestSendAll: one bad address keeps no other from its mail, and one connection is enough.
func TestSendAll(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.Behaviour{Refuses: 550, RefusesOnly: "nobody@example.org"})
	errs := sender(t, s, "smtp://127.0.0.1:PORT").SendAll(t.Context(), []mail.Message{
		{To: "ada@example.org", Subject: "1", Text: "1"},
		{To: "nobody@example.org", Subject: "2", Text: "2"},
		{To: "not an address", Subject: "3", Text: "3"},
		{To: "grace@example.org", Subject: "4", Text: "4"},
	})
	if errs[0] != nil || !errors.Is(errs[1], mail.ErrRefused) || !errors.Is(errs[2], mail.ErrRefused) || errs[3] != nil {
		t.Errorf("SendAll = %v", errs)
	}
	var to []string
	for _, got := range s.Taken() {
		to = append(to, got.To)
	}
	if strings.Join(to, " ") != "ada@example.org grace@example.org" || s.Connections.Load() != 1 {
		t.Errorf("mail went to %v over %d connections", to, s.Connections.Load())
	}
}

// TestInjection: whatever is in a message, it has one recipient and its own headers.
func TestInjection(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.Behaviour{})
	sender := sender(t, s, "smtp://127.0.0.1:PORT")
	for _, m := range []mail.Message{
		{To: "ada@example.org\r\nRCPT TO:<eve@example.org>"},
		{To: "ada@example.org, eve@example.org"},
		{To: "Ada <ada@example.org>"},
		{To: "ada@example.org\nBcc: eve@example.org"},
		{To: ""},
		{To: "ada@example.org", Subject: "Hello\r\nBcc: eve@example.org"},
		{To: "ada@example.org", Subject: "Hello\nBcc: eve@example.org"},
		{To: "ada@example.org", Subject: "Hello\x00"},
		{To: "ada@example.org", Subject: "\xff"},
	} {
		if err := sender.Send(t.Context(), m); err == nil {
			t.Errorf("%q was sent", m)
		}
	}
	if got := s.Taken(); len(got) != 0 {
		t.Fatalf("the server took %+v", got)
	}
	text := "x\r\n.\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\nBcc: eve@example.org\r\n\r\n.\r\n"
	if err := sender.Send(t.Context(), mail.Message{To: "ada@example.org", Subject: "=?utf-8?q?=0ABcc:_eve?= a", Text: text}); err != nil {
		t.Fatal(err)
	}
	got := s.Only()
	if got.To != "ada@example.org" || got.Parsed(t).Header.Get("Bcc") != "" || strings.TrimSpace(got.Text(t)) != strings.TrimSpace(text) {
		t.Errorf("the server took %+v\n%q", got, got.Text(t))
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	if s, err := mail.New("", ""); s != nil || err != nil {
		t.Errorf("without settings: %v, %v", s, err)
	}
	if err := (*mail.Sender)(nil).Send(t.Context(), mail.Message{}); !errors.Is(err, mail.ErrOff) {
		t.Errorf("without a server, Send = %v", err)
	}
	for _, address := range []string{
		"mail.example.com", "http://mail.example.com", "smtp://", "smtp://:25", "smtp://u:secret@mail.example.com:0", "smtp://mail.example.com:99999",
		"smtp://mail.example.com/inbox", "smtp://mail.example.com?x=1", "smtp://mail.example.com?starttls=maybe", "smtp://u:secret@mail.example.com?starttls=never", "smtp://u:secret@mail.example.com:x", "",
	} {
		if s, err := mail.New(address, from); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) = %v, %v", address, s, err)
		}
	}
	for _, who := range []string{"", "keyhook", "a@b, c@d", "a@b\r\nBcc: c@d"} {
		if _, err := mail.New("smtp://mail.example.com", who); err == nil {
			t.Errorf("mail from %q was accepted", who)
		}
	}
	for _, address := range []string{"smtp://mail.example.com", "smtps://u:secret@mail.example.com", "smtp://10.0.0.1:25?starttls=never", "smtp://mail.example.com/"} {
		if s, err := mail.New(address, from); err != nil || s == nil {
			t.Errorf("New(%q) = %v", address, err)
		}
	}
}
