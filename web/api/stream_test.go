package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/keyring"
	"keyhook/web/api"
)

// An event is one of a stream.
type event struct {
	id, name, data, comment string
}

// A listener reads one stream.
type listener struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Reader
	retry    string
}

// listen opens a stream; header is Last-Event-ID.
func (s *stage) listen(base string, token keyring.IssuedToken, query, last string) *listener {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	s.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/signals/stream"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Text.Reveal())
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { response.Body.Close() })
	return &listener{t: s.t, response: response, lines: bufio.NewReader(response.Body)}
}

// next returns the next event; its error is that of the connection.
func (l *listener) next() (e event, err error) {
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			if e != (event{}) {
				return e, nil
			}
			e.comment = value
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "retry":
			l.retry = value
		}
	}
}

// signals reads n signals and returns their refs and the last one's id.
func (l *listener) signals(n int) (refs []string, last string) {
	l.t.Helper()
	for len(refs) < n {
		e, err := l.next()
		if err != nil {
			l.t.Fatalf("after %d signals: %v", len(refs), err)
		}
		if e.name != "signal" {
			continue
		}
		var got signal
		if err := json.Unmarshal([]byte(e.data), &got); err != nil || *got.Cursor != e.id {
			l.t.Fatalf("the event %+v: %v", e, err)
		}
		refs, last = append(refs, *got.SourceRef), e.id
	}
	return refs, last
}

// end reads on until the stream says why it ends.
func (l *listener) end() (why problem, err error) {
	l.t.Helper()
	for {
		e, err := l.next()
		if err != nil {
			return why, err
		}
		if e.name == "end" {
			err = json.Unmarshal([]byte(e.data), &why)
			return why, err
		}
	}
}

// TestStream: a stream begins where it is told to, goes on with what comes, and
// resumes behind what was had.
func TestStream(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.Heartbeat = 300 * time.Millisecond })
	old := s.addMany(s.home, "old ", 600) // more than it reads at once
	l := s.listen(s.server.URL, s.home.token, "", "")
	h := l.response.Header
	if h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" || h.Get("X-Accel-Buffering") != "no" {
		t.Errorf("the headers are %v", h)
	}
	refs, last := l.signals(600)
	if l.retry != "2000" || !cmp.Equal(sorted(refs), sorted(old)) {
		t.Errorf("retry %q, %d signals that were there", l.retry, len(refs))
	}
	e, err := l.next()
	if err != nil || e.comment != "still here" {
		t.Errorf("on a quiet stream there is %+v, %v; want a sign of life", e, err)
	}
	s.addMany(s.foreign, "foreign ", 20)
	fresh := s.addMany(s.home, "new ", 50)
	if refs, _ = l.signals(50); !cmp.Equal(sorted(refs), sorted(fresh)) {
		t.Errorf("of 50 new signals came %d", len(refs))
	}
	resumed, _ := s.listen(s.server.URL, s.home.token, "?after=garbage", last).signals(50)
	after, _ := s.listen(s.server.URL, s.home.token, "?after="+last, "").signals(50)
	if !cmp.Equal(resumed, refs) || !cmp.Equal(after, refs) {
		t.Error("what comes behind a place is not the same on another stream")
	}
	live := s.listen(s.server.URL, s.home.token, "?after=latest", "")
	s.addMany(s.home, "live ", 1)
	if refs, _ = live.signals(1); refs[0] != "live 0" {
		t.Errorf("behind the latest comes %v", refs)
	}
}

// TestStreamEnds: a stream says why it ends: the instance stops, or the token does.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.issue(s.home, "ends")
	l, other := s.listen(s.server.URL, token, "", ""), s.listen(s.server.URL, s.home.token, "", "")
	s.addMany(s.home, "a ", 1)
	l.signals(1)
	other.signals(1)
	waiting := make(chan answer, 1)
	go func() {
		waiting <- s.ask("GET", "/api/v1/signals?wait=20&after="+s.list("").Cursor, "Bearer "+token.Text.Reveal())
	}()
	time.Sleep(100 * time.Millisecond) // so that it waits; were it late, it would be refused all the same
	began := time.Now()
	if _, err := s.keys.DeactivateToken(t.Context(), s.home.by, token.Token.ID); err != nil {
		t.Fatal(err)
	}
	if why, err := l.end(); err != nil || why.Code != "UNAUTHORIZED" || time.Since(began) > 5*time.Second {
		t.Errorf("the stream of a token that was deactivated ends after %s with %+v, %v", time.Since(began), why, err)
	}
	if a := <-waiting; a.StatusCode != 401 {
		t.Errorf("a request that waited = %d, want 401", a.StatusCode)
	}
	s.addMany(s.home, "b ", 1)
	if refs, _ := other.signals(1); refs[0] != "b 0" {
		t.Errorf("another token's stream gets %v", refs)
	}
	s.api.Drain()
	if why, err := other.end(); err != nil || why.Code != "UNAVAILABLE" {
		t.Errorf("when the instance stops a stream ends with %+v, %v", why, err)
	}
	if _, err := other.next(); err != io.EOF {
		t.Errorf("behind its end there is %v, want the end of the answer", err)
	}
	if again := s.listen(s.server.URL, s.home.token, "", ""); again.response.StatusCode != 503 || again.response.Header.Get("Retry-After") == "" {
		t.Errorf("a stream of an instance that stops = %d", again.response.StatusCode)
	}
}

// TestBounds: a token, and an instance, have so many readers open and no more, and
// places come back.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.PerToken, c.Streams, c.Waiting = 2, 3, 1 })
	second := s.issue(s.home, "second")
	var open []*listener
	for i, tt := range []struct {
		token  keyring.IssuedToken
		status int
	}{{s.home.token, 200}, {s.home.token, 200}, {s.home.token, 429}, {second, 200}, {second, 503}} {
		l := s.listen(s.server.URL, tt.token, "", "")
		if open = append(open, l); l.response.StatusCode != tt.status {
			t.Errorf("stream %d = %d, want %d", i, l.response.StatusCode, tt.status)
		}
	}
	if a := s.get("/api/v1/signals?wait=1"); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("a request that waits beside them = %d, want 429", a.StatusCode)
	}
	if a := s.get("/api/v1/signals"); a.StatusCode != 200 {
		t.Errorf("one that does not wait = %d, want 200", a.StatusCode)
	}
	open[0].response.Body.Close()
	open[1].response.Body.Close()
	for began := time.Now(); ; {
		a := s.get("/api/v1/signals?wait=1")
		if a.StatusCode == 200 {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the places of streams that were closed don't come back")
		}
	}
}

// TestStalledReader: a reader that takes nothing is cut, its stream has no end, and
// it costs no memory to speak of.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.StallAfter = 500 * time.Millisecond })
	token := s.issue(s.home, "stalled")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/signals/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token.Text.Reveal())
	body := `"` + strings.Repeat("x", 500<<10) + `"`
	other, read := s.listen(s.server.URL, s.home.token, "", ""), make(chan int)
	go func() {
		refs, _ := other.signals(40)
		read <- len(refs)
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := range 40 {
		s.add(s.arrival(s.home, fmt.Sprint(n), "application/json", body))
	}
	if n := <-read; n != 40 {
		t.Errorf("the other reader gets %d signals", n)
	}
	time.Sleep(2 * time.Second) // longer than it may take nothing
	runtime.GC()
	if runtime.ReadMemStats(&after); after.HeapAlloc > before.HeapAlloc+32<<20 {
		t.Errorf("%d MB more are held", (after.HeapAlloc-before.HeapAlloc)>>20)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	text, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() || strings.Contains(string(text), "event: end") || strings.HasSuffix(string(text), "0\r\n\r\n") {
		t.Errorf("the stalled stream is not cut: %v, %d bytes", err, len(text))
	}
}

// bodyIn is the body of a signal's data.
func bodyIn(data string) string {
	var got signal
	_ = json.Unmarshal([]byte(data), &got) // the caller finds nothing in ""
	return string(got.Body)
}
