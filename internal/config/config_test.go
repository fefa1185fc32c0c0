package config_test

import (
	"net/netip"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"keyhook/internal/config"
)

type cli struct {
	config.Database
	config.MasterKey
	config.Serve
}

func parse(args ...string) (cli, error) {
	var c cli
	parser, err := kong.New(&c, kong.Vars{"data_dir": "/var/lib/keyhook"})
	if err != nil {
		return c, err
	}
	if _, err := parser.Parse(args); err != nil {
		return c, err
	}
	if err := c.Database.Validate(); err != nil {
		return c, err
	}
	return c, c.Serve.Validate()
}

func TestDefaults(t *testing.T) {
	for _, name := range []string{"DATABASE_URL", "KEYHOOK_PG_BIN", "KEYHOOK_DATA_DIR", "KEYHOOK_ADDR"} {
		t.Setenv(name, "")
	}
	t.Setenv("KEYHOOK_ADDR", "127.0.0.1:8080")
	c, err := parse("--data-dir", "/var/lib/keyhook")
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:8080" || c.OpsAddr != "127.0.0.1:9464" || c.MaxBody != 1<<20 || !c.Migrate || c.LogFormat != "auto" {
		t.Errorf("defaults = %+v", c)
	}
	if got := c.MasterKey.Path(c.DataDir); got != "/var/lib/keyhook/master.key" {
		t.Errorf("master key file = %s", got)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db/keyhook")
	t.Setenv("KEYHOOK_DIRECT_URL", "postgres://direct/keyhook")
	t.Setenv("KEYHOOK_PUBLIC_URL", "https://keys.example.com/")
	t.Setenv("KEYHOOK_MAX_BODY", "512KiB")
	t.Setenv("KEYHOOK_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7")
	c, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	if c.Direct() != "postgres://direct/keyhook" || c.PublicURL != "https://keys.example.com" || c.MaxBody != 512<<10 {
		t.Errorf("settings = %+v", c)
	}
	want := config.Prefixes{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}
	if diff := cmp.Diff(want, c.Proxies, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--addr", "8080"},
		{"--addr", "127.0.0.1:99999"},
		{"--addr", ""},
		{"--hooks-addr", "nowhere"},
		{"--public-url", "keys.example.com"},
		{"--public-url", "https://user:pw@keys.example.com"},
		{"--hooks-url", "ftp://keys.example.com"},
		{"--max-body", "1GB"},
		{"--max-body", "-1"},
		{"--max-body", "100MiB"},
		{"--trusted-proxies", "10.0.0.0/33"},
		{"--log-format", "xml"},
		{"--workspaces", "nobody"},
		{"--pg-bin", "/nowhere"},
		{"--data-dir", "/dev/null"},
		{"--direct-url", "postgres://x/y"},
		{"--drain-delay", "-1s"},
		{"--drain-delay", "6m"},
		{"--drain-delay", "soon"},
		{"--unknown"},
	} {
		if _, err := parse(args...); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		root        bool
		state, want string
	}{
		{true, "/state", "/var/lib/keyhook"},
		{false, "/state", "/state/keyhook"},
		{false, "", "/home/ada/.local/state/keyhook"},
		{false, "relative", "/home/ada/.local/state/keyhook"},
	} {
		env := map[string]string{"HOME": "/home/ada", "XDG_STATE_HOME": tt.state}
		if got := config.DefaultDataDir(func(name string) string { return env[name] }, tt.root); got != tt.want {
			t.Errorf("DefaultDataDir(%v, %q) = %s, want %s", tt.root, tt.state, got, tt.want)
		}
	}
}
