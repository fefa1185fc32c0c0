package audit_test

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/pgtest"
	"keyhook/internal/postgres"
)

var update = flag.Bool("update", false, "rewrite the golden file: only before a first release")

// TestEncodingGolden pins the encoding, byte for byte: hashes that are already
// in databases and exports depend on it.
func TestEncodingGolden(t *testing.T) {
	t.Parallel()
	entries := []audit.Entry{
		{Chain: "instance", Seq: 1, At: "2026-11-23T14:02:06.278000Z", PrevHash: make([]byte, 32)},
		{
			Chain: "0193586e-3c00-7000-8000-000000000001", Seq: 18204, At: "2026-11-23T14:02:06.278123Z",
			ActorKind: audit.User, ActorID: "0193586e-3c00-7000-8000-000000000002", ActorLabel: "Ada Okonkwo",
			Action: audit.KeyEdited, TargetKind: "key", TargetID: "0193586e-3c00-7000-8000-000000000003",
			TargetLabel: "Shopify EU storefront – Größe", Address: "2001:db8::1", RequestID: "0193586e-3c00-7000-8000-000000000004",
			Before: `{"allowed_cidrs":[]}`, After: `{"allowed_cidrs":["23.227.38.0/24"]}`,
			PrevHash: []byte(strings.Repeat("\xab", 32)),
		},
	}
	var got strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&got, "%s\n%s\n\n", hex.EncodeToString(e.Encode()), hex.EncodeToString(e.Sum()))
	}
	const golden = "testdata/encoding.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("encoding (-want +got):\n%s", diff)
	}
}

func TestEncodingTellsNeighboursApart(t *testing.T) {
	t.Parallel()
	a := audit.Entry{TargetKind: "key", TargetID: "1"}
	b := audit.Entry{TargetKind: "ke", TargetID: "y1"}
	if string(a.Encode()) == string(b.Encode()) {
		t.Error("two entries encode alike when text moves from one field to the next")
	}
}

func TestRecordChains(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	console := db.Console()
	workspaces := []uuid.UUID{uuid.Nil, uuid.New(), uuid.New()}

	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for j := range 6 {
				by := audit.Actor{WorkspaceID: workspaces[(i+j)%3], Kind: audit.User, UserID: uuid.New(), Label: "Ada"}
				if err := record(t.Context(), console, by, fmt.Sprint(i, "-", j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()

	total := 0
	store := audit.NewStore(console)
	for _, workspace := range workspaces {
		entries, err := store.All(t.Context(), audit.ChainOf(workspace), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var previous audit.Entry
		for _, entry := range entries {
			if !entry.Follows(previous) {
				t.Errorf("entry %d of %s does not follow the one before", entry.Seq, entry.Chain)
			}
			previous = entry
		}
		total += len(entries)
	}
	if total != 48 {
		t.Errorf("chains hold %d entries, want 48", total)
	}
}

func record(ctx context.Context, db *postgres.DB, by audit.Actor, label string) error {
	return db.InTx(ctx, func(tx *sqlx.Tx) error {
		target := audit.Target{Kind: "key", ID: "k", Label: label}
		return audit.Record(ctx, tx, by, audit.KeyEdited, target, audit.Fields{"name": "a"}, audit.Fields{"name": "b"})
	})
}

func TestRecordGoesWithItsTransaction(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	undo := errors.New("undo")
	err := db.Console().InTx(t.Context(), func(tx *sqlx.Tx) error {
		if err := audit.Record(t.Context(), tx, audit.Actor{Kind: audit.CLI}, audit.KeyCreated, audit.Target{}, nil, nil); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatalf("InTx = %v, want the error of its function", err)
	}
	entries, err := audit.NewStore(db.Console()).All(t.Context(), "instance", 0, 10)
	if err != nil || len(entries) != 0 {
		t.Errorf("after a rollback the chain holds %d entries, %v; want none", len(entries), err)
	}
}

func TestLogIsAppendOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	if err := record(t.Context(), db.Console(), audit.Actor{Kind: audit.System}, "x"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE audit_log SET actor_label = 'nobody'`,
		`DELETE FROM audit_log`,
		`TRUNCATE audit_log`,
	} {
		if _, err := db.Raw().Exec(statement); postgres.Code(err) != "42501" { // even as the owner
			t.Errorf("%s: %v, want it refused", statement, err)
		}
	}
}
