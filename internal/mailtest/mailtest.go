// Package mailtest runs a mail server for one test: a real one, over TCP, with TLS
// where it is asked for.
package mailtest

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
)

// Password is the one with which a user of the server signs in.
const Password = "pa ss/"

// A Behaviour is what a server does. The zero one takes all mail, in clear.
type Behaviour struct {
	Host        string // to listen on; "" is 127.0.0.1
	OffersTLS   bool   // by STARTTLS
	StartsTLS   bool   // from the first byte on
	Stranger    bool   // nobody vouches for its certificate
	User        string // who must sign in
	Refuses     int    // recipients, with this code
	RefusesOnly string // this recipient alone
	FailsData   bool   // takes no text
	Gone        bool   // does not listen
	HangsUp     bool   // at once
	Silent      bool   // says nothing
}

// A Server is one that runs. It keeps what it took.
type Server struct {
	Behaviour
	Port        string
	Pool        *x509.CertPool // who vouches for its certificate
	Connections atomic.Int64

	t     *testing.T
	mutex sync.Mutex
	mail  []Received
}

// A Received message is one that the server took, and how it came.
type Received struct {
	From, To string
	User     string // who was signed in
	Secured  bool
	Data     []byte
}

// Start runs a server until the test ends.
func Start(t *testing.T, is Behaviour) *Server {
	t.Helper()
	s := &Server{Behaviour: is, t: t, Pool: x509.NewCertPool()}
	certificate := httptest.NewTLSServer(nil)
	t.Cleanup(certificate.Close)
	if !is.Stranger {
		s.Pool.AddCert(certificate.Certificate())
	}
	host := is.Host
	if host == "" {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, s.Port, _ = net.SplitHostPort(listener.Addr().String())
	t.Cleanup(func() { listener.Close() })
	if is.Gone {
		listener.Close()
		return s
	}
	if is.HangsUp || is.Silent {
		go s.misbehave(listener)
		return s
	}
	config := &tls.Config{Certificates: certificate.TLS.Certificates}
	smtpd := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.Connections.Add(1)
		return &session{server: s, conn: c}, nil
	}))
	smtpd.Domain, smtpd.AllowInsecureAuth = "mail.example.com", true
	smtpd.ErrorLog = log.New(io.Discard, "", 0)
	if is.OffersTLS {
		smtpd.TLSConfig = config
	}
	if is.StartsTLS {
		listener = tls.NewListener(listener, config)
	}
	go smtpd.Serve(listener)
	t.Cleanup(func() { smtpd.Close() })
	return s
}

// misbehave takes connections and says nothing on them.
func (s *Server) misbehave(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if s.HangsUp {
			conn.Close()
			continue
		}
		s.t.Cleanup(func() { conn.Close() })
	}
}

// At is an address with the server's port in the place of PORT.
func (s *Server) At(address string) string { return strings.Replace(address, "PORT", s.Port, 1) }

// Taken is what the server took so far.
func (s *Server) Taken() []Received {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.mail
}

// Only is the one message that the server took.
func (s *Server) Only() Received {
	s.t.Helper()
	taken := s.Taken()
	if len(taken) != 1 {
		s.t.Fatalf("the server took %d messages, want 1", len(taken))
	}
	return taken[0]
}

// Parsed is the message with its headers.
func (r Received) Parsed(t *testing.T) *netmail.Message {
	t.Helper()
	message, err := netmail.ReadMessage(bytes.NewReader(r.Data))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// Text is what the message says.
func (r Received) Text(t *testing.T) string {
	t.Helper()
	text, err := io.ReadAll(quotedprintable.NewReader(r.Parsed(t).Body))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A session is one connection.
type session struct {
	server *Server
	conn   *smtp.Conn
	now    Received
	user   string
}

func (s *session) AuthMechanisms() []string {
	if s.server.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.User || password != Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.User != s.user {
		return smtp.ErrAuthRequired
	}
	_, secured := s.conn.TLSConnectionState()
	s.now = Received{From: from, User: s.user, Secured: secured}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := s.server.Refuses; code != 0 && (s.server.RefusesOnly == "" || s.server.RefusesOnly == to) {
		return &smtp.SMTPError{Code: code, Message: "not here"}
	}
	if s.now.To != "" {
		return errors.New("two recipients")
	}
	s.now.To = to
	return nil
}

func (s *session) Data(r io.Reader) (err error) {
	if s.server.FailsData {
		return &smtp.SMTPError{Code: 554, Message: "not that"}
	}
	if s.now.Data, err = io.ReadAll(r); err != nil {
		return err
	}
	s.server.mutex.Lock()
	defer s.server.mutex.Unlock()
	s.server.mail = append(s.server.mail, s.now)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
