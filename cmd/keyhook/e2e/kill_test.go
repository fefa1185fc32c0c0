package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/pgembed"
	"keyhook/internal/postgres"
)

const (
	stormers  = 8
	killAfter = 400 * time.Millisecond
)

// A storm is eight senders that repeat each request until it is answered 200, a
// fifth of them on purpose although it was, half of those an event of another
// sender that may be on its way.
type storm struct {
	t       *testing.T
	url     string // of the endpoint
	headers map[string]string

	lock    sync.Mutex
	refs    []string
	answers map[string][]stormAnswer // that were 200, by ref
	bad     []string
	stop    chan struct{}
	running sync.WaitGroup
}

type stormAnswer struct {
	SignalID  string
	Duplicate bool
}

func newStorm(t *testing.T, url string, headers map[string]string) *storm {
	return &storm{t: t, url: url, headers: headers, answers: map[string][]stormAnswer{}, stop: make(chan struct{})}
}

func (s *storm) begin() {
	for n := range stormers {
		s.running.Go(func() { s.send(n) })
	}
}

func (s *storm) end() {
	close(s.stop)
	s.running.Wait()
}

func (s *storm) send(sender int) {
	client := &http.Client{Timeout: 5 * time.Second}
	for n := 0; ; n++ {
		ref := s.pick(fmt.Sprintf("ref-%d-%d", sender, n))
		for !s.post(client, ref) { // a request that was begun is brought to its end
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case <-s.stop:
			return
		default:
		}
	}
}

// pick returns a new ref, or one time in five one that was sent before.
func (s *storm) pick(ref string) string {
	s.lock.Lock()
	defer s.lock.Unlock()
	if n := len(s.refs); n > 0 && rand.IntN(5) == 0 {
		return s.refs[max(0, n-1-rand.IntN(stormers*2))]
	}
	s.refs = append(s.refs, ref)
	return ref
}

func (s *storm) post(client *http.Client, ref string) bool {
	request, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader(bodyOf(ref)))
	if err != nil {
		s.t.Error(err)
		return true
	}
	for name, value := range s.headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Idempotency-Key", ref)
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	var answer stormAnswer
	err = json.Unmarshal(text, &answer)
	s.lock.Lock()
	defer s.lock.Unlock()
	if err != nil || response.StatusCode != http.StatusOK {
		s.bad = append(s.bad, fmt.Sprintf("%d %s", response.StatusCode, text))
		return true
	}
	s.answers[ref] = append(s.answers[ref], answer)
	return true
}

func bodyOf(ref string) string { return `{"ref":"` + ref + `"}` }

// A storedEvent is a row of what the senders' requests left.
type storedEvent struct {
	Ref  string `db:"ref"`
	ID   string `db:"id"`
	Body []byte `db:"body"` // nil: it has none
}

// faults holds the answers against the rows: every event that was answered 200 is
// there once, under the id that was answered, with its body, and was new once at
// most.
func (s *storm) faults(rows []storedEvent) (faults []string) {
	stored := map[string][]storedEvent{}
	for _, row := range rows {
		stored[row.Ref] = append(stored[row.Ref], row)
	}
	for _, ref := range slices.Sorted(maps.Keys(s.answers)) {
		events, news := stored[ref], 0
		if len(events) != 1 {
			faults = append(faults, fmt.Sprintf("%s was answered 200 and is there %d times", ref, len(events)))
			continue
		}
		if !bytes.Equal(events[0].Body, []byte(bodyOf(ref))) {
			faults = append(faults, fmt.Sprintf("%s was answered 200 and has the body %q", ref, events[0].Body))
		}
		for _, answer := range s.answers[ref] {
			if answer.SignalID != events[0].ID {
				faults = append(faults, fmt.Sprintf("%s was answered with another id than it has", ref))
			}
			if !answer.Duplicate {
				news++
			}
		}
		if news > 1 {
			faults = append(faults, fmt.Sprintf("%s was new %d times", ref, news))
		}
	}
	return append(faults, s.bad...)
}

// rage lets the storm go on until it has got answers, so that a kill on a slow
// machine comes in the middle of something too.
func (s *storm) rage() {
	count := func() (n int) {
		s.lock.Lock()
		defer s.lock.Unlock()
		for _, answers := range s.answers {
			n += len(answers)
		}
		return n
	}
	time.Sleep(killAfter)
	for before, began := count(), time.Now(); count() < before+12 && time.Since(began) < 20*time.Second; {
		time.Sleep(20 * time.Millisecond)
	}
}

var loopbacks atomic.Int32 // that were given away

// freeAddress returns an address that the program can have again after each kill:
// on a loopback of its own, so that nobody else takes the port meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.%d.2:0", loopbacks.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestKilledUnderLoad: ten times Keyhook, its PostgreSQL or both are killed under
// load, no answer was a lie, and a program that reads meanwhile gets each signal once.
func TestKilledUnderLoad(t *testing.T) {
	dir, address := newDataDir(t), freeAddress(t)
	server := serve(t, dir, "KEYHOOK_ADDR="+address)
	key := server.newKey()
	s := newStorm(t, server.url+"/hooks/"+key["id"].(string), map[string]string{"X-API-Key": key["api_key"].(string)})
	reader := server.follow("storm", "")
	s.begin()
	for round := range 10 {
		s.rage()
		if round%3 != 0 {
			syscall.Kill(postmasterOf(t, dir), syscall.SIGKILL)
		}
		if round%3 != 1 {
			server.cmd.Process.Kill()
		}
		<-server.ended
		server = serve(t, dir, "KEYHOOK_ADDR="+address)
	}
	s.rage()
	s.end()

	url, ok := pgembed.Running(t.Context(), filepath.Join(dir, "postgres"))
	if !ok {
		t.Fatal("the private database does not run")
	}
	rows := eventsOf(t, url, `SELECT s.source_ref AS ref, s.id::text, d.body FROM signals AS s LEFT JOIN deliveries AS d ON d.id = s.id`)
	for _, fault := range s.faults(rows) {
		t.Error(fault)
	}
	reader.compare(rows)
	repeated := 0
	for _, answers := range s.answers {
		repeated += len(answers) - 1
	}
	t.Logf("10 kills, %d events answered, %d of the answers to repetitions, %d rows", len(s.answers), repeated, len(rows))
	if len(s.answers) < 100 || repeated < len(s.answers)/10 {
		t.Errorf("%d events and %d repetitions are too few to say anything", len(s.answers), repeated)
	}
	const inexact = `
		SELECT (SELECT sum(requests - not_kept) FROM delivery_totals) <> (SELECT count(*) FROM deliveries WHERE webhook_key_id IS NOT NULL)
			OR (SELECT coalesce(sum(accepted + refused), 0) FROM key_addresses)
				+ (SELECT coalesce(sum(requests), 0) FROM delivery_tallies WHERE webhook_key_id IS NOT NULL) <> (SELECT sum(requests) FROM delivery_totals)
			OR (SELECT sum(n) FROM delivery_totals, unnest(took) AS n) <> (SELECT sum(requests) FROM delivery_totals)
			OR (SELECT count(*) FROM signals) <> (SELECT count(*) FROM deliveries WHERE outcome = 'accepted')`
	if server.count("SELECT ("+strings.TrimPrefix(strings.TrimSpace(inexact), "SELECT ")+")::integer") != 0 {
		t.Error("the counts are not those of the rows")
	}
}

// newKey makes somebody, a workspace and a key, and returns what is printed of it.
func (p *program) newKey() (key map[string]any) {
	p.t.Helper()
	p.run("", "user", "create", "--email", ownerEmail, "--name", "Ada")
	p.run("", "workspace", "create", "--name", "Storm", "--owner", ownerEmail)
	text := p.run("", "key", "create", "--workspace", "storm", "--name", "Sender", "--json")
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		p.t.Fatalf("%v\n%s", err, text)
	}
	return key
}

func postmasterOf(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func eventsOf(t *testing.T, url, query string) (rows []storedEvent) {
	t.Helper()
	db, err := postgres.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqlx.NewDb(db, "postgres").Select(&rows, query); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestStormCatches: what TestKilledUnderLoad looks for is found in two designs
// that have it: writes without a transaction, and looking before inserting.
func TestStormCatches(t *testing.T) {
	database := commonPostgres(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, design := range []string{"autocommit", "look first"} {
		t.Run(design, func(t *testing.T) {
			url := newDatabase(t, database, strings.ReplaceAll(design, " ", ""))
			address := freeAddress(t)
			start := func() *exec.Cmd {
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), controlVariable+"="+design, "DATABASE_URL="+url, "KEYHOOK_ADDR="+address)
				cmd.Stderr = os.Stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				return cmd
			}
			var faults []string
			for round := 0; round < 20 && len(faults) == 0; round++ {
				cmd := start()
				s := newStorm(t, "http://"+address, nil)
				s.begin()
				s.rage()
				cmd.Process.Kill()
				cmd.Wait()
				cmd = start()
				s.rage()
				s.end()
				cmd.Process.Kill()
				cmd.Wait()
				faults = s.faults(eventsOf(t, url, `SELECT e.ref, e.id::text, b.body FROM events AS e LEFT JOIN bodies AS b ON b.id = e.id`))
				if len(s.answers) < 10 {
					t.Fatalf("%d events were answered", len(s.answers))
				}
				eventsOf(t, url, `WITH e AS (DELETE FROM events), b AS (DELETE FROM bodies) SELECT '' AS ref, '' AS id, NULL::bytea AS body`)
			}
			if len(faults) == 0 {
				t.Error("twenty rounds found nothing wrong with it")
			}
			t.Logf("found: %.200q", faults)
		})
	}
}
