package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

// TestSignerIsShared: who comes at once has one key, in a file of one's own.
func TestSignerIsShared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.key")
	ids := make([]string, 8)
	var openers sync.WaitGroup
	for i := range ids {
		openers.Go(func() {
			signer, err := audit.OpenSigner(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = signer.KeyID()
		})
	}
	openers.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Errorf("the keys are %v, want one", ids)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v; want mode 0600", info, err)
	}
	for name, text := range map[string]string{"empty": "", "text": "hello", "other": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenSigner(bad); err == nil {
			t.Errorf("OpenSigner takes a file that is %s", name)
		}
	}
}

// change records n entries in a chain.
func change(t *testing.T, db *postgres.DB, workspace uuid.UUID, n int) {
	t.Helper()
	for range n {
		if err := record(t.Context(), db, audit.Actor{WorkspaceID: workspace, Kind: audit.CLI, Label: "Ada"}, "x"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneInstanceSigns: of many that come at once, one signs; on demand each does.
func TestOneInstanceSigns(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, signer := audit.NewStore(db.Console()), newSigner(t)
	change(t, db.Console(), uuid.Nil, 2)
	count := func(pause time.Duration) (n int) {
		t.Helper()
		var lock sync.Mutex
		var signers sync.WaitGroup
		for range 8 {
			signers.Go(func() {
				_, signed, lost, err := store.Sign(t.Context(), signer, pause)
				if err != nil || len(lost) > 0 {
					t.Error(lost, err)
				}
				lock.Lock()
				defer lock.Unlock()
				if signed {
					n++
				}
			})
		}
		signers.Wait()
		return n
	}
	if n := count(time.Hour); n != 1 {
		t.Errorf("%d of 8 signed within an hour, want 1", n)
	}
	if n := count(time.Nanosecond); n != 0 {
		t.Errorf("%d of 8 signed though nothing changed, want 0", n)
	}
	if n := count(0); n != 8 {
		t.Errorf("%d of 8 signed on demand, want 8", n)
	}
	change(t, db.Console(), uuid.Nil, 1)
	if n := count(time.Nanosecond); n != 1 {
		t.Errorf("%d of 8 signed after a change, want 1", n)
	}
}

// points reads the stored checkpoints.
func points(t *testing.T, store *audit.Store, trusted ...ed25519.PublicKey) *audit.Checkpoints {
	t.Helper()
	all := audit.NewCheckpoints(trusted)
	if err := store.Checkpoints(t.Context(), 0, all.Add); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDatabaseTamperings does what a database's owner could.
func TestDatabaseTamperings(t *testing.T) {
	t.Parallel()
	workspace := uuid.MustParse("0193586e-3c00-7000-8000-000000000001")
	for statement, want := range map[string]string{
		`SELECT 1`: "ok, 6 entries",
		`UPDATE audit_log SET actor_label = 'Eve' WHERE seq = 3`: "broken at 3: altered",
		`DELETE FROM audit_log WHERE seq = 2`:                    "broken at 2: removed",
		`DELETE FROM audit_log WHERE seq > 4`:                    "broken at 5: cut",
		`DELETE FROM audit_log WHERE seq > 4; UPDATE audit_heads h SET seq = 4, hash = (SELECT hash FROM audit_log l WHERE l.chain = h.chain AND seq = 4)`: "broken at 5: cut",
		`DELETE FROM audit_heads`:                        "broken at 7: cut",
		`DELETE FROM audit_log; DELETE FROM audit_heads`: "broken at 1: cut",
		`UPDATE audit_log SET seq = CASE seq WHEN 2 THEN 104 ELSE 102 END WHERE seq IN (2, 4); UPDATE audit_log SET seq = seq - 100 WHERE seq > 100`: "broken at 2: reordered",
		`UPDATE audit_heads SET seq = 5, hash = (SELECT hash FROM audit_log WHERE seq = 5)`:                                                          "broken at 6: inserted",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			store, signer := audit.NewStore(db.Console()), newSigner(t)
			change(t, db.Console(), workspace, 6)
			if _, _, _, err := store.Sign(t.Context(), signer, 0); err != nil {
				t.Fatal(err)
			}
			raw := db.Raw()
			raw.MustExec(`ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only`)
			raw.MustExec(statement)
			got, err := store.VerifyChain(t.Context(), workspace.String(), points(t, store, signer.Public()), nil)
			if err != nil || got.String() != want {
				t.Errorf("VerifyChain = %s, %v, want %s", got, err, want)
			}
			if _, _, lost, err := store.Sign(t.Context(), signer, 0); err != nil || (len(lost) == 1) != strings.Contains(statement, "audit_heads") {
				t.Errorf("the next checkpoint misses %v, %v", lost, err)
			}
		})
	}
}

// TestCheckpointsAreChecked refuses those that were forged or signed by others.
func TestCheckpointsAreChecked(t *testing.T) {
	t.Parallel()
	signer, other := newSigner(t), newSigner(t)
	point := audit.Checkpoint{Number: 1, At: "2026-11-23T14:02:06.278000Z", Heads: []audit.Head{{Chain: "instance", Seq: 1, Hash: make([]byte, 32)}}}
	audit.SignPoint(signer, &point)
	for name, change := range map[string]func(*audit.Checkpoint){
		"number": func(c *audit.Checkpoint) { c.Number++ }, "time": func(c *audit.Checkpoint) { c.At = "2026-11-24T14:02:06.278000Z" },
		"heads": func(c *audit.Checkpoint) { c.Heads = nil }, "signature": func(c *audit.Checkpoint) { c.Signature = nil },
		"key": func(c *audit.Checkpoint) { c.PublicKey = other.Public() }, "no key": func(c *audit.Checkpoint) { c.PublicKey = nil },
		"another's": func(c *audit.Checkpoint) { audit.SignPoint(other, c) },
	} {
		changed := point
		change(&changed)
		if err := audit.NewCheckpoints([]ed25519.PublicKey{signer.Public()}).Add(changed); err == nil {
			t.Errorf("Add takes a checkpoint with another %s", name)
		}
	}
	if err := audit.NewCheckpoints(nil).Add(point); err != nil {
		t.Errorf("Add(a right one) = %v", err)
	}
}

// TestLedger: the file has each checkpoint once, whatever was torn or already there.
func TestLedger(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, signer := audit.NewStore(db.Console()), newSigner(t)
	ledger := audit.Ledger{Path: filepath.Join(t.TempDir(), "checkpoints.ndjson")}
	change(t, db.Console(), uuid.Nil, 1)
	for n := 1; n <= 3; n++ {
		if _, _, _, err := store.Sign(t.Context(), signer, 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := ledger.CatchUp(t.Context(), store); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(ledger.Path)
		if err != nil || bytes.Count(text, []byte("\n")) != n {
			t.Fatalf("after %d checkpoints the file is %s, %v", n, text, err)
		}
		if err := audit.NewCheckpoints([]ed25519.PublicKey{signer.Public()}).Read(bytes.NewReader(text)); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(ledger.Path, append(text, `{"number":9,"at":"2999`...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPoster: a checkpoint goes to an address as it is; what is not a plain yes is
// an error, and no error tells the address.
func TestPoster(t *testing.T) {
	t.Parallel()
	answers := []int{500, 302, 200}
	var bodies []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(answers[len(bodies)-1])
	}))
	poster := audit.NewPoster(server.URL + "/sekrit")
	poster.Client.Transport = server.Client().Transport
	point := audit.Checkpoint{Number: 4}
	for i, want := range []bool{false, false, true} {
		if err := poster.Post(t.Context(), point); (err == nil) != want || err != nil && strings.Contains(err.Error(), "sekrit") {
			t.Errorf("answer %d: Post = %v, want taken %v", answers[i], err, want)
		}
	}
	server.Close()
	if err := poster.Post(t.Context(), point); err == nil || strings.Contains(err.Error(), "sekrit") {
		t.Errorf("Post to nobody = %v", err)
	}
	var got audit.Checkpoint
	if err := json.Unmarshal([]byte(bodies[2]), &got); err != nil || got.Number != 4 || len(bodies) != 3 {
		t.Errorf("%d were posted, the last %s, %v", len(bodies), bodies[2], err)
	}
}

// TestExport: the file is the chain, and the export is in it.
func TestExport(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := audit.NewStore(db.Maintenance())
	by := audit.Actor{WorkspaceID: uuid.New(), Kind: audit.CLI, Label: "=Ada"}
	change(t, db.Console(), by.WorkspaceID, 3)
	var file bytes.Buffer
	if err := store.Export(t.Context(), by, audit.Export{Label: "Home", Format: audit.NDJSON}, &file); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, file.Bytes(), audit.NewCheckpoints(nil)); got.String() != "ok, 4 entries" || !strings.Contains(file.String(), `"audit.exported"`) {
		t.Errorf("the export is %s: %s", got, file.String())
	}
	var rows bytes.Buffer
	if err := store.Export(t.Context(), by, audit.Export{Label: "Home", Format: audit.CSV}, &rows); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(rows.String(), "\n"); len(lines) != 7 || !strings.HasPrefix(lines[0], "chain,seq,at,") || !strings.Contains(lines[5], ",'=Ada,") {
		t.Errorf("the rows are %s", rows.String())
	}
	full := errors.New("the disk is full")
	if err := store.Export(t.Context(), by, audit.Export{Label: "Home", Format: audit.NDJSON}, failing{full}); !errors.Is(err, full) {
		t.Errorf("Export to a full disk = %v, want its error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Export(ctx, by, audit.Export{Label: "Home", Format: audit.NDJSON}, &file); err == nil {
		t.Error("an export that was cancelled is no error")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestRolesMayNotChangeTheTrail: neither role may do more than add to it.
func TestRolesMayNotChangeTheTrail(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	change(t, db.Console(), uuid.Nil, 1)
	if _, _, _, err := audit.NewStore(db.Console()).Sign(t.Context(), newSigner(t), 0); err != nil {
		t.Fatal(err)
	}
	raw := db.Raw()
	statements := []string{
		`UPDATE audit_log SET actor_label = 'x'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`, `DROP TABLE audit_log`,
		`ALTER TABLE audit_log DISABLE TRIGGER ALL`, `DROP TRIGGER audit_log_append_only ON audit_log`,
		`DELETE FROM audit_heads`, `TRUNCATE audit_heads`, `DROP TABLE audit_heads`,
		`UPDATE audit_checkpoints SET at = 'x'`, `DELETE FROM audit_checkpoints`, `TRUNCATE audit_checkpoints`, `DROP TABLE audit_checkpoints`,
		`DROP FUNCTION refuse_audit_change() CASCADE`,
		`CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
	}
	for _, role := range []string{"keyhook_console", "keyhook_ingest"} {
		for _, statement := range statements {
			tx := raw.MustBegin()
			tx.MustExec(`SET LOCAL ROLE ` + role)
			if _, err := tx.Exec(statement); postgres.Code(err) != "42501" {
				t.Errorf("%s: %s: %v, want it refused", role, statement, err)
			}
			tx.Rollback()
		}
	}
	for _, statement := range []string{`UPDATE audit_checkpoints SET at = 'x'`, `DELETE FROM audit_checkpoints`, `TRUNCATE audit_checkpoints`} {
		if _, err := raw.Exec(statement); postgres.Code(err) != "42501" { // even as the owner
			t.Errorf("%s: %v, want it refused", statement, err)
		}
	}
}
