package web_test

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/web"
)

// A tail is an open stream of deliveries, read line by line.
type tail struct {
	t     *testing.T
	lines chan string
}

func (c *client) tail(query string) *tail {
	c.stage.t.Helper()
	response, err := c.Get(c.stage.server.URL + "/w/" + c.stage.home.slug + "/deliveries/tail" + query)
	if err != nil {
		c.stage.t.Fatal(err)
	}
	c.stage.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		c.stage.t.Fatalf("a tail = %d, %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	l := &tail{c.stage.t, make(chan string, 10_000)}
	go func() {
		defer close(l.lines)
		for scan := bufio.NewScanner(response.Body); scan.Scan(); {
			l.lines <- scan.Text()
		}
	}()
	return l
}

// until reads up to a line that has text in it and returns all that was read.
func (l *tail) until(text string) string {
	l.t.Helper()
	var read strings.Builder
	late := time.After(20 * time.Second)
	for {
		select {
		case line, open := <-l.lines:
			read.WriteString(line + "\n")
			if strings.Contains(line, text) {
				return read.String()
			}
			if !open {
				l.t.Fatalf("the tail ended before %q:\n%s", text, read.String())
			}
		case <-late:
			l.t.Fatalf("the tail does not say %q:\n%s", text, read.String())
		}
	}
}

func (s *stage) runs() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.web.Run(ctx) })
	s.t.Cleanup(func() { stop(); running.Wait() })
}

// record stores a refused request that began some time ago, as one does that is
// recorded late.
func (s *stage) record(ago time.Duration, address string) string {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7())
	ms := time.Now().Add(-ago).UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	s.Raw().MustExec(`INSERT INTO deliveries (id, workspace_id, webhook_key_id, auth_method, outcome, reason, status, endpoint, address, received_at)
		VALUES ($1, $2, $3, 'none', 'refused', 'signature_wrong', 401, '/hooks', $4, now())`, id, s.home.id, s.home.key.ID, address)
	return id.String()
}

// TestTail: what comes is sent once to those whose filter means it, also what is
// recorded late, and nothing of another workspace.
func TestTail(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.runs()
	c := s.signIn(s.home.owner)
	old := s.record(time.Hour, "192.0.2.1")
	shown := s.record(time.Second, "192.0.2.1")
	all, refused := c.tail("?after="+shown), c.tail("?outcome=refused&address=192.0.2.7")
	accepted := s.arrive(s.home, "order.paid", "application/json", `{}`).String()
	s.arrive(s.foreign, "order.theirs", "application/json", `{}`)
	text := all.until(accepted)
	late := s.record(15*time.Second, "192.0.2.7")
	text += all.until("delivery-" + late)
	text += refused.until("delivery-" + late)
	last := s.record(0, "192.0.2.7")
	text += all.until("delivery-" + last)
	if n := strings.Count(text, `id="delivery-`+accepted); n != 1 {
		t.Errorf("a delivery came %d times, want once", n)
	}
	if strings.Contains(text, old) || strings.Contains(text, "order.theirs") {
		t.Errorf("the tail holds what is old or another workspace's:\n%s", text)
	}
	if text = refused.until("delivery-" + last); strings.Contains(text, accepted) || strings.Contains(text, late) {
		t.Errorf("the filtered tail holds what is not meant, or what it had:\n%s", text)
	}
	// htmx would take away what it must not obey, and say so.
	if found := regexp.MustCompile(`hx-[a-z]+|nonce|<script|style=|on[a-z]+=`).FindString(text); found != "" {
		t.Errorf("rows of a tail hold %q:\n%s", found, text)
	}
}

// TestTailEnds with the session, with the membership, and with the server.
func TestTailEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *web.Config) { c.TailCheck = 50 * time.Millisecond })
	s.runs()
	one, two, three := s.join("member"), s.join("auditor"), s.join("admin")
	tails := []*tail{s.signIn(one).tail(""), s.signIn(two).tail(""), s.signIn(three).tail("")}
	s.Raw().MustExec(`DELETE FROM sessions WHERE user_id = $1`, one)
	tails[0].until("event: end")
	s.Raw().MustExec(`DELETE FROM memberships WHERE user_id = $1`, two)
	tails[1].until("event: end")
	s.web.Drain()
	for line := range tails[2].lines {
		if strings.Contains(line, "end") {
			t.Errorf("a server that stops says %q, and the page would not connect again", line)
		}
	}
	if got := s.signIn(three).get("/w/" + s.home.slug + "/deliveries/tail"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a tail of a server that stops = %d, want 503", got.StatusCode)
	}
}

// TestTailWithoutScript: the page asks for itself again, which keeps no session alive.
func TestTailWithoutScript(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/deliveries"
	s.Raw().MustExec(`UPDATE sessions SET last_seen_at = now() - interval '10 minutes'`)
	if got := c.get(path + "?tail=1&outcome=accepted"); got.Header.Get("Refresh") != "5" || !strings.Contains(got.body, `href="`+path+`?outcome=accepted"`) {
		t.Errorf("the live page = %d, Refresh %q, want 5 and a way back", got.StatusCode, got.Header.Get("Refresh"))
	}
	var seen bool
	if err := s.Raw().Get(&seen, `SELECT bool_or(last_seen_at > now() - interval '9 minutes') FROM sessions`); err != nil || seen {
		t.Errorf("a page that asks for itself keeps the session alive: %v, %v", seen, err)
	}
	if got := c.get(path); got.Header.Get("Refresh") != "" {
		t.Errorf("the page = Refresh %q, want none", got.Header.Get("Refresh"))
	}
}

// TestSlowTail: a page that takes nothing holds up nobody, and is told how much it
// missed once it does.
func TestSlowTail(t *testing.T) {
	t.Parallel()
	queued, skipped := web.OverfillTail(20)
	if queued != 8 || skipped != 12*3 {
		t.Errorf("of 20 batches %d wait and %d rows were left out, want 8 and 36", queued, skipped)
	}
}
