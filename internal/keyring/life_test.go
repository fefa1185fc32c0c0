package keyring_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

func TestDeactivateAndReactivate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.issue(t, w.ada, "billing").Key
	for i := range 2 { // the second time changes nothing and records nothing
		if changed, err := w.keys.Deactivate(t.Context(), w.ada, key.ID, ""); err != nil || changed != (i == 0) {
			t.Fatalf("Deactivate = %v, %v", changed, err)
		}
	}
	if got, _ := w.keys.Find(t.Context(), w.ada.WorkspaceID, key.ID); got.StatusAt(time.Now()) != keyring.Inactive {
		t.Errorf("status = %s", got.StatusAt(time.Now()))
	}
	for i := range 2 {
		if changed, err := w.keys.Reactivate(t.Context(), w.ada, key.ID); err != nil || changed != (i == 0) {
			t.Fatalf("Reactivate = %v, %v", changed, err)
		}
	}
	want := []audit.Action{audit.KeyCreated, audit.CredentialsShown, audit.KeyDeactivated, audit.KeyReactivated}
	if diff := cmp.Diff(want, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
}

// TestReasons: why a key was stopped or rotated is in the trail, as one line.
func TestReasons(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.issue(t, w.ada, "billing").Key
	for reason, wrong := range map[string]bool{strings.Repeat("é", 201): true, "right \u202eto left": true, "a\x00b": true, "a\xffb": true, strings.Repeat("é", 200): false} {
		_, rotated := w.keys.Rotate(t.Context(), w.ada, key.ID, keyring.Rotation{What: keyring.Both, Reason: reason})
		_, stopped := w.keys.Deactivate(t.Context(), w.ada, key.ID, reason)
		for _, err := range []error{rotated, stopped} {
			if f, _ := fault.Of(err); wrong != (err != nil) || wrong && (f == nil || f.Field != "reason") {
				t.Errorf("the reason %.20q: %v", reason, err)
			}
		}
	}
	if _, err := w.keys.Reactivate(t.Context(), w.ada, key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Rotate(t.Context(), w.ada, key.ID, keyring.Rotation{What: keyring.APIKeyOnly, Reason: " yearly   rotation "}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Deactivate(t.Context(), w.ada, key.ID, "system retired"); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	err := w.Raw().Select(&reasons, `SELECT after::jsonb->>'reason' FROM audit_log WHERE target_id = $1 AND action IN ('key.rotated', 'key.deactivated') ORDER BY seq`, key.ID.String())
	if want := []string{strings.Repeat("é", 200), strings.Repeat("é", 200), "yearly rotation", "system retired"}; err != nil || !slices.Equal(reasons, want) {
		t.Errorf("the trail gives the reasons %q, %v", reasons, err)
	}
}

// TestOnesOwn asks who may change a key that Priya made and Tomasz owns.
func TestOnesOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.ada.WorkspaceID
	priya, tomasz := w.newPerson(t, ws, "Priya", "member"), w.newPerson(t, ws, "Tomasz", "member")
	issued, err := w.keys.Issue(t.Context(), priya, keyring.Draft{Name: "k", OwnerID: &tomasz.UserID}, "")
	if err != nil {
		t.Fatal(err)
	}
	command := audit.Actor{WorkspaceID: ws, Kind: audit.CLI, Label: "root@host"}
	for _, tt := range []struct {
		by  audit.Actor
		may bool
	}{
		{priya, true},
		{tomasz, true},
		{w.ada, true},
		{w.newPerson(t, ws, "Mateo", "admin"), true},
		{command, true},
		{w.newPerson(t, ws, "Other", "member"), false},
		{w.newPerson(t, ws, "Ines", "auditor"), false},
	} {
		_, errEdit := w.keys.Edit(t.Context(), tt.by, issued.Key.ID, keyring.Draft{Name: "by " + tt.by.Label, OwnerID: &tomasz.UserID})
		_, errOff := w.keys.Deactivate(t.Context(), tt.by, issued.Key.ID, "")
		_, errOn := w.keys.Reactivate(t.Context(), tt.by, issued.Key.ID)
		for _, err := range []error{errEdit, errOff, errOn} {
			f, _ := fault.Of(err)
			if tt.may != (err == nil) || !tt.may && f.Kind != fault.Forbidden {
				t.Errorf("%s (%s): %v, may %v", tt.by.Label, tt.by.Role, err, tt.may)
			}
		}
	}
}

func TestEdit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.issue(t, w.ada, "billing").Key
	if _, err := w.keys.Edit(t.Context(), w.ada, key.ID, keyring.Draft{Name: "billing"}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.actions(t, w.ada)); n != 2 {
		t.Errorf("an edit that changes nothing left %d entries, want the first 2", n)
	}
	limit := 60
	edited, err := w.keys.Edit(t.Context(), w.ada, key.ID, keyring.Draft{Name: "Billing EU", AllowedCIDRs: []string{"10.0.0.0/8"}, RateLimit: &limit})
	if err != nil || edited.Name != "Billing EU" || *edited.RateLimit != 60 || edited.Source != "billing" {
		t.Fatalf("Edit = %+v, %v", edited, err)
	}
	entries, err := audit.NewStore(w.Console()).Of(t.Context(), w.ada.Chain(), key.ID.String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	wantBefore, wantAfter := `{"allowed_cidrs":[],"name":"billing","rate_limit":"none"}`, `{"allowed_cidrs":["10.0.0.0/8"],"name":"Billing EU","rate_limit":{"requests":60,"seconds":60}}`
	if entries[0].Before != wantBefore || entries[0].After != wantAfter {
		t.Errorf("the trail says %s → %s", entries[0].Before, entries[0].After)
	}
	w.issue(t, w.ada, "other")
	_, err = w.keys.Edit(t.Context(), w.ada, key.ID, keyring.Draft{Name: "other"})
	if f, _ := fault.Of(err); f.Kind != fault.Conflict || f.Field != "name" {
		t.Errorf("a taken name = %v, want a conflict", err)
	}
	_, err = w.keys.Edit(t.Context(), w.ada, key.ID, keyring.Draft{Name: "x", Source: "webhook"})
	if f, _ := fault.Of(err); f.Field != "source" {
		t.Errorf("the origin's source = %v, want a fault on source", err)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const old = "wk_4f9a2c7de1b84f9a2c7de1b84f9a2c7d"
	sum := sha256.Sum256([]byte("wk_another-key-of-the-origin-00000001"))
	first, _, err := w.keys.Import(t.Context(), w.ada, keyring.Draft{Name: "a"}, keyring.Imported{APIKey: old, Secret: "a-secret-made-elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	second, shared, err := w.keys.Import(t.Context(), w.ada, keyring.Draft{Name: "b"}, keyring.Imported{APIKeyHash: sum[:], Secret: "a-secret-made-elsewhere"})
	if err != nil || !shared || first.Source != "webhook" || second.Source != "webhook" {
		t.Fatalf("Import = %+v, shared %v, %v; want the origin's source and a shared secret told", second, shared, err)
	}
	for text, want := range map[string]uuid.UUID{old: first.ID, "wk_another-key-of-the-origin-00000001": second.ID} {
		if found, err := w.keys.ByAPIKey(t.Context(), text); err != nil || found.Key.ID != want {
			t.Errorf("ByAPIKey = %v, %v; want the imported key", found.Key.ID, err)
		}
	}
	for name, from := range map[string]keyring.Imported{
		"nothing":     {},
		"short":       {APIKey: "abc"},
		"there":       {APIKey: old},
		"space":       {APIKey: "wk_a key with spaces in it"},
		"short hash":  {APIKeyHash: []byte("x")},
		"bad khk_":    {APIKey: "khk_" + strings.Repeat("0", 38)},
		"line secret": {Secret: "a-secret\nof-two-lines"},
	} {
		if _, _, err := w.keys.Import(t.Context(), w.ada, keyring.Draft{Name: name}, from); err == nil {
			t.Errorf("%s: Import accepted it", name)
		}
	}
	if diff := cmp.Diff([]audit.Action{audit.KeyImported, audit.KeyImported}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
}

func TestLookUps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ingestion := keyring.NewStore(w.Ingestion(), w.box)
	issued := w.issue(t, w.ada, "billing")
	found, err := ingestion.ByAPIKey(t.Context(), issued.APIKey.Reveal())
	if err != nil || found.Key.ID != issued.Key.ID || found.State != keyring.Valid || found.Generation != 1 {
		t.Fatalf("ByAPIKey = %+v, %v", found, err)
	}
	if _, err := ingestion.ByAPIKey(t.Context(), keyring.NewAPIKey().Reveal()); err == nil {
		t.Error("ByAPIKey found a key that is not there")
	}
	view := keyring.NewCache(ingestion).View(false)
	key, all, err := view.ByID(t.Context(), issued.Key.ID)
	if err != nil || key.ID != issued.Key.ID || len(all) != 2 {
		t.Fatalf("ByID = %v, %d credentials, %v", key.ID, len(all), err)
	}
	for range 20 {
		w.issue(t, w.ada, uuid.NewString())
	}
	w.Raw().MustExec(`UPDATE webhook_keys SET last_used_at = now() WHERE id = $1`, issued.Key.ID)
	secrets, tooMany, err := view.Generic(t.Context(), w.ada.WorkspaceID, uuid.Nil)
	if err != nil || !tooMany || len(secrets) != keyring.MaxSecrets || secrets[0].Secret.Reveal() != issued.Secret.Reveal() {
		t.Errorf("Generic = %d secrets, too many %v, %v; want 16, the last used first", len(secrets), tooMany, err)
	}
	secrets, _, err = view.Generic(t.Context(), w.ada.WorkspaceID, issued.Key.ID)
	if err != nil || len(secrets) != 1 {
		t.Errorf("Generic for one key = %d secrets, %v", len(secrets), err)
	}
	if secrets, _, err := view.Generic(t.Context(), uuid.New(), issued.Key.ID); err != nil || len(secrets) != 0 {
		t.Errorf("Generic in another workspace = %d secrets, %v; want none", len(secrets), err)
	}
	if err := ingestion.CheckMasterKeys(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.issue(t, w.ada, "billing")
	for _, tt := range []struct {
		change string
		want   keyring.State
	}{
		{`UPDATE webhook_keys SET expires_at = now() + interval '1 hour'`, keyring.Valid},
		{`UPDATE webhook_key_credentials SET expires_at = now() + interval '1 hour'`, keyring.Valid},
		{`UPDATE webhook_key_credentials SET expires_at = now()`, keyring.CredentialExpired},
		{`UPDATE webhook_key_credentials SET ended_at = now()`, keyring.CredentialEnded},
		{`UPDATE webhook_keys SET expires_at = now()`, keyring.KeyExpired},
		{`UPDATE webhook_keys SET is_active = false`, keyring.KeyInactive},
	} {
		w.Raw().MustExec(tt.change)
		if found, err := w.keys.ByAPIKey(t.Context(), issued.APIKey.Reveal()); err != nil || found.State != tt.want {
			t.Errorf("after %s: ByAPIKey = %s, %v; want %s", tt.change, found.State, err, tt.want)
		}
	}
}

func TestSpendIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limit, quota := 20, 1000
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "k", RateLimit: &limit, RateSeconds: 3600, DailyQuota: &quota}, "")
	if err != nil {
		t.Fatal(err)
	}
	db := w.Ingestion()
	var granted atomic.Int32
	var spenders sync.WaitGroup
	for range 32 {
		spenders.Go(func() {
			err := db.InTx(t.Context(), func(tx *sqlx.Tx) error {
				left, ok, err := keyring.Spend(t.Context(), tx, issued.Key)
				if ok {
					granted.Add(1)
				}
				if left.Limit != limit || left.Reset <= 0 || left.Reset > time.Hour || left.Remaining < 0 {
					t.Errorf("Spend = %+v, %v", left, ok)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	spenders.Wait()
	if granted.Load() != int32(limit) {
		t.Errorf("%d of 32 requests were granted, want %d", granted.Load(), limit)
	}
	w.Raw().MustExec(`UPDATE key_allowances SET started_at = started_at - interval '1 hour' WHERE span = 'rate'`)
	err = db.InTx(t.Context(), func(tx *sqlx.Tx) error {
		if _, ok, err := keyring.Spend(t.Context(), tx, issued.Key); err != nil || !ok {
			t.Errorf("a new window grants nothing: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMovedSecretDoesNotOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.issue(t, w.ada, "a").Key, w.issue(t, w.ada, "b").Key
	w.Raw().MustExec(`UPDATE webhook_key_credentials SET sealed = (SELECT sealed FROM webhook_key_credentials WHERE webhook_key_id = $1 AND kind = 'secret')
		WHERE webhook_key_id = $2 AND kind = 'secret'`, a.ID, b.ID)
	view := keyring.NewCache(w.keys).View(true)
	if _, _, err := view.ByID(t.Context(), b.ID); err == nil {
		t.Error("a secret that was moved to another key opens there")
	}
	if _, _, err := view.ByID(t.Context(), a.ID); err != nil {
		t.Errorf("and the other key = %v, want to be found", err)
	}
}

func TestMarkUsedNeverGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issue(t, w.ada, "a").Key.ID
	late, early := time.Now().UTC().Truncate(time.Microsecond), time.Now().Add(-time.Hour)
	for _, a := range []keyring.Activity{{KeyID: id, UsedAt: &late}, {KeyID: id, UsedAt: &early, RefusedAt: &early}, {KeyID: id}} {
		err := w.Ingestion().InTx(t.Context(), func(tx *sqlx.Tx) error { return keyring.MarkUsed(t.Context(), tx, []keyring.Activity{a}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, id)
	if err != nil || !key.LastUsedAt.Equal(late) || key.LastRefusedAt == nil {
		t.Errorf("last used %v, refused %v, %v; want %v and some time", key.LastUsedAt, key.LastRefusedAt, err, late)
	}
}
