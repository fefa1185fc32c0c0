// Package config is the list of Keyhook's settings: their names, environment
// variables, defaults and meanings. The structs are read by kong from flags and
// environment; Validate then says in one sentence what is wrong.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Database says which database a command works on.
type Database struct {
	URL       string `name:"database-url" env:"DATABASE_URL" placeholder:"URL" help:"A PostgreSQL server, version 15 or later. Unset: Keyhook runs a private one in the data folder."`
	DirectURL string `name:"direct-url" env:"KEYHOOK_DIRECT_URL" placeholder:"URL" help:"The same database past any transaction pooler, for migrations. Default: the database URL."`
	DataDir   string `name:"data-dir" env:"KEYHOOK_DATA_DIR" placeholder:"DIR" default:"${data_dir}" help:"Folder of the private database and the master key."`
	PGBin     string `name:"pg-bin" env:"KEYHOOK_PG_BIN" placeholder:"DIR" help:"Folder of the PostgreSQL programs for the private database. Default: searched."`
}

// MasterKey says where the keys are that seal the secrets.
type MasterKey struct {
	File string `name:"master-key-file" env:"KEYHOOK_MASTER_KEY_FILE" placeholder:"FILE" help:"Master keys, lines of id:base64, the first one seals. Default: master.key in the data folder, made on first start."`
}

// Evidence says how the audit trail is proved.
type Evidence struct {
	KeyFile       string `name:"signing-key-file" env:"KEYHOOK_SIGNING_KEY_FILE" placeholder:"FILE" help:"Ed25519 key that signs checkpoints of the audit trail. Default: audit.key in the data folder, made when absent."`
	CheckpointURL string `name:"checkpoint-url" env:"KEYHOOK_CHECKPOINT_URL" placeholder:"URL" help:"Where checkpoints go by POST, over https."`
}

// Mail says how mail is sent. Both are read by mail.New.
type Mail struct {
	SMTPURL string `name:"smtp-url" env:"KEYHOOK_SMTP_URL" placeholder:"URL" help:"Mail server, smtp:// or smtps://, with user:password@ where it asks. Unset: links are copied instead of mailed."`
	From    string `name:"mail-from" env:"KEYHOOK_MAIL_FROM" placeholder:"ADDRESS" help:"Whom mail is from."`
}

// Serve is how the server faces the world.
type Serve struct {
	Addr       string        `name:"addr" env:"KEYHOOK_ADDR" default:"127.0.0.1:8080" help:"Address of console and ingestion; port 0 picks a free one."`
	HooksAddr  string        `name:"hooks-addr" env:"KEYHOOK_HOOKS_ADDR" help:"A second address for ingestion, /docs, /healthz and /readyz alone. Set, the console's address does not ingest."`
	HooksURL   string        `name:"hooks-url" env:"KEYHOOK_HOOKS_URL" placeholder:"URL" help:"Base of the addresses that senders are shown. Default: from the hooks address, else the public URL."`
	PublicURL  string        `name:"public-url" env:"KEYHOOK_PUBLIC_URL" placeholder:"URL" help:"Base of every URL shown to people. https turns on Secure cookies and HSTS. Default: from the address."`
	OpsAddr    string        `name:"ops-addr" env:"KEYHOOK_OPS_ADDR" default:"127.0.0.1:9464" help:"Address of /metrics; empty turns it off."`
	MaxBody    Size          `name:"max-body" env:"KEYHOOK_MAX_BODY" default:"1MiB" help:"Largest request body."`
	Proxies    Prefixes      `name:"trusted-proxies" env:"KEYHOOK_TRUSTED_PROXIES" placeholder:"CIDR,..." help:"Proxies whose X-Forwarded-For is believed."`
	LogFormat  string        `name:"log-format" env:"KEYHOOK_LOG_FORMAT" enum:"text,json,auto" default:"auto" help:"text or json. Default: text on a terminal, else json."`
	Pprof      bool          `name:"pprof" env:"KEYHOOK_PPROF" help:"Serve /debug/pprof/ on the ops address."`
	Migrate    bool          `name:"migrate" env:"KEYHOOK_MIGRATE" default:"true" negatable:"" help:"Apply pending migrations first; without it, refuse to start when some are pending."`
	DrainDelay time.Duration `name:"drain-delay" env:"KEYHOOK_DRAIN_DELAY" default:"5s" help:"How long to go on after SIGTERM while /readyz says 503. Control-C ends at once."`
	Workspaces string        `name:"workspaces" env:"KEYHOOK_WORKSPACES" enum:"everyone,operator" default:"everyone" help:"Who may create workspaces."`
}

// DefaultDataDir is /var/lib/keyhook for root, else keyhook in the user's folder
// for state.
func DefaultDataDir(env func(string) string, root bool) string {
	if root {
		return "/var/lib/keyhook"
	}
	if state := env("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "keyhook")
	}
	return filepath.Join(env("HOME"), ".local", "state", "keyhook")
}

// Validate reports the first setting that can't be used.
func (d *Database) Validate() error {
	if d.DataDir == "" {
		return errors.New("--data-dir is empty")
	}
	dir, err := filepath.Abs(d.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	d.DataDir = dir
	if info, err := os.Stat(dir); err == nil && !info.IsDir() || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("KEYHOOK_DATA_DIR: %s is not a folder", dir)
	}
	if d.DirectURL != "" && d.URL == "" {
		return errors.New("KEYHOOK_DIRECT_URL is set and DATABASE_URL is not: set both")
	}
	if d.PGBin != "" {
		if info, err := os.Stat(d.PGBin); err != nil || !info.IsDir() {
			return fmt.Errorf("KEYHOOK_PG_BIN: there is no folder %s", d.PGBin)
		}
	}
	return nil
}

// Direct returns the URL for what needs a session of its own.
func (d *Database) Direct() string {
	if d.DirectURL != "" {
		return d.DirectURL
	}
	return d.URL
}

// Validate reports a master key file that can't be made or read.
func (m MasterKey) Validate() error {
	return checkFile("KEYHOOK_MASTER_KEY_FILE", m.File)
}

// checkFile refuses a file that can't be there; "" is none.
func checkFile(variable, path string) error {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s: there is no folder %s", variable, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: %s is a folder", variable, path)
	}
	return nil
}

// Path returns the master key file, by default in the data folder.
func (m MasterKey) Path(dataDir string) string {
	if m.File != "" {
		return m.File
	}
	return filepath.Join(dataDir, "master.key")
}

// Validate reports the first setting that can't be used. The address may hold a
// secret, so it is not in the error.
func (e Evidence) Validate() error {
	if err := checkFile("KEYHOOK_SIGNING_KEY_FILE", e.KeyFile); err != nil {
		return err
	}
	if e.CheckpointURL == "" {
		return nil
	}
	if u, err := url.Parse(e.CheckpointURL); err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.New("KEYHOOK_CHECKPOINT_URL is not an https address")
	}
	return nil
}

// Path returns the signing key file, by default in the data folder.
func (e Evidence) Path(dataDir string) string {
	if e.KeyFile != "" {
		return e.KeyFile
	}
	return filepath.Join(dataDir, "audit.key")
}

const maxDrain = 5 * time.Minute

// Validate reports the first setting that can't be used.
func (s *Serve) Validate() error {
	for _, a := range []setting{{"addr", &s.Addr}, {"hooks-addr", &s.HooksAddr}, {"ops-addr", &s.OpsAddr}} {
		if *a.value == "" && a.name != "addr" {
			continue
		}
		if err := checkAddrs(a); err != nil {
			return err
		}
	}
	if s.DrainDelay < 0 || s.DrainDelay > maxDrain {
		return fmt.Errorf("--drain-delay is not between 0s and %s", maxDrain)
	}
	return checkBases(setting{"public-url", &s.PublicURL}, setting{"hooks-url", &s.HooksURL})
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535", addr)
	}
	return nil
}

// CheckBase returns a base URL without its final slash; "" is none.
func CheckBase(base string) (string, error) {
	if base == "" {
		return "", nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not like https://keyhook.example.com", base)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// A Size is a number of bytes, written like 512KiB, 1MiB or 25000000.
type Size int64

const largestBody = 25 << 20

// UnmarshalText reads a size between 1 KiB and 25 MiB.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "kB": 1000, "MB": 1000_000} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = strings.TrimSpace(n), bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is not a size such as 512KiB or 1MiB", text)
	}
	if n *= unit; n < 1<<10 || n > largestBody {
		return fmt.Errorf("%s is not between 1KiB and 25MiB", text)
	}
	*s = Size(n)
	return nil
}

// Prefixes are networks in CIDR notation, separated by commas; an address alone
// is a network of one.
type Prefixes []netip.Prefix

// UnmarshalText reads a list of networks.
func (p *Prefixes) UnmarshalText(text []byte) error {
	*p = nil
	for field := range strings.SplitSeq(string(text), ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(field)
		if err != nil {
			address, addressErr := netip.ParseAddr(field)
			if addressErr != nil {
				return fmt.Errorf("%q is not a network such as 10.0.0.0/8", field)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		*p = append(*p, prefix.Masked())
	}
	return nil
}
