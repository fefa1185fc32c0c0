package postgres

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestDSN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ given, sslmode string }{
		{"postgres://kh:pw@db.example:5432/keyhook", "verify-full"},
		{"postgres://kh:pw@db.example/keyhook?sslmode=require", "require"},
		{"postgres://kh@localhost/keyhook", "disable"},
		{"postgres://kh@127.0.0.1/keyhook", "disable"},
		{"postgres://kh@[::1]:5432/keyhook", "disable"},
		{"postgres:///keyhook?host=/run/postgresql", "disable"},
		{"host=/run/keyhook user=kh dbname=keyhook", "disable"},
		{"host=db.example user=kh dbname=keyhook", "verify-full"},
		{"host=db.example user=kh sslmode=verify-ca", "verify-ca"},
	} {
		got, err := dsn(tt.given)
		if err != nil {
			t.Errorf("dsn(%q): %v", tt.given, err)
			continue
		}
		text, _ := url.QueryUnescape(got)
		for _, want := range []string{"sslmode=" + tt.sslmode, "binary_parameters=yes", "connect_timeout=5"} {
			if !strings.Contains(text, want) {
				t.Errorf("dsn(%q) = %q, want %s in it", tt.given, got, want)
			}
		}
	}
}

func TestDSNErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"postgres://kh:hunter2@bad host/x", "hunter2", "mysql://kh:hunter2@x/y"} {
		if _, err := dsn(given); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("dsn(%q) = %v, want an error without the password", given, err)
		}
	}
	got := redact(errors.New(`can't reach postgres://kh:hunter2@x/y with "hunter2"`), "postgres://kh:hunter2@x/y")
	if strings.Contains(got, "hunter2") {
		t.Errorf("redact left the password in %q", got)
	}
}
