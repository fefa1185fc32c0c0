package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// visitor is whoever holds a link, from another network.
var visitor = audit.Actor{Kind: audit.System, Address: "198.51.100.7"}

func (w *world) handOver(t *testing.T, id uuid.UUID, draft keyring.HandoverDraft) (keyring.Handover, string) {
	t.Helper()
	if draft.Recipient == "" {
		draft.Recipient = "Priya at Northwind"
	}
	made, token, err := w.keys.HandOver(t.Context(), w.ada, id, draft)
	if err != nil {
		t.Fatal(err)
	}
	return made, token.Reveal()
}

func (w *world) take(t *testing.T, h keyring.Handover, token, secret string) keyring.Rotated {
	t.Helper()
	done, err := w.keys.TakeHandover(t.Context(), visitor, h.ID, token, secret)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (w *world) handed(t *testing.T, h keyring.Handover, token string) keyring.Handed {
	t.Helper()
	handed, err := w.keys.Handed(t.Context(), h.ID, token)
	if err != nil {
		t.Fatal(err)
	}
	return handed
}

func (w *world) withoutCredentials(t *testing.T, draft keyring.Draft) keyring.Key {
	t.Helper()
	issued, err := w.keys.IssueWithout(t.Context(), w.ada, draft, "")
	if err != nil {
		t.Fatal(err)
	}
	if issued.Shows() || !issued.Key.Bare() {
		t.Fatalf("IssueWithout made credentials: %+v", issued.Key)
	}
	return issued.Key
}

// trailOf is what the audit trail tells of a key, without how it was made.
func (w *world) trailOf(t *testing.T, id uuid.UUID) (entries []string) {
	t.Helper()
	err := w.Raw().Select(&entries, `SELECT actor_kind || ' ' || action FROM audit_log WHERE target_id = $1 AND action <> 'key.created' ORDER BY seq`, id.String())
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func (w *world) wantTrail(t *testing.T, id uuid.UUID, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.trailOf(t, id)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
}

// TestHandOver makes a key without credentials, which its recipient makes once.
func TestHandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.withoutCredentials(t, keyring.Draft{Name: "orders"})
	link, token := w.handOver(t, key.ID, keyring.HandoverDraft{Note: "Two lines\nof note"})
	if !link.Pending() || link.Used() || len(token) < 43 || link.ExpiresAt.Sub(link.CreatedAt) != keyring.HandoverLife {
		t.Errorf("HandOver = %+v with %d characters", link, len(token))
	}
	for range 3 { // looking uses nothing up
		if handed := w.handed(t, link, token); handed.Used() || handed.Replaces || len(handed.Credentials) != 0 || handed.Key.Name != "orders" {
			t.Errorf("Handed = %+v", handed)
		}
	}
	done := w.take(t, link, token, "")
	if done.What != keyring.Both || done.APIKey.Reveal() == "" || done.Secret.Reveal() == "" || done.Until != nil {
		t.Errorf("TakeHandover = %+v", done)
	}
	w.wantStates(t, key.ID, "after the hand-over", map[string]keyring.State{"api_key 1": valid, "secret 1": valid})
	if found, err := w.keys.ByAPIKey(t.Context(), done.APIKey.Reveal()); err != nil || found.Key.ID != key.ID {
		t.Errorf("ByAPIKey = %v, %v", found.Key.ID, err)
	}
	_, err := w.keys.TakeHandover(t.Context(), visitor, link.ID, token, "")
	used, ok := errors.AsType[*keyring.HandoverUsed](err)
	if !ok || used.UsedFrom != visitor.Address || !used.Current() || len(used.CountedAs) != 2 {
		t.Errorf("TakeHandover again = %v, want HandoverUsed", err)
	}
	for range 2 { // said again it changes nothing
		if err := w.keys.ConfirmHandedOver(t.Context(), visitor, link.ID, token); err != nil {
			t.Error(err)
		}
	}
	w.wantTrail(t, key.ID, "user key.handover_made", "link key.handover_used", "link key.credentials_shown", "link key.credentials_saved")
	var entries []struct{ Label, Address, All string }
	w.Raw().Select(&entries, `SELECT actor_label AS label, address, before || after AS all FROM audit_log WHERE actor_kind = 'link'`)
	for _, e := range entries {
		if e.Label != "Hand-over link for Priya at Northwind" || e.Address != visitor.Address || strings.Contains(e.All, token) || strings.Contains(e.All, done.APIKey.Reveal()) {
			t.Errorf("an entry of the recipient: %+v", e)
		}
	}
	w.holdsNone(t, token, done.APIKey.Reveal(), done.Secret.Reveal())
}

// holdsNone looks for secrets in all of the feature's rows.
func (w *world) holdsNone(t *testing.T, secrets ...string) {
	t.Helper()
	var rows []string
	if err := w.Raw().Select(&rows, `SELECT row_to_json(h)::text FROM key_handovers AS h UNION ALL SELECT row_to_json(c)::text FROM webhook_key_credentials AS c`); err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, secret := range secrets {
		if all := strings.Join(rows, "\n"); strings.Contains(all, secret) {
			t.Errorf("a row holds %.8s… in plain text", secret)
		}
	}
}

// TestHandOverReplaces: a key that works gets new credentials, the old ones work on
// from the moment the link is used, and a later rotation shows on the link.
func TestHandOverReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.issueDraft(t, keyring.Draft{Name: "orders"})
	link, token := w.handOver(t, first.Key.ID, keyring.HandoverDraft{Overlap: time.Hour})
	if handed := w.handed(t, link, token); !handed.Replaces || handed.Overlap() != time.Hour {
		t.Errorf("Handed = %+v", handed)
	}
	done := w.take(t, link, token, "")
	if done.Until == nil || time.Until(*done.Until) > time.Hour || time.Until(*done.Until) < 50*time.Minute {
		t.Errorf("the overlap ends at %v", done.Until)
	}
	w.wantStates(t, first.Key.ID, "in the overlap", map[string]keyring.State{"api_key 1": valid, "api_key 2": valid, "secret 1": valid, "secret 2": valid})
	w.wantTrail(t, first.Key.ID, "user key.credentials_shown", "user key.handover_made", "link key.handover_used", "link key.rotated", "link key.credentials_shown")

	w.rotate(t, first.Key.ID, keyring.Rotation{What: keyring.APIKeyOnly, Overlap: day})
	handed := w.handed(t, link, token)
	states := map[keyring.What][2]bool{}
	for _, c := range handed.Credentials {
		states[c.What] = [2]bool{c.Works, c.Until != nil}
	}
	want := map[keyring.What][2]bool{keyring.APIKeyOnly: {true, true}, keyring.SecretOnly: {true, false}}
	if diff := cmp.Diff(want, states); diff != "" || !handed.Current() {
		t.Errorf("after a rotation of the API key (-want +got):\n%s", diff)
	}
	w.rotate(t, first.Key.ID, keyring.Rotation{})
	if handed := w.handed(t, link, token); handed.Current() || handed.Working() {
		t.Errorf("after a rotation of both: %+v", handed.Credentials)
	}
}

// TestHandOverProvider: the recipient pastes the secret that the provider makes.
func TestHandOverProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.withoutCredentials(t, keyring.Draft{Name: "billing", Scheme: signature.Stripe})
	link, token := w.handOver(t, key.ID, keyring.HandoverDraft{})
	for _, wrong := range []string{"", "short", "two\nlines of something"} {
		if _, err := w.keys.TakeHandover(t.Context(), visitor, link.ID, token, wrong); kindOf(err) != fault.Invalid {
			t.Errorf("TakeHandover with %q = %v, want Invalid", wrong, err)
		}
	}
	const secret = "whsec_abcdefghijklmnopqrstuvwxyz0123456789"
	if done := w.take(t, link, token, " "+secret+" "); done.Shows() || done.What != keyring.SecretOnly || len(done.Warnings) != 0 {
		t.Errorf("TakeHandover = %+v", done)
	}
	next, nextToken := w.handOver(t, key.ID, keyring.HandoverDraft{Overlap: day})
	if _, err := w.keys.TakeHandover(t.Context(), visitor, next.ID, nextToken, secret); kindOf(err) != fault.Invalid {
		t.Errorf("the secret that the key has already = %v, want Invalid", err)
	}
	if done := w.take(t, next, nextToken, "odd-looking-secret-of-nobody"); len(done.Warnings) != 1 || done.Until == nil {
		t.Errorf("another secret = %+v", done)
	}
	w.wantTrail(t, key.ID, "user key.handover_made", "link key.handover_used", "link key.secret_pasted",
		"user key.handover_made", "link key.handover_used", "link key.rotated", "link key.secret_pasted")
	w.holdsNone(t, secret, token, nextToken)
}

// TestHandOverRace: of many who press at once, one gets credentials.
func TestHandOverRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.withoutCredentials(t, keyring.Draft{Name: "orders"})
	link, token := w.handOver(t, key.ID, keyring.HandoverDraft{})
	var group sync.WaitGroup
	results := make(chan error, 8)
	for range cap(results) {
		group.Go(func() {
			_, err := w.keys.TakeHandover(context.WithoutCancel(t.Context()), visitor, link.ID, token, "")
			results <- err
		})
	}
	group.Wait()
	close(results)
	made := 0
	for err := range results {
		if _, used := errors.AsType[*keyring.HandoverUsed](err); err == nil {
			made++
		} else if !used {
			t.Errorf("TakeHandover = %v, want HandoverUsed", err)
		}
	}
	var credentials int
	w.Raw().Get(&credentials, `SELECT count(*) FROM webhook_key_credentials WHERE webhook_key_id = $1`, key.ID)
	if made != 1 || credentials != 2 {
		t.Errorf("%d of 8 got credentials, of which there are %d; want 1 and 2", made, credentials)
	}
	w.wantTrail(t, key.ID, "user key.handover_made", "link key.handover_used", "link key.credentials_shown")
}

// TestHandOverEnds: what ends a link, and what is said of it then.
func TestHandOverEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bob := w.newOwner(t, "Bob")
	newLink := func(name string) (keyring.Key, keyring.Handover, string) {
		key := w.withoutCredentials(t, keyring.Draft{Name: name})
		link, token := w.handOver(t, key.ID, keyring.HandoverDraft{})
		return key, link, token
	}
	gone := func(when string, link keyring.Handover, token string) {
		t.Helper()
		_, seen := w.keys.Handed(t.Context(), link.ID, token)
		_, err := w.keys.TakeHandover(t.Context(), visitor, link.ID, token, "")
		if kindOf(seen) != fault.NotFound || kindOf(err) != fault.NotFound {
			t.Errorf("%s: Handed = %v, TakeHandover = %v; want NotFound", when, seen, err)
		}
	}
	key, link, token := newLink("withdrawn")
	if err := w.keys.WithdrawHandover(t.Context(), bob, key.ID, link.ID); kindOf(err) != fault.NotFound {
		t.Errorf("WithdrawHandover from another workspace = %v, want NotFound", err)
	}
	gone("another token", link, token+"x")
	gone("another id", keyring.Handover{ID: uuid.New()}, token)
	for range 2 { // the second changes nothing
		if err := w.keys.WithdrawHandover(t.Context(), w.ada, key.ID, link.ID); err != nil {
			t.Error(err)
		}
	}
	gone("withdrawn", link, token)
	w.wantTrail(t, key.ID, "user key.handover_made", "user key.handover_withdrawn")

	key, former, formerToken := newLink("superseded")
	w.handOver(t, key.ID, keyring.HandoverDraft{})
	gone("superseded", former, formerToken)
	w.wantTrail(t, key.ID, "user key.handover_made", "user key.handover_withdrawn", "user key.handover_made")

	key, link, token = newLink("run out")
	w.Raw().MustExec(`UPDATE key_handovers SET expires_at = now() WHERE id = $1`, link.ID)
	if handed := w.handed(t, link, token); !handed.Over() || handed.Pending() {
		t.Errorf("a link that ran out: %+v", handed)
	}
	if _, err := w.keys.TakeHandover(t.Context(), visitor, link.ID, token, ""); kindOf(err) != fault.NotFound {
		t.Errorf("TakeHandover of a link that ran out = %v, want NotFound", err)
	}
	w.wantTrail(t, key.ID, "user key.handover_made")

	key, link, token = newLink("deactivated")
	if _, err := w.keys.Deactivate(t.Context(), w.ada, key.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.TakeHandover(t.Context(), visitor, link.ID, token, ""); kindOf(err) != fault.Conflict {
		t.Errorf("TakeHandover of a deactivated key = %v, want Conflict", err)
	}
	if _, _, err := w.keys.HandOver(t.Context(), w.ada, key.ID, keyring.HandoverDraft{Recipient: "P"}); kindOf(err) != fault.Conflict {
		t.Errorf("HandOver of a deactivated key = %v, want Conflict", err)
	}
	if _, err := w.keys.Reactivate(t.Context(), w.ada, key.ID); err != nil {
		t.Fatal(err)
	}
	w.take(t, link, token, "") // nothing was used up

	w.Raw().MustExec(`UPDATE key_handovers SET used_at = now() - interval '366 days' WHERE id = $1`, link.ID)
	if !w.handed(t, link, token).Over() {
		t.Error("a link tells how it goes more than a year after its use")
	}
	_, link, token = newLink("workspace deleted")
	w.Raw().MustExec(`DELETE FROM workspaces WHERE id = $1`, w.ada.WorkspaceID)
	gone("workspace deleted", link, token)
}

// TestHandOverWho: owners and admins, of the key's workspace.
func TestHandOverWho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.issueDraft(t, keyring.Draft{Name: "orders"})
	member := w.newPerson(t, w.ada.WorkspaceID, "Mia", "member")
	w.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1`, member.UserID)
	bob := w.newOwner(t, "Bob")
	admin := w.newPerson(t, w.ada.WorkspaceID, "Adi", "admin")
	for who, tt := range map[*audit.Actor]fault.Kind{&member: fault.Forbidden, &bob: fault.NotFound, &admin: 0} {
		_, _, err := w.keys.HandOver(t.Context(), *who, issued.Key.ID, keyring.HandoverDraft{Recipient: "P"})
		if kindOf(err) != tt {
			t.Errorf("HandOver by %s = %v, want kind %v", who.Label, err, tt)
		}
	}
	if _, err := w.keys.IssueWithout(t.Context(), member, keyring.Draft{Name: "x"}, ""); kindOf(err) != fault.Forbidden {
		t.Errorf("IssueWithout by a member = %v, want Forbidden", err)
	}
	links, err := w.keys.HandoversOf(t.Context(), w.ada.WorkspaceID, issued.Key.ID)
	if err != nil || len(links) != 1 || links[0].MadeBy != "Adi" {
		t.Fatalf("HandoversOf = %+v, %v", links, err)
	}
	if err := w.keys.WithdrawHandover(t.Context(), member, issued.Key.ID, links[0].ID); kindOf(err) != fault.Forbidden {
		t.Errorf("WithdrawHandover by a member = %v, want Forbidden", err)
	}
}

// TestHandOverForm: a form makes one link, and what is typed is checked.
func TestHandOverForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.issueDraft(t, keyring.Draft{Name: "orders"})
	first, token := w.handOver(t, issued.Key.ID, keyring.HandoverDraft{Nonce: "n"})
	_, _, err := w.keys.HandOver(t.Context(), w.ada, issued.Key.ID, keyring.HandoverDraft{Recipient: "P", Nonce: "n"})
	if exists, ok := errors.AsType[*keyring.HandoverExists](err); !ok || exists.ID != first.ID {
		t.Errorf("the form again = %v, want HandoverExists", err)
	}
	if !w.handed(t, first, token).Pending() {
		t.Error("the form sent again withdrew its own link")
	}
	for field, draft := range map[string]keyring.HandoverDraft{
		"recipient": {Recipient: " \t"},
		"note":      {Recipient: "P", Note: strings.Repeat("é", keyring.MaxHandoverNote+1)},
		"overlap":   {Recipient: "P", Overlap: keyring.MaxOverlap + 1},
	} {
		f, _ := fault.Of(draft.Check())
		if f.Kind != fault.Invalid || f.Fields()[field] == "" {
			t.Errorf("Check of a wrong %s = %+v", field, f)
		}
	}
	if f, _ := fault.Of((keyring.HandoverDraft{Recipient: "P", Note: issued.APIKey.Reveal()}).Check()); f.Fields()["note"] == "" {
		t.Error("a note may hold an API key")
	}
	for name, value := range map[string]any{"token": keyring.Credential{}, "link": first} {
		if text, err := json.Marshal(value); err != nil || strings.Contains(string(text), token) {
			t.Errorf("%s as JSON: %s, %v", name, text, err)
		}
	}
}
