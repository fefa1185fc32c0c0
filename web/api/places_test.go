package api_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSlowReadersOfAnother: readers of one workspace that take nothing off their
// answers keep that workspace's places, and none of another's.
func TestSlowReadersOfAnother(t *testing.T) { // not parallel: another test measures what is held
	s := newStage(t)
	s.addMany(s.home, "a", 1)
	for i := range 4 {
		s.add(s.arrival(s.foreign, fmt.Sprint("large ", i), "text/plain", strings.Repeat("x", 1000<<10)))
	}
	address := strings.TrimPrefix(s.server.URL, "http://")
	for range 48 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(2048); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /api/v1/signals?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", s.foreign.token.Text.Reveal())
	}
	foreign := func() int {
		return s.ask("GET", "/api/v1/signals?limit=1&after=latest", "Bearer "+s.foreign.token.Text.Reveal()).StatusCode
	}
	for began := time.Now(); foreign() != 503; {
		if time.Since(began) > 20*time.Second {
			t.Fatal("slow readers keep no places: nothing is shown")
		}
	}
	began := time.Now()
	if a := s.get("/api/v1/signals?limit=1"); a.StatusCode != 200 || time.Since(began) > 2*time.Second {
		t.Errorf("beside slow readers of another workspace = %d after %s", a.StatusCode, time.Since(began))
	}
}
