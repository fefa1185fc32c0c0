package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// dsn completes what people write: binary parameters, without which a
// transaction pooler mixes up prepared statements; a time limit on connecting;
// and an explicit sslmode, since the driver's default is about to change: none
// on a socket or loopback, else verify-full.
func dsn(given string) (string, error) {
	if strings.HasPrefix(given, "postgres://") || strings.HasPrefix(given, "postgresql://") {
		return dsnFromURL(given)
	}
	if !strings.Contains(given, "=") {
		return "", errors.New("the database URL must begin with postgres://")
	}
	return dsnFromKeywords(given), nil
}

func dsnFromURL(given string) (string, error) {
	u, err := url.Parse(given)
	if err != nil {
		return "", errors.New("the database URL can't be parsed") // the parser's message would repeat the password
	}
	query := u.Query()
	host := u.Hostname()
	if h := query.Get("host"); h != "" {
		host = h
	}
	setDefault(query, "sslmode", sslmode(host))
	setDefault(query, "connect_timeout", "5")
	query.Set("binary_parameters", "yes")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func setDefault(query url.Values, name, value string) {
	if query.Get(name) == "" {
		query.Set(name, value)
	}
}

func dsnFromKeywords(given string) string {
	host := ""
	has := map[string]bool{}
	for _, field := range strings.Fields(given) {
		name, value, _ := strings.Cut(field, "=")
		has[name] = true
		if name == "host" {
			host = strings.Trim(value, "'")
		}
	}
	for _, add := range [][2]string{{"sslmode", sslmode(host)}, {"connect_timeout", "5"}, {"binary_parameters", "yes"}} {
		if !has[add[0]] {
			given += fmt.Sprintf(" %s=%s", add[0], add[1])
		}
	}
	return given
}

func sslmode(host string) string {
	switch {
	case host == "", strings.HasPrefix(host, "/"), host == "localhost", host == "::1", strings.HasPrefix(host, "127."):
		return "disable"
	}
	return "verify-full"
}

// redact keeps the URL, which may hold a password, out of an error's text.
func redact(err error, given string) string {
	text := strings.ReplaceAll(err.Error(), given, "the database URL")
	if u, parseErr := url.Parse(given); parseErr == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" {
			text = strings.ReplaceAll(text, password, "…")
		}
	}
	return text
}
