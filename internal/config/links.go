package config

import "fmt"

// Links say what the links begin with that a command prints.
type Links struct {
	PublicURL string `name:"public-url" env:"KEYHOOK_PUBLIC_URL" placeholder:"URL" help:"What links begin with. Default: as with the last serve."`
	Addr      string `name:"addr" env:"KEYHOOK_ADDR" default:"127.0.0.1:8080" hidden:"" help:"Address of serve, if it never ran here."`
}

// Hooks say what the addresses begin with that senders are given.
type Hooks struct {
	Links
	HooksURL  string `name:"hooks-url" env:"KEYHOOK_HOOKS_URL" placeholder:"URL" help:"What the addresses for senders begin with. Default: as with the last serve."`
	HooksAddr string `name:"hooks-addr" env:"KEYHOOK_HOOKS_ADDR" hidden:"" help:"Address of serve's ingestion, if it never ran here."`
}

// Validate reports the first setting that can't be used.
func (l *Links) Validate() error {
	if err := checkAddrs(setting{"addr", &l.Addr}); err != nil {
		return err
	}
	return checkBases(setting{"public-url", &l.PublicURL})
}

// Validate reports the first setting that can't be used.
func (h *Hooks) Validate() error {
	if err := h.Links.Validate(); err != nil {
		return err
	}
	if h.HooksAddr != "" {
		if err := checkAddrs(setting{"hooks-addr", &h.HooksAddr}); err != nil {
			return err
		}
	}
	return checkBases(setting{"hooks-url", &h.HooksURL})
}

type setting struct {
	name  string
	value *string
}

func checkAddrs(settings ...setting) error {
	for _, s := range settings {
		if err := checkAddr(*s.value); err != nil {
			return fmt.Errorf("--%s: %w", s.name, err)
		}
	}
	return nil
}

// checkBases takes the final slash off base URLs.
func checkBases(settings ...setting) error {
	for _, s := range settings {
		base, err := CheckBase(*s.value)
		if err != nil {
			return fmt.Errorf("--%s: %w", s.name, err)
		}
		*s.value = base
	}
	return nil
}
