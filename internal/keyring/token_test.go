package keyring_test

import (
	"errors"
	"fmt"
	"regexp"
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

func readToken(name string) keyring.TokenDraft {
	return keyring.TokenDraft{Name: name, Scopes: []keyring.Scope{keyring.ReadSignals}}
}

func (w *world) issueToken(t *testing.T, by audit.Actor, draft keyring.TokenDraft) keyring.IssuedToken {
	t.Helper()
	issued, err := w.keys.IssueToken(t.Context(), by, draft, "")
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// TestTokenLife: a token works from its making to its end, comes back, and all of
// it is in the trail.
func TestTokenLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mallory := w.newOwner(t, "Mallory")
	issued := w.issueToken(t, w.ada, readToken("  warehouse   loader "))
	text := issued.Text.Reveal()
	if !regexp.MustCompile(`^kht_[0-9A-Za-z]{38}$`).MatchString(text) {
		t.Errorf("the token's form is wrong: %d characters", len(text))
	}
	if got := issued.Token; got.Name != "warehouse loader" || !got.Can(keyring.ReadSignals) || got.Hint != text[:8]+"…"+text[len(text)-4:] || got.CreatedByName != "Ada Okonkwo" {
		t.Errorf("IssueToken = %+v", got)
	}
	works := func() bool {
		found, err := w.keys.AuthenticateToken(t.Context(), text)
		if f, _ := fault.Of(err); err != nil && f.Kind != fault.Unauthenticated {
			t.Fatal(err)
		}
		return err == nil && found.ID == issued.Token.ID
	}
	if !works() {
		t.Error("a new token does not work")
	}
	if _, err := w.keys.DeactivateToken(t.Context(), mallory, issued.Token.ID); err == nil || !works() {
		t.Errorf("another workspace's owner deactivates it: %v", err)
	}
	for i, want := range []bool{true, false} { // the second changes nothing and records nothing
		if changed, err := w.keys.DeactivateToken(t.Context(), w.ada, issued.Token.ID); err != nil || changed != want {
			t.Errorf("DeactivateToken %d = %v, %v, want %v", i, changed, err, want)
		}
	}
	if works() {
		t.Error("a deactivated token works")
	}
	if changed, err := w.keys.ReactivateToken(t.Context(), w.ada, issued.Token.ID); err != nil || !changed || !works() {
		t.Errorf("ReactivateToken = %v, %v", changed, err)
	}
	w.Raw().MustExec(`UPDATE tokens SET expires_at = statement_timestamp()`)
	if works() {
		t.Error("an expired token works")
	}
	want := []audit.Action{audit.TokenCreated, audit.TokenShown, audit.TokenDeactivated, audit.TokenReactivated}
	if diff := cmp.Diff(want, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
	if got := w.actions(t, mallory); len(got) != 0 {
		t.Errorf("the other workspace's trail = %v, want none", got)
	}
}

// TestTokenAnswersAlike: whatever does not work has one error, and what prints a
// token prints nothing of it.
func TestTokenAnswersAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ended, expired := w.issueToken(t, w.ada, readToken("ended")), w.issueToken(t, w.ada, readToken("expired"))
	w.Raw().MustExec(`UPDATE tokens SET is_active = name <> 'ended', expires_at = CASE name WHEN 'expired' THEN now() - interval '1 s' END`)
	key := w.issue(t, w.ada, "key")
	messages := map[string]bool{}
	for name, text := range map[string]string{
		"ended": ended.Text.Reveal(), "expired": expired.Text.Reveal(), "unknown": keyring.NewToken().Reveal(), "an API key": key.APIKey.Reveal(),
		"a secret": key.Secret.Reveal(), "none": "", "short": "kht_abc", "a typo": "kht_" + strings.Repeat("a", 38), "NUL": "kht_\x00",
		"bad UTF-8": "kht_\xff" + strings.Repeat("a", 37), "huge": "kht_" + strings.Repeat("a", 1<<20),
	} {
		_, err := w.keys.AuthenticateToken(t.Context(), text)
		f, _ := fault.Of(err)
		if f.Kind != fault.Unauthenticated {
			t.Errorf("%s = %v, want Unauthenticated", name, err)
		}
		messages[f.Message] = true
	}
	if len(messages) != 1 {
		t.Errorf("the answers differ: %v", messages)
	}
	if text := fmt.Sprintf("%v %+v %#v %s %q %x", ended, ended, ended, ended.Text, ended.Text, ended.Text); strings.Contains(text, ended.Text.Reveal()) {
		t.Error("printing a token shows it")
	}
}

func TestTokenFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issueToken(t, w.ada, readToken("taken"))
	far := time.Now().AddDate(20, 0, 0)
	for _, tt := range []struct {
		name  string
		draft keyring.TokenDraft
		field string
		kind  fault.Kind
	}{
		{"no name", readToken(" \t"), "name", fault.Invalid},
		{"a long name", readToken(strings.Repeat("é", keyring.MaxName+1)), "name", fault.Invalid},
		{"a hidden character", readToken("a\u202eb"), "name", fault.Invalid},
		{"a name that is taken", readToken(" taken "), "name", fault.Conflict},
		{"no scope", keyring.TokenDraft{Name: "x"}, "scopes", fault.Invalid},
		{"an unknown scope", keyring.TokenDraft{Name: "x", Scopes: []keyring.Scope{"rule-all"}}, "scopes", fault.Invalid},
		{"a far end", keyring.TokenDraft{Name: "x", Scopes: keyring.Scopes(), ExpiresAt: &far}, "expires", fault.Invalid},
	} {
		_, err := w.keys.IssueToken(t.Context(), w.ada, tt.draft, "")
		if f, _ := fault.Of(err); f.Kind != tt.kind || f.Field != tt.field {
			t.Errorf("%s = %v, want fault %v on %s", tt.name, err, tt.kind, tt.field)
		}
	}
	for _, nonce := range []string{"a\x00", "\xff", strings.Repeat("n", 201)} {
		if _, err := w.keys.IssueToken(t.Context(), w.ada, readToken("x"), nonce); err == nil {
			t.Errorf("the nonce %.4q is taken", nonce)
		}
	}
	nowhere := audit.Actor{WorkspaceID: uuid.Must(uuid.NewV7()), Kind: audit.CLI}
	if _, err := w.keys.IssueToken(t.Context(), nowhere, readToken("x"), ""); err == nil {
		t.Error("a workspace that is not there gets a token")
	}
	if got := w.actions(t, w.ada); len(got) != 2 {
		t.Errorf("audit trail = %v, want only the token that was made", got)
	}
}

// TestOneFormOneToken sends one form many times at once; the one who was shown the
// token says once that it is saved.
func TestOneFormOneToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var made, already, saved atomic.Int32
	var id atomic.Value
	var senders sync.WaitGroup
	for range 20 {
		senders.Go(func() {
			issued, err := w.keys.IssueToken(t.Context(), w.ada, readToken("loader"), "nonce")
			if before, ok := errors.AsType[*keyring.TokenAlreadyIssued](err); ok && before.ShownTo == "Ada Okonkwo" && before.Token.Name == "loader" {
				already.Add(1)
			} else if err == nil {
				made.Add(1)
				id.Store(issued.Token.ID)
			}
		})
	}
	senders.Wait()
	if made.Load() != 1 || already.Load() != 19 {
		t.Fatalf("%d tokens were made and %d were told so, want 1 and 19", made.Load(), already.Load())
	}
	token := id.Load().(uuid.UUID)
	other := w.newPerson(t, w.ada.WorkspaceID, w.ada.Label, "admin")
	if err := w.keys.ConfirmTokenSaved(t.Context(), other, token); err == nil {
		t.Error("somebody else confirms it")
	}
	for range 10 {
		senders.Go(func() {
			if w.keys.ConfirmTokenSaved(t.Context(), w.ada, token) == nil {
				saved.Add(1)
			}
		})
	}
	senders.Wait()
	if saved.Load() != 1 || !slices.Contains(w.actions(t, w.ada), audit.TokenSaved) {
		t.Errorf("it was confirmed %d times, want once", saved.Load())
	}
}

// TestTokenUse: times of use only move forward, and people and workspaces go as
// they should.
func TestTokenUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	maker := w.newPerson(t, w.ada.WorkspaceID, "Maker", "admin")
	issued := w.issueToken(t, maker, readToken("loader"))
	now := time.Now().UTC().Truncate(time.Microsecond)
	for _, at := range []time.Time{now, now.Add(-time.Hour)} {
		err := w.Console().InTx(t.Context(), func(tx *sqlx.Tx) error {
			there, err := keyring.MarkTokensUsed(t.Context(), tx, map[uuid.UUID]time.Time{issued.Token.ID: at, uuid.Must(uuid.NewV7()): at})
			if len(there) != 1 || there[0] != issued.Token.ID {
				t.Errorf("MarkTokensUsed = %v, want the one that is there", there)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Raw().MustExec(`DELETE FROM users WHERE id = $1`, maker.UserID)
	found, err := w.keys.FindToken(t.Context(), w.ada.WorkspaceID, issued.Token.ID)
	if err != nil || found.LastUsedAt == nil || !found.LastUsedAt.Equal(now) || found.CreatedBy != nil {
		t.Errorf("FindToken = %+v, %v; want the later use and no maker", found, err)
	}
	valid, err := w.keys.ValidTokens(t.Context(), []uuid.UUID{issued.Token.ID, uuid.Must(uuid.NewV7())})
	if err != nil || len(valid) != 1 || !valid[issued.Token.ID] {
		t.Errorf("ValidTokens = %v, %v", valid, err)
	}
	w.Raw().MustExec(`DELETE FROM workspaces WHERE id = $1`, w.ada.WorkspaceID)
	if _, err := w.keys.AuthenticateToken(t.Context(), issued.Text.Reveal()); err == nil {
		t.Error("the token outlives its workspace")
	}
}
