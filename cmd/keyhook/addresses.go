package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"keyhook/internal/config"
)

// addresses are what serve's addresses begin with. It leaves them in the data
// folder, so that the links that a command prints lead to it.
type addresses struct {
	PublicURL string `json:"public_url"`
	HooksURL  string `json:"hooks_url"`
}

func addressesFile(dataDir string) string { return filepath.Join(dataDir, "addresses.json") }

// publish writes the addresses where commands look. Serving goes on without: the
// folder may be read-only where the database is elsewhere.
func (c *serveCmd) publish(on *listeners, log *slog.Logger) {
	err := makeDataDir(c.DataDir)
	if err == nil {
		err = addresses{on.publicURL, on.hooksBase}.write(c.DataDir)
	}
	if err != nil {
		log.Warn("commands can't find out what links begin with", "err", err)
	}
}

// write puts a whole file in the place of the one that is there.
func (a addresses) write(dataDir string) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(dataDir, ".addresses-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), addressesFile(dataDir))
}

// lastAddresses are those of the last serve, empty where there was none.
func lastAddresses(dataDir string) addresses {
	var last addresses
	text, err := os.ReadFile(addressesFile(dataDir))
	if err != nil || json.Unmarshal(text, &last) != nil {
		return addresses{}
	}
	for _, base := range []*string{&last.PublicURL, &last.HooksURL} {
		if *base, err = config.CheckBase(*base); err != nil {
			return addresses{}
		}
	}
	return last
}

// publicBase is what links begin with.
func publicBase(l config.Links, dataDir string) string {
	return cmp.Or(l.PublicURL, lastAddresses(dataDir).PublicURL, baseOf(l.Addr), "http://127.0.0.1:8080")
}

// hooksBase is what the addresses for senders begin with: the public base, unless
// ingestion has an address of its own.
func hooksBase(h config.Hooks, dataDir string) string {
	own := ""
	if last := lastAddresses(dataDir); last.HooksURL != last.PublicURL {
		own = last.HooksURL
	}
	return cmp.Or(h.HooksURL, own, baseOf(h.HooksAddr), publicBase(h.Links, dataDir))
}

// baseOf is the base URL of a listener's address; "" where there is none or the
// port is picked at each start.
func baseOf(addr string) string {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "0" {
		return ""
	}
	return "http://" + reachable(addr)
}

// reachable is an address as a browser on this machine can open it.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
