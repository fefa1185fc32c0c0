package audit_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/pgtest"
)

// TestClockThatWasAhead: a checkpoint of the future neither stops the next ones from
// being signed nor keeps them out of the file.
func TestClockThatWasAhead(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, signer := audit.NewStore(db.Console()), newSigner(t)
	ledger := audit.Ledger{Path: filepath.Join(t.TempDir(), "checkpoints.ndjson")}
	ahead := audit.Checkpoint{Number: 1, At: audit.Stamp(time.Now().AddDate(1, 0, 0)), Heads: []audit.Head{}}
	audit.SignPoint(signer, &ahead)
	db.Raw().MustExec(`INSERT INTO audit_checkpoints (number, at, key_id, public_key, heads, signature) VALUES ($1, $2, $3, $4, '[]', $5)`,
		ahead.Number, ahead.At, ahead.KeyID, ahead.PublicKey, ahead.Signature)
	if err := ledger.CatchUp(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	change(t, db.Console(), uuid.Nil, 1)
	for _, want := range []bool{true, false} { // the second is within an hour of the first
		if _, signed, _, err := store.Sign(t.Context(), signer, time.Hour); err != nil || signed != want {
			t.Errorf("Sign, with a checkpoint of the future: signed %v, %v, want %v", signed, err, want)
		}
		change(t, db.Console(), uuid.Nil, 1)
	}
	if numbers := numbersIn(t, ledger, store); !bytes.Equal(numbers, []byte{1, 2}) {
		t.Errorf("the file has the checkpoints %v, want 1 and 2", numbers)
	}
}

// TestLedgerAfterRestore: numbers come again, with other signatures. The file keeps
// those that were, and gets the new ones.
func TestLedgerAfterRestore(t *testing.T) {
	t.Parallel()
	before, restored, signer := pgtest.New(t), pgtest.New(t), newSigner(t)
	ledger := audit.Ledger{Path: filepath.Join(t.TempDir(), "checkpoints.ndjson")}
	for n, db := range []*pgtest.Database{before, restored} {
		store := audit.NewStore(db.Console())
		change(t, db.Console(), uuid.Nil, 1)
		for range 3 - n {
			if _, _, _, err := store.Sign(t.Context(), signer, 0); err != nil {
				t.Fatal(err)
			}
		}
		numbersIn(t, ledger, store)
	}
	if numbers := numbersIn(t, ledger, audit.NewStore(restored.Console())); !bytes.Equal(numbers, []byte{1, 2, 3, 1, 2}) {
		t.Errorf("the file has the checkpoints %v, want 1, 2, 3 and then 1, 2", numbers)
	}
}

// numbersIn brings the file up to date and returns the numbers in it.
func numbersIn(t *testing.T, ledger audit.Ledger, store *audit.Store) (numbers []byte) {
	t.Helper()
	if err := ledger.CatchUp(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(ledger.Path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var point audit.Checkpoint
		if err := json.Unmarshal(line, &point); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, byte(point.Number))
	}
	return numbers
}
