package ingest_test

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// A relay stands between a pool and its server and can swallow what passes, or
// close the connection once the client has sent a word after another.
type relay struct {
	net.Listener
	server string
	mute   atomic.Bool
	cut    atomic.Pointer[[2]string]
}

// newRelay returns a relay to the server at url, and the URL that leads through it.
func newRelay(t *testing.T, url string) (*relay, string) {
	t.Helper()
	host := ""
	for field := range strings.FieldsSeq(url) {
		if h, ok := strings.CutPrefix(field, "host="); ok {
			host = h
		}
	}
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	r := &relay{Listener: listener, server: filepath.Join(host, ".s.PGSQL.5432")}
	go r.serve()
	return r, strings.Replace(url, "host="+host, "host="+dir, 1)
}

func (r *relay) serve() {
	for {
		client, err := r.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", r.server)
		if err != nil {
			client.Close()
			continue
		}
		deaf := new(atomic.Bool)
		go r.listen(server, client, deaf)
		go r.answer(client, server, deaf)
	}
}

// listen passes on what the client says. After the last word the client hears
// nothing any more, and then loses the connection.
func (r *relay) listen(server, client net.Conn, deaf *atomic.Bool) {
	defer server.Close()
	defer client.Close()
	buffer := make([]byte, 64<<10)
	armed := false
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if r.mute.Load() {
			continue
		}
		if words := r.cut.Load(); words != nil {
			armed = armed || bytes.Contains(buffer[:n], []byte(words[0]))
			deaf.Store(armed && bytes.Contains(buffer[:n], []byte(words[1])))
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if deaf.Load() {
			time.Sleep(50 * time.Millisecond) // let the server act on it
			return
		}
	}
}

func (r *relay) answer(client, server net.Conn, deaf *atomic.Bool) {
	defer server.Close()
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if r.mute.Load() || deaf.Load() {
			continue
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func newRelayedStage(t *testing.T) (*stage, *relay) {
	t.Helper()
	db := pgtest.New(t)
	r, url := newRelay(t, db.URL)
	pool, err := postgres.Open(t.Context(), url, postgres.Ingestion)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return newStageOn(t, db, pool), r
}
