package ingest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
	"keyhook/internal/signature"
)

const maxBody = 128 << 10

// A stage is ingestion as it is served, on a database of its own.
type stage struct {
	*pgtest.Database
	t         *testing.T
	url       string
	box       *seal.Box
	keys      *keyring.Store // the console's
	events    *inbox.Store
	rollup    *ingest.Rollup
	handler   *ingest.Handler
	workspace uuid.UUID
	by        audit.Actor
}

func newStage(t *testing.T) *stage {
	t.Helper()
	db := pgtest.New(t)
	return newStageOn(t, db, db.Ingestion())
}

func newStageOn(t *testing.T, db *pgtest.Database, pool *postgres.DB) *stage {
	t.Helper()
	s := &stage{Database: db, t: t, box: pgtest.Box(t)}
	s.serve(pool)
	s.workspace = s.addWorkspace()
	s.by = audit.Actor{WorkspaceID: s.workspace, Kind: audit.CLI, Label: "test"}
	return s
}

// newStageBeside returns another instance on the same database.
func newStageBeside(one *stage) *stage {
	one.t.Helper()
	s := &stage{Database: one.Database, t: one.t, box: one.box, workspace: one.workspace, by: one.by}
	s.serve(one.Ingestion())
	return s
}

func (s *stage) serve(pool *postgres.DB) {
	t := s.t
	t.Helper()
	console := s.Console()
	s.keys, s.events = keyring.NewStore(console, s.box), inbox.NewStore(console, s.box)
	log := pgtest.Log(t)
	s.rollup = ingest.NewRollup(pool, log)
	metrics := ingest.NewMetrics(prometheus.NewRegistry())
	writer := ingest.NewWriter(pool, s.box, metrics, log)
	config := ingest.Config{
		DocsURL: "https://keyhook.example.com", MaxBody: maxBody,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	s.handler = ingest.NewHandler(config, keyring.NewCache(keyring.NewStore(pool, s.box)), writer, metrics, log)
	working, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { writer.Run(working) })
	t.Cleanup(func() { stop(); running.Wait() })
	server := httptest.NewServer(ingest.Prefixed(s.handler, http.NotFoundHandler()))
	t.Cleanup(server.Close)
	s.url = server.URL
}

func (s *stage) mustRollUp() {
	s.t.Helper()
	if err := s.rollup.Once(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) addWorkspace() uuid.UUID {
	s.t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'Acme', $2)`, id, id.String())
	return id
}

func (s *stage) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.Raw().Exec(query, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.Raw().Get(&n, query, args...); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) issue(draft keyring.Draft) keyring.Issued {
	s.t.Helper()
	issued, err := s.keys.Issue(s.t.Context(), s.by, draft, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return issued
}

// A reply is an answer of the server, read to its end.
type reply struct {
	status int
	header http.Header
	text   string
	body   struct {
		Type, Title, Detail, RequestID, ServerTime, Error, Code string
		Status                                                  int
		Hints                                                   []string
		Success, Duplicate                                      bool
		Message, SignalID, ReceivedAt                           string
	}
}

// send makes a request with headers given as name, value, name, value, …
func (s *stage) send(method, path, body string, headers ...string) reply {
	s.t.Helper()
	return s.sendFrom(strings.NewReader(body), method, path, headers...)
}

func (s *stage) sendFrom(body io.Reader, method, path string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	client := http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
		return reply{}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	got := reply{status: response.StatusCode, header: response.Header, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &got.body); err != nil {
			s.t.Errorf("%s %s answered %q: %v", method, path, text, err)
		}
	}
	return got
}

func (s *stage) post(path, body string, headers ...string) reply {
	s.t.Helper()
	return s.send(http.MethodPost, path, body, headers...)
}

func sign(t *testing.T, secret, body string) string {
	t.Helper()
	headers, err := signature.Sign(signature.Generic, secret, signature.Event{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return headers.Get("X-Webhook-Signature")
}

func hook(key keyring.Issued) string { return "/hooks/" + key.Key.ID.String() }

const signals = "/api/webhooks/signals"
