package ingest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhook/internal/keyring"
)

// TestFloodOfRefused: of many refused requests some leave a row, all are counted,
// and a sender in between is served.
func TestFloodOfRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	var flood sync.WaitGroup
	for n := range 8 {
		flood.Go(func() {
			for range 40 {
				if n%2 == 0 { // a key can be told
					s.post(hook(key), "x", "X-API-Key", keyring.NewAPIKey().Reveal())
				} else {
					s.post(signals, "{}", "X-API-Key", keyring.NewAPIKey().Reveal())
				}
			}
		})
	}
	for range 20 {
		if got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()); got.status != 200 {
			t.Errorf("the sender beside the flood = %d %s", got.status, got.text)
		}
	}
	flood.Wait()
	ofKey := s.count(`SELECT count(*) FROM deliveries WHERE outcome = 'refused' AND webhook_key_id IS NOT NULL`)
	strays := s.count(`SELECT count(*) FROM deliveries WHERE webhook_key_id IS NULL`)
	if ofKey < 120 || ofKey > 160 || strays < 60 || strays > 120 { // the minute may turn meanwhile
		t.Errorf("%d and %d rows, want 120 and 60 of 160 each", ofKey, strays)
	}
	s.mustRollUp()
	for query, want := range map[string]int{
		`SELECT sum(requests) FROM delivery_counts WHERE outcome = 'refused'`: 160,
		`SELECT sum(not_kept) FROM delivery_counts`:                           160 - ofKey,
		`SELECT sum(requests) FROM stray_counts`:                              160,
		`SELECT sum(not_kept) FROM stray_counts`:                              160 - strays,
		`SELECT sum(refused) FROM key_addresses`:                              160,
	} {
		if n := s.count(query); n != want {
			t.Errorf("%s = %d, want %d", query, n, want)
		}
	}
}

// TestBodiesInFlight: stalled uploads take no more memory than they may; who comes
// beyond is told to come back, and is served when they are gone.
func TestBodiesInFlight(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	const room = 64 << 20 / maxBody
	release := make(chan bool)
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo()
	var uploads sync.WaitGroup
	stall := func() {
		uploads.Go(func() {
			reader, writer := io.Pipe()
			go func() {
				body := bytes.Repeat([]byte("x"), maxBody)
				writer.Write(body[:maxBody/2+1]) // so far it takes the room of the whole
				<-release
				writer.Write(body[maxBody/2+1:])
				writer.Close()
			}()
			request, err := http.NewRequest(http.MethodPost, s.url+"/hooks/x", reader)
			if err != nil {
				t.Error(err)
				return
			}
			request.ContentLength = maxBody
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		})
	}
	send := func() reply { return s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()) }
	until := func(status int) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for got := send(); got.status != status; got = send() {
			if time.Now().After(deadline) {
				t.Fatalf("= %d %s, want %d", got.status, got.text, status)
			}
		}
	}
	for range room {
		stall()
	}
	deadline := time.Now().Add(20 * time.Second)
	for send().status != 503 {
		if time.Now().After(deadline) {
			t.Fatal("there is room for ever")
		}
		stall() // one of them may have come while there was no room
		time.Sleep(10 * time.Millisecond)
	}
	if got := send(); got.header.Get("Retry-After") == "" {
		t.Errorf("over the budget = %d without Retry-After", got.status)
	}
	letGo()
	uploads.Wait()
	until(200)
}

// TestAnnouncedBodies: who announces bodies and sends nothing takes no room from others.
func TestAnnouncedBodies(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	for range 64<<20/maxBody + 1 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /hooks/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", maxBody)
	}
	for range 20 { // they come in meanwhile
		if got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()); got.status != 200 {
			t.Fatalf("beside bodies that don't come = %d %s", got.status, got.text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestParsersBusy: while others parse large bodies for too long, the answer comes in
// time all the same; small bodies, and those without credentials, don't wait for them.
func TestParsersBusy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	large := `{"verbatim":"` + strings.Repeat("x", 100<<10) + `"}`
	free := s.handler.OccupyParsers()
	for _, send := range []struct {
		body, key string
		want      int
		within    time.Duration
	}{{`{"verbatim":"x"}`, key.APIKey.Reveal(), 200, time.Second}, {large, "wrong", 401, time.Second}, {large, key.APIKey.Reveal(), 503, 2500 * time.Millisecond}} {
		began := time.Now()
		got := s.post(signals, send.body, "X-API-Key", send.key)
		if took := time.Since(began); got.status != send.want || took > send.within || got.status == 503 && got.header.Get("Retry-After") == "" {
			t.Errorf("%d bytes = %d after %s, want %d within %s", len(send.body), got.status, took, send.want, send.within)
		}
	}
	free()
	if got := s.post(signals, large, "X-API-Key", key.APIKey.Reveal()); got.status != 200 {
		t.Errorf("with parsers free = %d %s", got.status, got.text)
	}
}

// TestSlowBody: a sender whose body takes longer than the server waits is told so.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	server := httptest.NewUnstartedServer(s.handler)
	server.Config.ReadTimeout = 300 * time.Millisecond
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: 10\r\n\r\nhalf", hook(key), key.APIKey.Reveal())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var problem struct{ Code, Detail string }
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || response.StatusCode != 400 || !strings.Contains(problem.Detail, "too long") {
		t.Errorf("a body that does not come = %d %+v, %v", response.StatusCode, problem, err)
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE reason = 'body_unreadable'`); n != 1 {
		t.Errorf("%d rows tell of it, want 1", n)
	}
}

// TestHeldWorkspace: while one workspace is being deleted, the senders of another
// are served as ever, and its own are told to come back or refused.
func TestHeldWorkspace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	held := s.issue(keyring.Draft{Name: "held"})
	other := newStageBeside(s)
	other.workspace = other.addWorkspace()
	other.by.WorkspaceID = other.workspace
	free := other.issue(keyring.Draft{Name: "free"})
	for _, key := range []keyring.Issued{held, free} {
		if got := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()); got.status != 200 {
			t.Fatalf("at first = %d %s", got.status, got.text)
		}
	}
	tx := s.Raw().MustBegin()
	defer tx.Rollback()
	tx.MustExec(`DELETE FROM workspaces WHERE id = $1`, s.workspace)
	var senders sync.WaitGroup
	for range 6 {
		senders.Go(func() {
			for range 5 {
				if got := s.post(hook(held), "x", "X-API-Key", held.APIKey.Reveal()); got.status != 503 {
					t.Errorf("a sender of the held workspace = %d %s, want 503", got.status, got.text)
				}
			}
		})
		senders.Go(func() {
			for range 5 {
				began := time.Now()
				got := s.post(hook(free), "x", "X-API-Key", free.APIKey.Reveal())
				if took := time.Since(began); got.status != 200 || took > time.Second {
					t.Errorf("a sender beside the held workspace = %d %s after %s", got.status, got.text, took)
				}
			}
		})
	}
	senders.Wait()
}
