package mail_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"keyhook/internal/mail"
)

// A server is a mail server that behaves as it is told.
type server struct {
	host        string
	offersTLS   bool // by STARTTLS
	startsTLS   bool
	stranger    bool   // nobody vouches for its certificate
	user        string // who may sign in, with the password "pa ss/"
	refuses     int    // recipients, with this code
	refusesOnly string
	failsData   bool
	gone        bool
	hangsUp     bool
	silent      bool
}

// A running server keeps what it took.
type running struct {
	server
	t           *testing.T
	port        string
	pool        *x509.CertPool
	connections atomic.Int64
	mutex       sync.Mutex
	mail        []received
}

// A received message, and how it came.
type received struct {
	from, to, user string
	secured        bool
	data           []byte
}

func serve(t *testing.T, is server) *running {
	t.Helper()
	s := &running{server: is, t: t, pool: x509.NewCertPool()}
	certificate := httptest.NewTLSServer(nil)
	t.Cleanup(certificate.Close)
	if !is.stranger {
		s.pool.AddCert(certificate.Certificate())
	}
	host := is.host
	if host == "" {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(listener.Addr().String())
	t.Cleanup(func() { listener.Close() })
	if is.gone {
		listener.Close()
		return s
	}
	if is.hangsUp || is.silent {
		go s.misbehave(listener)
		return s
	}
	config := &tls.Config{Certificates: certificate.TLS.Certificates}
	smtpd := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.connections.Add(1)
		return &session{server: s, conn: c}, nil
	}))
	smtpd.Domain, smtpd.AllowInsecureAuth = "mail.example.com", true
	smtpd.ErrorLog = log.New(io.Discard, "", 0)
	if is.offersTLS {
		smtpd.TLSConfig = config
	}
	if is.startsTLS {
		listener = tls.NewListener(listener, config)
	}
	go smtpd.Serve(listener)
	t.Cleanup(func() { smtpd.Close() })
	return s
}

// misbehave takes connections and says nothing on them.
func (s *running) misbehave(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if s.hangsUp {
			conn.Close()
			continue
		}
		s.t.Cleanup(func() { conn.Close() })
	}
}

// sender sends to s; the address has PORT where its port belongs.
func (s *running) sender(address string) *mail.Sender {
	s.t.Helper()
	sender, err := mail.New(strings.Replace(address, "PORT", s.port, 1), from)
	if err != nil {
		s.t.Fatal(err)
	}
	sender.Trust(s.pool)
	return sender
}

func (s *running) taken() []received {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.mail
}

// only is the one message that the server took.
func (s *running) only() received {
	s.t.Helper()
	taken := s.taken()
	if len(taken) != 1 {
		s.t.Fatalf("the server took %d messages, want 1", len(taken))
	}
	return taken[0]
}

func (r received) parsed(t *testing.T) *netmail.Message {
	t.Helper()
	message, err := netmail.ReadMessage(bytes.NewReader(r.data))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func (r received) text(t *testing.T) string {
	t.Helper()
	text, err := io.ReadAll(quotedprintable.NewReader(r.parsed(t).Body))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A session is one connection.
type session struct {
	server *running
	conn   *smtp.Conn
	now    received
	user   string
}

func (s *session) AuthMechanisms() []string {
	if s.server.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.user || password != "pa ss/" {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.user != s.user {
		return smtp.ErrAuthRequired
	}
	_, secured := s.conn.TLSConnectionState()
	s.now = received{from: from, user: s.user, secured: secured}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := s.server.refuses; code != 0 && (s.server.refusesOnly == "" || s.server.refusesOnly == to) {
		return &smtp.SMTPError{Code: code, Message: "not here"}
	}
	if s.now.to != "" {
		return errors.New("two recipients")
	}
	s.now.to = to
	return nil
}

func (s *session) Data(r io.Reader) (err error) {
	if s.server.failsData {
		return &smtp.SMTPError{Code: 554, Message: "not that"}
	}
	if s.now.data, err = io.ReadAll(r); err != nil {
		return err
	}
	s.server.mutex.Lock()
	defer s.server.mutex.Unlock()
	s.server.mail = append(s.server.mail, s.now)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
