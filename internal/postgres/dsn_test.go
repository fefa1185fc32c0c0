package postgres

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		given   string
		sslmode pq.SSLMode
	}{
		{"postgres://kh:pw@db.example:5432/keyhook", "verify-full"},
		{"postgres://kh:pw@db.example/keyhook?sslmode=require", "require"},
		{"postgres://kh@localhost/keyhook", "disable"},
		{"postgres://kh@127.0.0.1/keyhook", "disable"},
		{"postgres://kh@127.evil.example/keyhook", "verify-full"},
		{"postgres://kh@[::1]:5432/keyhook", "disable"},
		{"postgres:///keyhook?host=/run/postgresql", "disable"},
		{"postgres:///keyhook?host=db.example", "verify-full"},
		{"postgres://localhost,db.example/keyhook", "verify-full"},
		{"postgresql://kh@db.example/keyhook", "verify-full"},
		{"host=/run/keyhook user=kh dbname=keyhook", "disable"},
		{"host=db.example user=kh dbname=keyhook", "verify-full"},
		{"host=db.example user=kh sslmode=verify-ca", "verify-ca"},
		{"host=db.example user=kh sslmode = verify-ca", "verify-ca"},
		{"host = db.example user = kh", "verify-full"},
		{"host='db.example' user=kh", "verify-full"},
		{`host=db\.example user=kh`, "verify-full"},
		{"host = '127.0.0.1' user=kh", "disable"},
		{"host=db.example password=x://y", "verify-full"},
		{"user=kh password='x host=localhost' host=db.example", "verify-full"},
		{"user=kh password='x sslmode=disable' host=db.example", "verify-full"},
		{"hostaddr=10.0.0.1 user=kh", "verify-full"},
		{"hostaddr=127.0.0.1 user=kh", "disable"},
		{"host=localhost hostaddr=10.0.0.1 user=kh", "verify-full"},
		{"host=db.example hostaddr=127.0.0.1 user=kh", "disable"},
		{"user=kh dbname=keyhook", "disable"},
	} {
		c, err := settings(tt.given)
		if err != nil {
			t.Errorf("settings(%q): %v", tt.given, err)
			continue
		}
		if c.SSLMode != tt.sslmode || !c.BinaryParameters || c.ConnectTimeout != 5*time.Second {
			t.Errorf("settings(%q) has sslmode %s, binary parameters %v and %s to connect; want %s, true and 5s",
				tt.given, c.SSLMode, c.BinaryParameters, c.ConnectTimeout, tt.sslmode)
		}
	}
	c, err := settings(`host = db.example password = 'hun ter\'2' connect_timeout=9`)
	if err != nil || c.Password != "hun ter'2" || c.ConnectTimeout != 9*time.Second {
		t.Errorf("settings read the password as %q and the time as %s, %v", c.Password, c.ConnectTimeout, err)
	}
}

// TestSettingsFromTheEnvironment: where the URL has no host, the driver goes to
// that of the environment.
func TestSettingsFromTheEnvironment(t *testing.T) {
	for _, tt := range []struct {
		given, variable, value string
		sslmode                pq.SSLMode
	}{
		{"postgres:///keyhook", "PGHOST", "db.example", "verify-full"},
		{"postgres://kh@/keyhook", "PGHOST", "/run/postgresql", "disable"},
		{"user=kh dbname=keyhook", "PGHOST", "db.example", "verify-full"},
		{"user=kh dbname=keyhook", "PGHOSTADDR", "10.0.0.1", "verify-full"},
		{"host=localhost user=kh", "PGHOST", "db.example", "disable"},
		{"host=db.example user=kh", "PGHOST", "localhost", "verify-full"},
		{"host=db.example user=kh", "PGSSLMODE", "require", "require"},
	} {
		t.Run(tt.variable+"="+tt.value+" "+tt.given, func(t *testing.T) {
			t.Setenv(tt.variable, tt.value)
			if c, err := settings(tt.given); err != nil || c.SSLMode != tt.sslmode {
				t.Errorf("sslmode is %s, %v; want %s", c.SSLMode, err, tt.sslmode)
			}
		})
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"postgres://kh:hunter2@bad host/x", "hunter2", "mysql://kh:hunter2@x/y?a=b", "",
		"host=db.example password=hun ter2secret user=kh", "host=x password='hunter2", `host=x password=hunter2\`,
		"host=x port=hunter2", "host=x sslmode=hunter2", "host=/run/x,db.example password=hunter2",
	} {
		if err := CheckURL(given); err == nil || strings.Contains(err.Error(), "ter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("CheckURL(%q) = %v, want one line without the password", given, err)
		}
	}
	for given, said := range map[string]string{
		"postgres://kh:hunter2@x/y":               `can't reach postgres://kh:hunter2@x/y with "hunter2"`,
		"host=x password=hun ter2=secret user=kh": `pq: unrecognized configuration parameter "ter2"`,
		"host=x password=hun jit=ter2 user=kh":    `pq: parameter "jit" requires a Boolean value, not "ter2"`,
	} {
		c, err := settings(given)
		if err != nil {
			t.Fatal(err)
		}
		if got := redact(errors.New(said), given, c); strings.Contains(got, "ter2") {
			t.Errorf("redact left the password in %q", got)
		}
	}
}

func TestListenerURL(t *testing.T) {
	for given, want := range map[string]string{
		"postgres://a:b@db.example/x":              "postgres://a:b@db.example/x?sslmode=verify-full",
		"postgres://a@db.example/x?sslmode=prefer": "postgres://a@db.example/x?sslmode=prefer",
		"host=/run user=a":                         "host=/run user=a sslmode=disable",
	} {
		if got, err := listenerURL(given); err != nil || got != want {
			t.Errorf("listenerURL(%q) = %q, %v; want %q", given, got, err, want)
		}
	}
	if _, err := listenerURL("garbage"); err == nil {
		t.Error("garbage is a URL")
	}
}
