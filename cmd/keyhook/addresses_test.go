package main

import (
	"os"
	"path/filepath"
	"testing"

	"keyhook/internal/config"
)

func TestBases(t *testing.T) {
	t.Parallel()
	const public, hooks = "https://keys.example.com", "https://hooks.example.com"
	links := config.Links{Addr: "127.0.0.1:8080"}
	for name, tt := range map[string]struct {
		last          addresses
		given         config.Hooks
		public, hooks string
	}{
		"nothing known":             {addresses{}, config.Hooks{Links: links}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		"an address":                {addresses{}, config.Hooks{Links: config.Links{Addr: "0.0.0.0:9000"}}, "http://localhost:9000", "http://localhost:9000"},
		"an address without a host": {addresses{}, config.Hooks{Links: config.Links{Addr: ":9000"}}, "http://localhost:9000", "http://localhost:9000"},
		"a port picked at a start":  {addresses{}, config.Hooks{Links: config.Links{Addr: "127.0.0.1:0"}}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		"a hooks address":           {addresses{}, config.Hooks{Links: links, HooksAddr: "10.0.0.1:81"}, "http://127.0.0.1:8080", "http://10.0.0.1:81"},
		"serve ran":                 {addresses{public, public}, config.Hooks{Links: links}, public, public},
		"serve ran with two":        {addresses{public, hooks}, config.Hooks{Links: links}, public, hooks},
		"the public URL is given":   {addresses{"http://127.0.0.1:4", "http://127.0.0.1:4"}, config.Hooks{Links: config.Links{PublicURL: public}}, public, public},
		"only that one is given":    {addresses{"http://127.0.0.1:4", hooks}, config.Hooks{Links: config.Links{PublicURL: public}}, public, hooks},
		"both are given":            {addresses{"http://127.0.0.1:4", "http://127.0.0.1:5"}, config.Hooks{Links: config.Links{PublicURL: public}, HooksURL: hooks}, public, hooks},
		"a spoilt file":             {addresses{"nonsense", hooks}, config.Hooks{Links: links}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
	} {
		dir := t.TempDir()
		if tt.last != (addresses{}) {
			if err := tt.last.write(dir); err != nil {
				t.Fatal(err)
			}
		}
		if got := publicBase(tt.given.Links, dir); got != tt.public {
			t.Errorf("%s: links begin with %s, want %s", name, got, tt.public)
		}
		if got := hooksBase(tt.given, dir); got != tt.hooks {
			t.Errorf("%s: senders' addresses begin with %s, want %s", name, got, tt.hooks)
		}
	}
}

func TestAddressesFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, a := range []addresses{{"http://a", "http://b"}, {"http://c", "http://d"}} {
		if err := a.write(dir); err != nil {
			t.Fatal(err)
		}
		if got := lastAddresses(dir); got != a {
			t.Errorf("wrote %v and read %v", a, got)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "addresses.json"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file: %v, %v; want mode 0644", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want one file", entries, err)
	}
}
