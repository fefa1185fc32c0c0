package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"

	smtp "github.com/wneessen/go-mail"
)

// A Sender sends over one mail server. The nil Sender has none: it sends nothing
// and says ErrOff.
type Sender struct {
	host, port     string
	user, password string
	tls            bool // from the first byte on
	starttls       string
	from           *mail.Address
	config         *tls.Config
}

// When STARTTLS is used.
const (
	ifOffered = "offered"
	required  = "required"
	never     = "never"
)

// New returns a Sender for a server's address and who the mail is from, or nil
// where both are empty. The address is smtp://HOST:PORT or smtps://HOST:PORT, with
// USER:PASSWORD@ before the host where the server asks; the port is 587, with smtps
// 465. An error never holds the address, which may hold a password.
func New(address, from string) (*Sender, error) {
	if address == "" && from == "" {
		return nil, nil
	}
	if address == "" || from == "" {
		return nil, errors.New("KEYHOOK_SMTP_URL and KEYHOOK_MAIL_FROM go together: set both or neither")
	}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, errors.New("KEYHOOK_MAIL_FROM is not an address like Keyhook <keyhook@example.com>")
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return nil, errors.New("KEYHOOK_SMTP_URL is not like smtp://user:password@mail.example.com:587, or smtps://")
	}
	s := &Sender{host: u.Hostname(), port: u.Port(), user: u.User.Username(), tls: u.Scheme == "smtps", from: sender}
	s.password, _ = u.User.Password()
	s.config = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if s.starttls, err = s.whether(u); err != nil {
		return nil, err
	}
	s.port = cmp.Or(s.port, map[bool]string{false: "587", true: "465"}[s.tls])
	if n, err := strconv.Atoi(s.port); err != nil || n < 1 || n > 65535 {
		return nil, errors.New("KEYHOOK_SMTP_URL has no port between 1 and 65535")
	}
	return s, nil
}

// whether reads when STARTTLS is used. A password is never sent to a server that
// can't show who it is, unless that is this machine.
func (s *Sender) whether(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(query) > 1 || len(query) == 1 && !query.Has("starttls") {
		return "", errors.New("KEYHOOK_SMTP_URL: behind its question mark there may be starttls=required or starttls=never alone")
	}
	policy := query.Get("starttls")
	switch {
	case policy != "" && policy != ifOffered && policy != required && policy != never:
		return "", errors.New("KEYHOOK_SMTP_URL: starttls is offered, required or never")
	case s.user == "" || s.tls || isLocal(s.host):
		return cmp.Or(policy, ifOffered), nil
	case policy == never:
		return "", errors.New("KEYHOOK_SMTP_URL: with a password, STARTTLS can't be never")
	}
	return required, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// domain is what the mail's sender is part of.
func (s *Sender) domain() string {
	_, domain, _ := strings.Cut(s.from.Address, "@")
	return domain
}

// client returns a client whose connection ends with ctx, however slow the server.
func (s *Sender) client(ctx context.Context) (*smtp.Client, error) {
	policies := map[string]smtp.TLSPolicy{ifOffered: smtp.TLSOpportunistic, required: smtp.TLSMandatory, never: smtp.NoTLS}
	policy := policies[s.starttls]
	if s.tls {
		policy = smtp.TLSOpportunistic // there is TLS already: nothing is offered
	}
	dial := func(_ context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) }
	options := []smtp.Option{
		smtp.WithTimeout(Within), smtp.WithTLSPolicy(policy), smtp.WithTLSConfig(s.config.Clone()),
		smtp.WithHELO(s.domain()), smtp.WithoutNoop(), smtp.WithDialContextFunc(dial),
	}
	if s.user != "" {
		options = append(options, smtp.WithSMTPAuth(smtp.SMTPAuthAutoDiscover), smtp.WithUsername(s.user), smtp.WithPassword(s.password))
	}
	return smtp.NewClient(s.host, options...)
}

// dial connects, and closes the connection when ctx is done: the client's own
// deadlines begin anew with each step, and it leaves open what it gave up on.
func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	if !s.tls {
		return conn, nil
	}
	secured := tls.Client(conn, s.config.Clone())
	return secured, secured.HandshakeContext(ctx)
}
