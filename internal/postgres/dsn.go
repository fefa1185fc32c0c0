package postgres

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/lib/pq"
)

// The driver's own error would repeat parts of the URL, and so of a password.
var errURL = errors.New("the database URL, or a PG… variable, can't be used: a URL is like postgres://user:password@host:5432/name, " +
	"or host=… user=… password=… dbname=… with single quotes around a value that holds a space")

// CheckURL says whether url can be one of a database, without connecting.
func CheckURL(url string) error {
	_, err := settings(url)
	return err
}

// settings reads what people write, as the driver does, and completes it: binary
// parameters, without which a transaction pooler mixes up prepared statements; a
// time limit on connecting; and an explicit sslmode, since the driver's default
// is about to change: none on a socket or loopback, else verify-full.
func settings(given string) (pq.Config, error) {
	isURL := strings.HasPrefix(given, "postgres://") || strings.HasPrefix(given, "postgresql://")
	if name, _, keywords := strings.Cut(given, "="); !isURL && (!keywords || strings.Contains(name, "://")) {
		return pq.Config{}, errors.New("the database URL must begin with postgres://")
	}
	c, err := pq.NewConfig(given)
	if err != nil {
		return c, errURL
	}
	if c.SSLMode == pq.SSLModeDisable && onSocket(c.Host, c.Hostaddr) && !local(c) {
		// Because of the socket, the driver would talk to the other host in plain text.
		return c, errors.New("the database URL names both a socket and a remote host: name one of them")
	}
	if c.SSLMode == "" {
		c.SSLMode = pq.SSLModeVerifyFull
		if local(c) {
			c.SSLMode = pq.SSLModeDisable
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	c.BinaryParameters = true
	return c, nil
}

// local reports whether every host of c is this machine.
func local(c pq.Config) bool {
	hosts := append([]pq.ConfigMultihost{{Host: c.Host, Hostaddr: c.Hostaddr}}, c.Multi...)
	for _, h := range hosts {
		if !onSocket(h.Host, h.Hostaddr) && !loopback(h.Host, h.Hostaddr) {
			return false
		}
	}
	return true
}

func onSocket(host string, address netip.Addr) bool {
	return !address.IsValid() && (filepath.IsAbs(host) || strings.HasPrefix(host, "@"))
}

func loopback(host string, address netip.Addr) bool {
	if !address.IsValid() {
		if host == "" || host == "localhost" {
			return true
		}
		var err error
		if address, err = netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
			return false
		}
	}
	return address.Unmap().IsLoopback()
}

// redact keeps the URL and the password in it out of an error's text; also what
// the driver took for a setting of the server, since a password that lacks its
// quotes looks like one.
func redact(err error, given string, c pq.Config) string {
	text := strings.ReplaceAll(err.Error(), given, "the database URL")
	if c.Password != "" {
		text = strings.ReplaceAll(text, c.Password, "…")
	}
	for name, value := range c.Runtime {
		text = strings.ReplaceAll(text, `"`+name+`"`, `"…"`)
		text = strings.ReplaceAll(text, `"`+value+`"`, `"…"`)
	}
	return text
}
