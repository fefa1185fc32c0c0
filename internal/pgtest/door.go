package pgtest

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
)

// A Door stands between pools and their server. While it is shut there is no
// server, and what was on its way is lost.
type Door struct {
	server, client string // the sockets

	lock     sync.Mutex
	listener net.Listener
	shut     bool
	word     []byte
	open     map[net.Conn]bool
}

// Behind returns the same database as seen through a door, which is open.
func (d *Database) Behind() (*Database, *Door) {
	d.t.Helper()
	host := ""
	for field := range strings.FieldsSeq(d.URL) {
		if h, ok := strings.CutPrefix(field, "host="); ok {
			host = h
		}
	}
	dir := d.t.TempDir()
	const name = ".s.PGSQL.5432"
	door := &Door{server: filepath.Join(host, name), client: filepath.Join(dir, name), open: map[net.Conn]bool{}}
	if err := door.Open(); err != nil {
		d.t.Fatalf("pgtest: %v", err)
	}
	d.t.Cleanup(door.Shut)
	return &Database{URL: strings.Replace(d.URL, "host="+host, "host="+dir, 1), t: d.t}, door
}

// Reopen lets everybody through again, whether it shut or not.
func (o *Door) Reopen() error {
	o.Shut()
	return o.Open()
}

// Open lets everybody through.
func (o *Door) Open() error {
	listener, err := net.Listen("unix", o.client)
	if err != nil {
		return err
	}
	o.lock.Lock()
	o.listener, o.shut, o.word = listener, false, nil
	o.lock.Unlock()
	go o.serve(listener)
	return nil
}

// ShutAt shuts the door as soon as somebody sends a statement with a word in it.
func (o *Door) ShutAt(word string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.word = []byte(word)
}

// Shut ends every connection and takes no more.
func (o *Door) Shut() {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.shut = true
	o.listener.Close()
	for conn := range o.open {
		conn.Close()
	}
	clear(o.open)
}

func (o *Door) serve(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", o.server)
		if err != nil {
			client.Close()
			continue
		}
		o.lock.Lock()
		o.open[client], o.open[server] = true, true
		if o.shut { // meanwhile
			client.Close()
			server.Close()
		}
		o.lock.Unlock()
		go o.pass(guard{o, server}, client, server)
		go o.pass(client, server, client)
	}
}

func (o *Door) pass(to io.Writer, from, other net.Conn) {
	_, _ = io.Copy(to, from)
	from.Close()
	other.Close() // so that the other direction ends too
	o.lock.Lock()
	defer o.lock.Unlock()
	delete(o.open, from)
}

// A guard passes on what clients say, up to the word at which the door shuts.
type guard struct {
	door   *Door
	server net.Conn
}

func (g guard) Write(text []byte) (int, error) {
	g.door.lock.Lock()
	word := g.door.word
	g.door.lock.Unlock()
	if word != nil && bytes.Contains(text, word) {
		g.door.Shut()
		return 0, net.ErrClosed
	}
	return g.server.Write(text)
}
