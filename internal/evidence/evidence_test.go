package evidence_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

var cli = audit.Actor{Kind: audit.CLI, Label: "command line"}

// A world is a workspace whose people and keys were made through their stores, so
// that the trail tells of all of them.
type world struct {
	*pgtest.Database
	t        *testing.T
	raw      *sqlx.DB
	accounts *account.Store
	keys     *keyring.Store
	trail    *audit.Store
	signer   *audit.Signer
	evidence *evidence.Store

	workspace account.Workspace
	ada       audit.Actor // its first owner
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Database: pgtest.New(t), t: t}
	w.raw = w.Raw()
	console, box := w.Console(), pgtest.Box(t)
	w.accounts, w.keys, w.trail = account.NewStore(console, box, pgtest.Log(t)), keyring.NewStore(console, box), audit.NewStore(console)
	var err error
	if w.signer, err = audit.OpenSigner(filepath.Join(t.TempDir(), "audit.key")); err != nil {
		t.Fatal(err)
	}
	w.evidence = evidence.NewStore(console, w.trail, inbox.NewStore(console, box), w.signer)
	w.workspace, w.ada = w.newWorkspace("Harbour", "Ada Okonkwo")
	return w
}

func (w *world) newWorkspace(name, owner string) (account.Workspace, audit.Actor) {
	w.t.Helper()
	user := w.newUser(owner)
	workspace, err := w.accounts.CreateWorkspace(w.t.Context(), cli, name, user.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return workspace, audit.Actor{WorkspaceID: workspace.ID, Kind: audit.User, UserID: user.ID, Label: owner, Role: "owner", Address: "192.0.2.1"}
}

func (w *world) newUser(name string) account.User {
	w.t.Helper()
	user, _, err := w.accounts.CreateUser(w.t.Context(), cli, uuid.NewString()+"@example.com", name, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return user
}

// join makes a member, who then acts as one.
func (w *world) join(name string, role account.Role) audit.Actor {
	w.t.Helper()
	user := w.newUser(name)
	if err := w.accounts.AddMember(w.t.Context(), w.ada, w.workspace.Slug, user.Email, role); err != nil {
		w.t.Fatal(err)
	}
	return audit.Actor{WorkspaceID: w.workspace.ID, Kind: audit.User, UserID: user.ID, Label: name, Role: string(role)}
}

func (w *world) issue(by audit.Actor, name string) keyring.Key {
	w.t.Helper()
	issued, err := w.keys.Issue(w.t.Context(), by, keyring.Draft{Name: name, OwnerID: &by.UserID}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return issued.Key
}

// until is a span that ends now.
func until() evidence.Span {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return evidence.Span{Covers: now.Format(time.DateOnly), From: now.Truncate(24 * time.Hour), Until: now}
}

// review makes a review and returns its id and its file.
func (w *world) review(by audit.Actor, span evidence.Span) (uuid.UUID, []byte) {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	if err := w.evidence.Make(w.t.Context(), by, id, span); err != nil {
		w.t.Fatal(err)
	}
	return id, w.file(by, id)
}

func (w *world) file(by audit.Actor, id uuid.UUID) []byte {
	w.t.Helper()
	review, err := w.evidence.Find(w.t.Context(), by.WorkspaceID, by.UserID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	var file bytes.Buffer
	if err := w.evidence.Export(w.t.Context(), by, review, &file); err != nil {
		w.t.Fatal(err)
	}
	return file.Bytes()
}

// verify runs the verifier that shares no code with Keyhook.
func (w *world) verify(name string, file []byte, want string, more ...string) {
	w.t.Helper()
	w.verifyWith(pemOf(w.t, w.signer), name, file, want, more...)
}

func pemOf(t *testing.T, signer *audit.Signer) []byte {
	t.Helper()
	public, err := signer.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// verifyWith runs it with some public keys.
func (w *world) verifyWith(keys []byte, name string, file []byte, want string, more ...string) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range map[string][]byte{"review": file, "key": keys} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	command := exec.Command("node", append([]string{"../../docs/verify_review.mjs", filepath.Join(dir, "review"), filepath.Join(dir, "key")}, more...)...)
	out, err := command.Output()
	if !strings.HasPrefix(string(out), want) || (err == nil) != strings.HasPrefix(want, "ok") {
		w.t.Errorf("%s: verify_review.mjs = %s %v, want %s", name, out, err, want)
	}
}

// parsed is a review's file by the kinds of its lines.
func parsed(t *testing.T, file []byte) map[string][]map[string]any {
	t.Helper()
	lines := map[string][]map[string]any{}
	for line := range strings.Lines(string(file)) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kind := fields["line"].(string)
		lines[kind] = append(lines[kind], fields)
	}
	return lines
}

// content is what does not depend on when and by whom a review was made.
func content(file []byte) string {
	return string(file[:bytes.LastIndexByte(file[:len(file)-1], '\n')+1])
}

func (w *world) entries(action audit.Action) (n int) {
	w.t.Helper()
	if err := w.raw.Get(&n, `SELECT count(*) FROM audit_log WHERE action = $1`, action); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func kindOf(err error) fault.Kind {
	f, _ := fault.Of(err)
	if err == nil || f == nil {
		return 0
	}
	return f.Kind
}
