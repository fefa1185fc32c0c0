package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
	"keyhook/web/api"
)

// A stage is an API on a database of its own, with two workspaces and a token of
// each.
type stage struct {
	*pgtest.Database
	t         *testing.T
	box       *seal.Box
	ingestion *postgres.DB
	appender  *inbox.Appender
	events    *inbox.Store
	keys      *keyring.Store
	api       *api.Server
	server    *httptest.Server
	validator validator.Validator

	home, foreign workspace
}

type workspace struct {
	id    uuid.UUID
	by    audit.Actor
	key   keyring.Key
	token keyring.IssuedToken
}

func newStage(t *testing.T, change ...func(*api.Config)) *stage {
	t.Helper()
	s := &stage{Database: pgtest.New(t), t: t, box: pgtest.Box(t)}
	s.appender, s.events = inbox.NewAppender(s.box), inbox.NewStore(s.Console(), s.box)
	s.ingestion, s.keys = s.Ingestion(), keyring.NewStore(s.Console(), s.box)
	s.api, s.server = s.serve(change...)
	s.home, s.foreign = s.addWorkspace("home"), s.addWorkspace("foreign")
	return s
}

// serve starts an instance, with the limits that the program's own server has.
func (s *stage) serve(change ...func(*api.Config)) (*api.Server, *httptest.Server) {
	s.t.Helper()
	config := api.Config{DocsURL: "http://docs.example"}
	for _, c := range change {
		c(&config)
	}
	db := s.Reading()
	a := api.NewServer(config, db, keyring.NewStore(db, s.box), inbox.NewStore(db, s.box), pgtest.Log(s.t))
	server := httptest.NewUnstartedServer(a)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 2*time.Second, 3*time.Second // shorter than a wait
	server.Start()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		a.Run(ctx)
		close(done)
	}()
	s.t.Cleanup(func() {
		a.Drain()
		server.Close()
		stop()
		<-done
	})
	return a, server
}

func (s *stage) addWorkspace(name string) (w workspace) {
	s.t.Helper()
	w.id = uuid.Must(uuid.NewV7())
	s.Raw().MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, $2, $2)`, w.id, name)
	w.by = audit.Actor{WorkspaceID: w.id, Kind: audit.CLI, Label: "test"}
	issued, err := s.keys.Issue(s.t.Context(), w.by, keyring.Draft{Name: "sender"}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	w.key, w.token = issued.Key, s.issue(w, "reader")
	return w
}

func (s *stage) issue(w workspace, name string) keyring.IssuedToken {
	s.t.Helper()
	token, err := s.keys.IssueToken(s.t.Context(), w.by, keyring.TokenDraft{Name: name, Scopes: keyring.Scopes()}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// arrival is an event with a body of its own.
func (s *stage) arrival(w workspace, ref, contentType, body string) inbox.Arrival {
	return inbox.Arrival{
		ID: uuid.Must(uuid.NewV7()), WorkspaceID: w.id, KeyID: w.key.ID, KeyVersion: w.key.Version, Generation: 1, Method: inbox.ByAPIKey, Status: 200,
		Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "192.0.2.1", ContentType: contentType, Headers: `{"user-agent":"test \"1\""}`,
		EventType: "order.created", Source: w.key.Source, SourceRef: ref, Body: []byte(body), BodySize: int64(len(body)),
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Began: time.Now(),
	}
}

// add stores events as ingestion does, in one transaction.
func (s *stage) add(batch ...inbox.Arrival) {
	s.t.Helper()
	if err := s.ingest(batch...); err != nil {
		s.t.Error(err)
	}
	s.settle(batch[0].WorkspaceID)
}

func (s *stage) ingest(batch ...inbox.Arrival) error {
	return s.ingestion.InTx(context.WithoutCancel(s.t.Context()), func(tx *sqlx.Tx) error {
		_, err := s.appender.Append(s.t.Context(), tx, batch)
		return err
	})
}

// settle waits until what is stored may be read: other tests write in the same
// cluster.
func (s *stage) settle(workspace uuid.UUID) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		held, err := s.events.HeldBack(context.WithoutCancel(s.t.Context()), workspace)
		if err != nil {
			s.t.Error(err)
			return
		}
		if held.Signals == 0 {
			return
		}
	}
}

// addMany adds n events, ten to a transaction, and returns their refs.
func (s *stage) addMany(w workspace, prefix string, n int) (refs []string) {
	s.t.Helper()
	var batch []inbox.Arrival
	for i := range n {
		ref := prefix + strconv.Itoa(i)
		refs = append(refs, ref)
		batch = append(batch, s.arrival(w, ref, "application/json", `{"ref":"`+ref+`"}`))
		if len(batch) == 10 || i == n-1 {
			s.add(batch...)
			batch = nil
		}
	}
	return refs
}

// An answer is a response that was read.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) json(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%s: %v\n%.300s", a.Request.URL, err, a.body)
	}
}

// get asks with the home workspace's token, and holds the answer against the API's
// own description.
func (s *stage) get(path string) answer {
	s.t.Helper()
	return s.ask(http.MethodGet, path, "Bearer "+s.home.token.Text.Reveal())
}

func (s *stage) ask(method, path, authorization string) answer {
	s.t.Helper()
	request, err := http.NewRequest(method, s.server.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{response, body}
	s.validate(a)
	return a
}

// validate holds an answer against openapi.json, as far as that describes it.
func (s *stage) validate(a answer) {
	s.t.Helper()
	if a.Request.Method != http.MethodGet || a.Request.URL.Path == "/api/v1/nothing" {
		return
	}
	if s.validator == nil {
		document, err := libopenapi.NewDocument(api.Description())
		if err != nil {
			s.t.Fatal(err)
		}
		v, errs := validator.NewValidator(document)
		if len(errs) > 0 {
			s.t.Fatal(errs)
		}
		s.validator = v
	}
	copied := *a.Response
	copied.Body = io.NopCloser(bytes.NewReader(a.body))
	validated.Add(1)
	if ok, problems := s.validator.ValidateHttpResponse(a.Request, &copied); !ok {
		for _, p := range problems {
			s.t.Errorf("%s: the answer is not as described: %s: %s", a.Request.URL, p.Message, p.Reason)
			for _, e := range p.SchemaValidationErrors {
				s.t.Errorf("  %s at %s", e.Reason, e.FieldPath)
			}
		}
	}
}

var validated atomic.Int64

// A page is a list's answer.
type page struct {
	Signals []signal `json:"signals"`
	Cursor  string   `json:"cursor"`
}

type signal struct {
	ID           string          `json:"id"`
	Cursor       *string         `json:"cursor"`
	Key          *string         `json:"key"`
	Source       string          `json:"source"`
	SourceRef    *string         `json:"sourceRef"`
	EventType    *string         `json:"eventType"`
	ContentType  string          `json:"contentType"`
	Headers      map[string]any  `json:"headers"`
	Body         json.RawMessage `json:"body"`
	BodyEncoding string          `json:"bodyEncoding"`
	SHA256       string          `json:"sha256"`
	ReceivedAt   time.Time       `json:"receivedAt"`
	Auth         struct {
		Method     string `json:"method"`
		Generation int    `json:"generation"`
	} `json:"auth"`
}

func (s *stage) list(query string) (p page) {
	s.t.Helper()
	a := s.get("/api/v1/signals?" + query)
	if a.StatusCode != 200 {
		s.t.Fatalf("%s = %d %s", query, a.StatusCode, a.body)
	}
	a.json(s.t, &p)
	if p.Cursor == "" || p.Cursor != a.Header.Get("Keyhook-Cursor") {
		s.t.Errorf("%s ends with the cursor %q, its header says %q", query, p.Cursor, a.Header.Get("Keyhook-Cursor"))
	}
	return p
}

// all follows the cursor from one to the end, and returns the refs.
func (s *stage) all(cursor string, limit int) (refs []string, end string) {
	s.t.Helper()
	for {
		p := s.list("after=" + cursor + "&limit=" + strconv.Itoa(limit))
		if len(p.Signals) == 0 {
			return refs, p.Cursor
		}
		for _, signal := range p.Signals {
			refs = append(refs, *signal.SourceRef)
		}
		cursor = p.Cursor
	}
}

// A problem is an error's answer.
type problem struct {
	Type, Title, Detail, Code, RequestID, ServerTime, OldestCursor string
	Status                                                         int
}

func (s *stage) problem(a answer) (p problem) {
	s.t.Helper()
	a.json(s.t, &p)
	if a.Header.Get("Content-Type") != "application/problem+json" || p.Status != a.StatusCode || p.RequestID != a.Header.Get("X-Request-ID") || p.Title == "" || p.Detail == "" {
		s.t.Errorf("%s is not a whole problem: %d %s %s", a.Request.URL, a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	return p
}
