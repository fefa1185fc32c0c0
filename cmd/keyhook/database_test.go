package main

import (
	"strings"
	"testing"
)

// TestUsable: an older server and a standby can't be had for a test; what they say
// of themselves can.
func TestUsable(t *testing.T) {
	t.Parallel()
	good := postgresServer{number: 150000, version: "15.0", fsync: "on", pages: "on"}
	if err := good.usable(); err != nil {
		t.Error(err)
	}
	for says, change := range map[string]func(s *postgresServer){
		"PostgreSQL 14.9":      func(s *postgresServer) { s.number, s.version = 140009, "14.9" },
		"primary":              func(s *postgresServer) { s.standby = true },
		"fsync=off":            func(s *postgresServer) { s.fsync = "off" },
		"full_page_writes=off": func(s *postgresServer) { s.pages = "off" },
	} {
		bad := good
		change(&bad)
		if err := bad.usable(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v = %v, want one line that says %s", bad, err, says)
		}
	}
}
