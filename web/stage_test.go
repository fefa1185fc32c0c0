package web_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
	"keyhook/web"
)

// A stage is a console on a database of its own, with two workspaces.
type stage struct {
	*pgtest.Database
	t        *testing.T
	web      *web.Server
	server   *httptest.Server
	accounts *account.Store
	keys     *keyring.Store
	events   *inbox.Store
	evidence *evidence.Store
	trail    *audit.Store
	ledger   audit.Ledger

	ingestion *postgres.DB
	box       *seal.Box
	watched   func() map[string]string

	home, foreign workspace
	tokenText     string // of the home workspace

	raw *sqlx.DB // in the place of the database's own
}

func (s *stage) Raw() *sqlx.DB {
	if s.raw != nil {
		return s.raw
	}
	return s.Database.Raw()
}

// A workspace has a key and an owner.
type workspace struct {
	id    uuid.UUID
	slug  string
	owner uuid.UUID
	key   keyring.Key
	token keyring.Token
	at    uuid.UUID // a signal
	batch uuid.UUID // of its key, to be deactivated

	review     uuid.UUID // of today
	member     uuid.UUID // somebody in it, beside the owner
	invitation uuid.UUID
	spare      uuid.UUID // somebody else, where a test needs one
}

func newStage(t *testing.T, change ...func(*web.Config)) *stage {
	t.Helper()
	return newStageOn(t, pgtest.New(t), change...)
}

func newStageOn(t *testing.T, db *pgtest.Database, change ...func(*web.Config)) *stage {
	t.Helper()
	s := &stage{Database: db, t: t}
	box, log, console := pgtest.Box(t), pgtest.Log(t), s.Console()
	s.box, s.ingestion = box, s.Ingestion()
	s.accounts, s.keys = account.NewStore(console, box, log), keyring.NewStore(console, box)
	config := web.Config{
		PublicURL: "http://127.0.0.1", HooksURL: "http://hooks.example", MaxBody: "1 MiB",
		ClientAddr: func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
	}
	s.trail, s.ledger = audit.NewStore(console), audit.Ledger{Path: filepath.Join(t.TempDir(), "checkpoints.ndjson")}
	signer, err := audit.OpenSigner(filepath.Join(t.TempDir(), "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	config.Evidence = s.signing(signer)
	s.events = inbox.NewStore(console, box)
	s.evidence = evidence.NewStore(console, s.trail, s.events, signer)
	for _, c := range change {
		c(&config)
	}
	serving := s.Serving()
	events, trail := inbox.NewStore(serving, box), audit.NewStore(serving)
	s.web = web.NewServer(config, account.NewStore(serving, box, log), keyring.NewStore(serving, box), events, trail, evidence.NewStore(serving, trail, events, signer), log)
	s.server = httptest.NewServer(s.web)
	t.Cleanup(s.server.Close)
	s.home, s.foreign = s.newWorkspace("Home"), s.newWorkspace("Foreign")
	return s
}

// signing signs as serve does, with a key of the test's own.
func (s *stage) signing(signer *audit.Signer) web.Evidence {
	s.t.Helper()
	public, err := signer.PublicPEM()
	if err != nil {
		s.t.Fatal(err)
	}
	return web.Evidence{KeyID: signer.KeyID(), PublicKey: string(public), Sign: func(ctx context.Context) error {
		if _, _, _, err := s.trail.Sign(ctx, signer, 0); err != nil {
			return err
		}
		return s.ledger.CatchUp(ctx, s.trail)
	}}
}

// newFurnishedStage returns a stage whose workspaces have a review, a member beside
// the owner, and an invitation too.
func newFurnishedStage(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	for _, w := range []*workspace{&s.home, &s.foreign} {
		s.furnish(w)
	}
	return s
}

func (s *stage) furnish(w *workspace) {
	s.t.Helper()
	by := audit.Actor{WorkspaceID: w.id, Kind: audit.User, UserID: w.owner, Label: w.slug, Role: "owner"}
	w.review = uuid.Must(uuid.NewV7())
	span, err := evidence.ParseSpan(time.Now().UTC().Format(time.DateOnly), time.Now())
	if err == nil {
		err = s.evidence.Make(s.t.Context(), by, w.review, span)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	w.member = s.newUser(w.slug + " member")
	s.Raw().MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'member')`, w.id, w.member)
	invited, err := s.accounts.Invite(s.t.Context(), by, w.slug+"@example.org", account.RoleMember)
	if err != nil {
		s.t.Fatal(err)
	}
	w.invitation = invited[0].ID
}

func (s *stage) newWorkspace(name string) workspace {
	s.t.Helper()
	owner := s.newUser(name + " owner")
	w, err := s.accounts.CreateWorkspace(s.t.Context(), audit.Actor{Kind: audit.CLI}, name, owner)
	if err != nil {
		s.t.Fatal(err)
	}
	by := audit.Actor{WorkspaceID: w.ID, Kind: audit.User, UserID: owner, Label: name, Role: "owner"}
	issued, err := s.keys.Issue(s.t.Context(), by, keyring.Draft{Name: name + " key"}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := s.keys.IssueToken(s.t.Context(), by, keyring.TokenDraft{Name: name + " token", Scopes: keyring.Scopes()}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	if s.tokenText == "" {
		s.tokenText = token.Text.Reveal()
	}
	made := workspace{id: w.ID, slug: w.Slug, owner: owner, key: issued.Key, token: token.Token}
	if made.batch, err = s.keys.Choose(s.t.Context(), by, keyring.BatchDeactivate, keyring.Filter{}); err != nil {
		s.t.Fatal(err)
	}
	made.at = s.arrive(made, "order.created", "application/json", `{"id":1}`)
	return made
}

// arrive stores an event as ingestion does, and returns the signal's id.
func (s *stage) arrive(w workspace, event, contentType, body string) uuid.UUID {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7())
	arrival := inbox.Arrival{
		ID: id, WorkspaceID: w.id, KeyID: w.key.ID, KeyVersion: w.key.Version, Generation: 1, Method: inbox.ByAPIKey, Status: 200,
		Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "192.0.2.1", ContentType: contentType, Headers: `{"user-agent":"test"}`,
		EventType: event, Source: w.key.Source, Body: []byte(body), BodySize: int64(len(body)),
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Began: time.Now(),
	}
	err := s.ingestion.InTx(context.Background(), func(tx *sqlx.Tx) error {
		_, err := inbox.NewAppender(s.box).Append(context.Background(), tx, []inbox.Arrival{arrival})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *stage) newUser(name string) uuid.UUID {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7())
	s.Raw().MustExec(`INSERT INTO users (id, email, name) VALUES ($1, $2, $3)`, id, id.String()+"@example.com", name)
	return id
}

// join makes somebody part of the home workspace.
func (s *stage) join(role string) uuid.UUID {
	s.t.Helper()
	id := s.newUser(role)
	s.Raw().MustExec(`INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)`, s.home.id, id, role)
	return id
}

// signIn returns a browser in which a user is signed in; hashing a password each
// time would take the most of the tests' time.
func (s *stage) signIn(user uuid.UUID) *client {
	s.t.Helper()
	c := s.client()
	at, _ := url.Parse(s.server.URL)
	c.Jar.SetCookies(at, []*http.Cookie{{Name: "kh_s", Value: s.sessionOf(user)}})
	return c
}

// sessionOf begins a session, and returns what its cookie holds.
func (s *stage) sessionOf(user uuid.UUID) string {
	s.t.Helper()
	token := uuid.NewString()
	sum := sha256.Sum256([]byte(token))
	s.Raw().MustExec(`INSERT INTO sessions (token_hash, user_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')`, sum[:], user)
	return token
}

// rows is what a refused request must leave as it was, but for some tables.
func (s *stage) rows(but ...string) map[string]string {
	s.t.Helper()
	if s.watched == nil {
		s.watched = s.Watch()
	}
	rows := s.watched()
	for _, table := range but {
		delete(rows, table)
	}
	return rows
}

// A client is a browser that follows no redirect.
type client struct {
	*http.Client
	stage *stage
}

func (s *stage) client() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &client{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, s}
}

// An answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

func (c *client) do(method, path string, form url.Values, headers ...string) answer {
	c.stage.t.Helper()
	request, err := http.NewRequest(method, c.stage.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.stage.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			request.Header.Del(headers[i])
		}
	}
	response, err := c.Do(request)
	if err != nil {
		c.stage.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.stage.t.Fatal(err)
	}
	return answer{response, string(body)}
}

func (c *client) get(path string) answer { c.stage.t.Helper(); return c.do(http.MethodGet, path, nil) }

func (c *client) post(path string, pairs ...string) answer {
	c.stage.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.do(http.MethodPost, path, form)
}

var changing = regexp.MustCompile(`nonce="[^"]*"|hx-nonce="[^"]*"|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// bodyOf is an answer's body without what differs from one to the next, nor a text.
func (a answer) bodyOf(text string) string {
	return changing.ReplaceAllString(strings.ReplaceAll(a.body, text, ""), "")
}

// masked is an answer without what differs from one to the next.
func (a answer) masked() string {
	return fmt.Sprint(a.StatusCode, " ", a.Header.Get("Location"), "\n", changing.ReplaceAllString(a.body, ""))
}
