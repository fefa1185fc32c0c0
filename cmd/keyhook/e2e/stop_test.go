package e2e_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestStopsWithoutCuttingAnybodyOff sends over connections that are kept while
// serve is told to stop: /readyz says so, and each webhook is accepted until
// nobody listens any more.
func TestStopsWithoutCuttingAnybodyOff(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t), "KEYHOOK_DRAIN_DELAY=3s")
	s := newSenders(t, server)
	for range 8 {
		s.running.Go(s.send)
	}
	waitUntil(t, "some traffic", func() bool { return s.accepted() > 100 })
	server.cmd.Process.Signal(syscall.SIGTERM)
	waitUntil(t, "/readyz says 503", func() bool {
		response, err := http.Get(server.url + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == 503
	})
	before := s.accepted()
	waitUntil(t, "webhooks are accepted after that", func() bool { return s.accepted() > before+100 })
	<-server.ended
	s.running.Wait()
	if code := server.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("serve ended with code %d:\n%s", code, server.log())
	}
	if s.parted == 0 {
		t.Error("no answer ended its connection while draining")
	}
}

// TestInterruptDoesNotWait: who presses Control-C does not wait for senders to
// turn elsewhere.
func TestInterruptDoesNotWait(t *testing.T) {
	t.Parallel()
	server := serve(t, migratedDataDir(t), "KEYHOOK_DRAIN_DELAY=2m")
	server.cmd.Process.Signal(os.Interrupt)
	select {
	case <-server.ended:
	case <-time.After(20 * time.Second):
		server.cmd.Process.Kill()
		t.Error("serve goes on after an interrupt")
	}
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// senders send to one key over connections that they keep.
type senders struct {
	t           *testing.T
	url, apiKey string
	client      *http.Client
	running     sync.WaitGroup

	lock       sync.Mutex
	ok, parted int // answers; those that ended their connection
}

func newSenders(t *testing.T, server *program) *senders {
	t.Helper()
	server.run("", "user", "create", "--email", ownerEmail, "--name", "Ada")
	server.run("", "workspace", "create", "--name", "Stop", "--owner", ownerEmail)
	var key struct {
		HookURL string `json:"hook_url"`
		APIKey  string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(server.run("", "key", "create", "--workspace", "stop", "--name", "S", "--json")), &key); err != nil {
		t.Fatal(err)
	}
	return &senders{t: t, url: key.HookURL, apiKey: key.APIKey, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
}

func (s *senders) accepted() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.ok
}

// send sends until nobody listens. A request that fails while somebody does was
// cut off.
func (s *senders) send() {
	for {
		request, _ := http.NewRequest(http.MethodPost, s.url, strings.NewReader("{}"))
		request.Header.Set("X-API-Key", s.apiKey)
		response, err := s.client.Do(request)
		if err != nil {
			if conn, dialErr := net.Dial("tcp", request.URL.Host); dialErr == nil {
				conn.Close()
				s.t.Errorf("a sender was cut off: %v", err)
			}
			return
		}
		response.Body.Close()
		if response.StatusCode != 200 {
			s.t.Errorf("a sender heard %d", response.StatusCode)
			return
		}
		s.lock.Lock()
		s.ok++
		if response.Close {
			s.parted++
		}
		s.lock.Unlock()
	}
}
