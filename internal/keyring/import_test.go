package keyring_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// originKey is an API key as the origin made them.
func originKey(n int) string { return fmt.Sprintf("wk_%032d", n) }

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func readImport(t *testing.T, text string) keyring.ImportFile {
	t.Helper()
	file, err := keyring.ReadImport([]byte(text), time.Now())
	if err != nil {
		t.Fatalf("ReadImport(%.80q) = %v", text, err)
	}
	return file
}

// TestImportTable imports a dump of the origin's table as it is.
func TestImportTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Raw().MustExec(`UPDATE users SET email = 'ada@example.com' WHERE id = $1`, w.ada.UserID)
	other := w.newPerson(t, w.ada.WorkspaceID, "Ben", "member")
	file := readImport(t, "\ufeffid,workspace_id,name,api_key,is_active,last_used_at,created_at,created_by,key_hash,secret,owner\r\n"+
		"1,7,Shop,"+originKey(1)+",t,2026-03-01 10:00:00.123456+00,2024-02-29 12:30:00+02,ADA@example.com,,a-secret-of-the-shop,\r\n"+
		"2,7,\"Shop\",,f,,2024-03-01,\"Somebody, who left\",\\x"+sumOf(originKey(2))+",,"+other.UserID.String()+"@example.com\r\n")
	if diff := cmp.Diff([]string{"id", "workspace_id"}, file.Ignored); diff != "" {
		t.Errorf("ignored columns (-want +got):\n%s", diff)
	}
	plan, err := w.keys.ImportAll(t.Context(), w.ada, file)
	if err != nil || plan.Count(keyring.Makes) != 2 || len(plan.Remarks) != 1 {
		t.Fatalf("ImportAll = %+v, %v; want two keys and a word on X-Workspace-ID", plan, err)
	}
	shop, err := w.keys.ByAPIKey(t.Context(), originKey(1))
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, shop.Key.ID)
	if err != nil {
		t.Fatal(err)
	}
	if first.Name != "Shop" || first.Source != "shop" || first.CreatedByName != "Ada Okonkwo" || first.OwnerName != "Ada Okonkwo" || first.Fingerprint == "" ||
		!first.LastUsedAt.Equal(time.Date(2026, 3, 1, 10, 0, 0, 123456000, time.UTC)) || !first.CreatedAt.Equal(time.Date(2024, 2, 29, 10, 30, 0, 0, time.UTC)) {
		t.Errorf("the first key is %+v", first)
	}
	second, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, plan.Keys[1].ID)
	if err != nil || second.Name != "Shop (2)" || second.Source != "shop-2" || second.Active || second.LastUsedAt != nil || second.CreatedBy != nil ||
		second.OwnerName != "Ben" || second.Note != "Created by Somebody, who left." || second.Hint != "imported" {
		t.Errorf("the second key is %+v, %v", second, err)
	}
	if diff := cmp.Diff([]audit.Action{audit.KeyImported, audit.KeyImported, audit.KeysImported}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
	w.chainHolds(t)

	plan, err = w.keys.ImportAll(t.Context(), w.ada, file)
	if err != nil || plan.Count(keyring.IsHere) != 2 || plan.Keys[1].HereAs != "Shop (2)" {
		t.Errorf("the same file again = %+v, %v; want all of it here already", plan, err)
	}
}

// TestImportFaults has a mistake in each row, and imports nothing.
func TestImportFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := w.newOwner(t, "Mallory")
	foreign := w.issue(t, stranger, "secret plans")
	here := w.issue(t, w.ada, "here")
	if _, err := w.keys.Rotate(t.Context(), w.ada, here.Key.ID, keyring.Rotation{What: keyring.APIKeyOnly, Seen: 2}); err != nil {
		t.Fatal(err)
	}
	rows := []struct{ row, column, says string }{
		{"fine," + originKey(1), "", ""},
		{"," + originKey(2), "name", "name"},
		{"twice," + originKey(1), "api_key", "line 2"},
		{"foreign," + foreign.APIKey.Reveal(), "api_key", "in use"},
		{"ended," + here.APIKey.Reveal(), "api_key", "stopped for good"},
		{"short,wk_123", "api_key", "shorter"},
		{"typo,khk_" + strings.Repeat("0", 38), "api_key", "checksum"},
		{"hash,," + sumOf("x")[1:], "sha256", "64"},
		{"both," + originKey(3) + "," + sumOf("x"), "api_key", "not both"},
		{"none", "api_key", "Give"},
		{"bidi \u202e," + originKey(4), "name", "can't be seen"},
		{"owner," + originKey(5) + ",,,nobody@example.com", "owner", "member"},
		{"active," + originKey(6) + ",,,,perhaps", "is_active", "neither"},
		{"time," + originKey(7) + ",,,,,31.12.2026", "created_at", "time"},
		{"future," + originKey(8) + ",,,,,2999-01-01", "created_at", "future"},
		{"scheme," + originKey(9) + ",,,,,,rot13", "scheme", "Choose"},
		{"github," + originKey(10) + ",,a-secret-for-github,,,,github", "api_key", "no API key"},
		{"source," + originKey(11) + ",,,,,,,Not A Source", "source", "source"},
		{"taken," + originKey(12) + ",,,,,,,here", "source", "Another key"},
		{"cidr," + originKey(13) + ",,,,,,,,10.0.0.0/33", "allowed_cidrs", "10.0.0.0/33"},
		{"hint,," + sumOf(originKey(14)) + ",,,,,,,,wk_0000000000000000000000", "hint", "longer"},
		{"secret," + originKey(15) + ",,short", "secret", "characters"},
		{"mixed up," + originKey(16) + ",,,,,,," + originKey(17), "source", "wk_0000…0017"},
	}
	text := "name,api_key,sha256,secret,owner,is_active,created_at,scheme,source,allowed_cidrs,hint\n"
	for _, r := range rows {
		text += r.row + strings.Repeat(",", 10-strings.Count(r.row, ",")) + "\n"
	}
	plan, err := w.keys.ImportAll(t.Context(), w.ada, readImport(t, text))
	if f, _ := fault.Of(err); f.Kind != fault.Invalid {
		t.Errorf("ImportAll = %v, want a fault", err)
	}
	for i, r := range rows {
		got := plan.Keys[i]
		if r.column == "" != (got.Fate == keyring.Makes) || got.Line != i+2 {
			t.Errorf("%q on line %d: %s", r.row, got.Line, got.Fate)
		}
		if r.column != "" && (len(got.Faults) != 1 || got.Faults[0].Column != r.column || !strings.Contains(got.Faults[0].Text, r.says)) {
			t.Errorf("%q: %+v, want a fault on %s with %q", r.row, got.Faults, r.column, r.says)
		}
		for _, f := range got.Faults {
			if strings.Contains(f.Text, "secret plans") || strings.Contains(f.Text, "wk_00000000") || strings.Contains(f.Text, foreign.APIKey.Reveal()) {
				t.Errorf("%q gives away %q", r.row, f.Text)
			}
		}
	}
	keys, err := w.keys.List(t.Context(), w.ada.WorkspaceID)
	if err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v; want the one from before", len(keys), err)
	}
}

// TestImportFiles reads what is no table of keys.
func TestImportFiles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, says string }{
		"empty":            {"", "empty"},
		"header only":      {"name,api_key\n", "no rows"},
		"no header":        {"Shop," + originKey(1) + "\nPOS," + originKey(2) + "\n", "No column is called name"},
		"no credential":    {"name,note\na,b\n", "prove"},
		"twice":            {"name,api_key,API_KEY\na,b,c\n", "Columns 2 and 3"},
		"the same meaning": {"name,api_key,key\na,b,c\n", "mean the same"},
		"UTF-16":           {"\xff\xfen\x00a\x00", "UTF-16"},
		"UTF-16 unmarked":  {"n\x00a\x00m\x00e\x00,\x00s\x00", "UTF-16"},
		"workbook":         {"PK\x03\x04", "workbook"},
		"NUL":              {"name,secret\nab,c\x00d\n", "Line 2"},
		"Latin-1":          {"name,secret\na,b\ncaf\xe9,c\n", "Line 3"},
		"open quote":       {"name,secret\n\"a,b\nc,d\n", "line 2"},
		"stray quote":      {"name,secret\na\"b,c\n", "Line 2"},
		"too few cells":    {"name,secret\na\n", "Line 2 has 1 cells"},
		"long cell":        {"name,secret\na," + strings.Repeat("x", 9<<20) + "\n", "KB"},
		"too large":        {"name,secret\n" + strings.Repeat("x", 10<<20), "MB"},
		"a million lines":  {"name,secret\n" + strings.Repeat("a,b\n", 1_000_000), "10000 rows"},
		"a million cells":  {"name,secret\n" + strings.Repeat(",", 9<<20), "cells"},
	} {
		_, err := keyring.ReadImport([]byte(tt.text), time.Now())
		if f, _ := fault.Of(err); f.Field != "file" || !strings.Contains(f.Message, tt.says) {
			t.Errorf("%s = %v, want a fault on the file with %q", name, err, tt.says)
		}
	}
	for name, text := range map[string]string{
		"semicolons":   "name;api_key;labels\nShop;" + originKey(1) + ";\"a;b\"\n",
		"sep line":     "sep=;\r\nname;api_key;labels\r\nShop;" + originKey(1) + ";{a,b}\r\n",
		"tabs":         "Name\tAPI key\tLabels\nShop\t" + originKey(1) + "\ta;b",
		"old Mac":      "name,api_key,labels\rShop," + originKey(1) + ",a;b\r",
		"blank rows":   "\n\nname,api_key,labels\n,,\n\nShop," + originKey(1) + ",a;b\n,,\n",
		"quoted names": "\"name\",\"api_key\",\"labels\"\n\"Shop\",\"" + originKey(1) + "\",\"a;b\"\n",
	} {
		file, err := keyring.ReadImport([]byte(text), time.Now())
		if err != nil || len(file.Candidates) != 1 {
			t.Errorf("%s = %+v, %v", name, file, err)
			continue
		}
		c := file.Candidates[0]
		if c.Draft.Name != "Shop" || hex.EncodeToString(c.APIKeyHash) != sumOf(originKey(1)) || !cmp.Equal(c.Draft.Labels, []string{"a", "b"}) || len(c.Faults) > 0 {
			t.Errorf("%s = %+v", name, c)
		}
	}
}

// TestImportDraft confirms what was seen, once, by who saw it.
func TestImportDraft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const secret = "known-text-of-a-signing-secret"
	file := readImport(t, "name,api_key,secret\nShop,"+originKey(1)+","+secret+"\n=1+1,"+originKey(2)+",\n")
	id, err := w.keys.KeepImport(t.Context(), w.ada, file)
	if err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	if err := w.Raw().Get(&sealed, `SELECT sealed FROM import_drafts WHERE id = $1`, id); err != nil || bytes.Contains(sealed, []byte("Shop")) || bytes.Contains(sealed, []byte(secret)) {
		t.Errorf("the draft is kept as %q, %v", sealed, err)
	}
	for who, by := range map[string]audit.Actor{
		"a colleague": w.newPerson(t, w.ada.WorkspaceID, "Ben", "admin"), "elsewhere": w.ada.In(w.newOwner(t, "Mallory").WorkspaceID),
	} {
		_, err := w.keys.PreviewImport(t.Context(), by, id)
		_, _, runErr := w.keys.RunImport(t.Context(), by, id, "")
		if f, _ := fault.Of(err); f.Kind != fault.NotFound {
			t.Errorf("PreviewImport by %s = %v, want NotFound", who, err)
		}
		if f, _ := fault.Of(runErr); f.Kind != fault.NotFound {
			t.Errorf("RunImport by %s = %v, want NotFound", who, runErr)
		}
	}
	old, err := w.keys.PreviewImport(t.Context(), w.ada, id)
	if err != nil || old.Plan.Count(keyring.Makes) != 2 || !old.Plan.Keys[0].HasSecret() {
		t.Fatalf("PreviewImport = %+v, %v", old, err)
	}
	w.issue(t, w.ada, "Shop") // meanwhile
	_, _, err = w.keys.RunImport(t.Context(), w.ada, id, old.Seen)
	if f, _ := fault.Of(err); f.Kind != fault.Conflict {
		t.Errorf("RunImport of something else than was seen = %v, want a conflict", err)
	}
	now, err := w.keys.PreviewImport(t.Context(), w.ada, id)
	if err != nil || now.Plan.Keys[0].Draft.Name != "Shop (2)" {
		t.Fatalf("PreviewImport = %+v, %v", now, err)
	}
	var agains, runs int
	var lock sync.Mutex
	var presses sync.WaitGroup
	for range 8 {
		presses.Go(func() {
			done, again, err := w.keys.RunImport(t.Context(), w.ada, id, now.Seen)
			lock.Lock()
			defer lock.Unlock()
			if err != nil || done.Imported != 2 || done.Unchanged != 0 {
				t.Errorf("RunImport = %+v, %v", done, err)
			}
			if again {
				agains++
			} else {
				runs++
			}
		})
	}
	presses.Wait()
	if runs != 1 || agains != 7 {
		t.Errorf("%d runs and %d told of it, want 1 and 7", runs, agains)
	}
	if err := w.Raw().Get(&sealed, `SELECT sealed FROM import_drafts WHERE id = $1`, id); err != nil || sealed != nil {
		t.Errorf("a used draft keeps %q, %v", sealed, err)
	}
	w.Raw().MustExec(`UPDATE import_drafts SET expires_at = now() - interval '1 second'`)
	if err := w.keys.SweepImports(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = w.keys.PreviewImport(t.Context(), w.ada, id)
	if f, _ := fault.Of(err); f.Kind != fault.NotFound || w.count(t, "import_drafts") != 0 {
		t.Errorf("after its time PreviewImport = %v and %d drafts are left", err, w.count(t, "import_drafts"))
	}
}

func (w *world) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := w.Raw().Get(&n, `SELECT count(*) FROM `+table); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestImportRace imports one file from two workspaces and twice at once.
func TestImportRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mallory := w.newOwner(t, "Mallory")
	text := "name,api_key\n"
	for n := range 200 {
		text += fmt.Sprintf("Sender,%s\n", originKey(n))
	}
	file := readImport(t, text)
	var lock sync.Mutex
	var made, unchanged, refused int
	var all sync.WaitGroup
	for _, by := range []audit.Actor{w.ada, w.ada, mallory, mallory} {
		all.Go(func() {
			plan, err := w.keys.ImportAll(t.Context(), by, file)
			lock.Lock()
			defer lock.Unlock()
			if f, known := fault.Of(err); err != nil && (!known || f.Kind != fault.Conflict && f.Kind != fault.Invalid) {
				t.Errorf("ImportAll = %v", err)
			}
			if err != nil {
				refused++
				return
			}
			made += plan.Count(keyring.Makes)
			unchanged += plan.Count(keyring.IsHere)
		})
	}
	all.Wait()
	if made != 200 || unchanged != 200 || refused != 2 || w.count(t, "webhook_keys") != 200 {
		t.Errorf("%d keys made, %d unchanged, %d imports refused; want 200, 200 and 2", made, unchanged, refused)
	}
}

// TestImportMany imports thousands of keys with one name.
func TestImportMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var text strings.Builder
	text.WriteString("name,api_key,secret,labels\n")
	for n := range 2500 {
		fmt.Fprintf(&text, "One name for all,%s,secret-number-%08d,a;b\n", originKey(n), n)
	}
	began := time.Now()
	file := readImport(t, text.String())
	read := time.Since(began)
	id, err := w.keys.KeepImport(t.Context(), w.ada, file)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := w.keys.PreviewImport(t.Context(), w.ada, id)
	if err != nil {
		t.Fatal(err)
	}
	seen := time.Since(began)
	done, _, err := w.keys.RunImport(t.Context(), w.ada, id, draft.Seen)
	if err != nil || done.Imported != 2500 {
		t.Fatalf("RunImport = %d keys, %v", done.Imported, err)
	}
	t.Logf("2,500 rows: read in %v, seen after %v, imported after %v", read, seen, time.Since(began))
	var last uuid.UUID
	if err := w.Raw().Get(&last, `SELECT id FROM webhook_keys WHERE name = 'One name for all (2500)'`); err != nil {
		t.Error(err)
	}
	if n := w.count(t, "audit_log"); n != 2501 {
		t.Errorf("%d entries in the trail, want 2501", n)
	}
	w.chainHolds(t)
}
