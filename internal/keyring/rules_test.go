package keyring_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// draftOf is a draft that changes nothing about a key.
func draftOf(key keyring.Key) keyring.Draft {
	return keyring.Draft{
		Name: key.Name, Source: key.Source, Note: key.Note, Labels: key.Labels, OwnerID: key.OwnerID, ExpiresAt: key.ExpiresAt,
		RequireSignature: key.RequireSignature, AllowInURL: key.AllowInURL, AllowedCIDRs: key.AllowedCIDRs, OtherSources: key.OtherSources,
		RateLimit: key.RateLimit, RateSeconds: key.RateSeconds, DailyQuota: key.DailyQuota, RefPointer: key.RefPointer,
		IdenticalBodies: key.IdenticalBodies, Log: key.Log, Seen: key.Edition(),
	}
}

// TestEachRuleIsEdited changes one field at a time, there and back, and reads what
// the audit trail says of it.
func TestEachRuleIsEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bo := w.newPerson(t, w.ada.WorkspaceID, "Bo", "member")
	end := time.Date(time.Now().Year()+1, 3, 4, 5, 6, 7, 0, time.UTC)
	stamp := end.Format(time.RFC3339)
	key := w.issueDraft(t, keyring.Draft{Name: "orders", OwnerID: &w.ada.UserID}).Key
	limit, quota := 60, 5000
	for _, tt := range []struct {
		change  func(*keyring.Draft)
		was, is string
	}{
		{change: func(d *keyring.Draft) { d.Name = "Orders EU" }, was: `{"name":"orders"}`, is: `{"name":"Orders EU"}`},
		{change: func(d *keyring.Draft) { d.Source = "orders-eu" }, was: `{"source":"orders"}`, is: `{"source":"orders-eu"}`},
		{change: func(d *keyring.Draft) { d.Note = "Ask Bo." }, was: `{"note":""}`, is: `{"note":"Ask Bo."}`},
		{change: func(d *keyring.Draft) { d.Labels = []string{"eu", "live"} }, was: `{"labels":[]}`, is: `{"labels":["eu","live"]}`},
		{
			change: func(d *keyring.Draft) { d.OwnerID = &bo.UserID },
			was:    `{"owner":"Ada Okonkwo","owner_id":"` + w.ada.UserID.String() + `"}`, is: `{"owner":"Bo","owner_id":"` + bo.UserID.String() + `"}`,
		},
		{change: func(d *keyring.Draft) { d.ExpiresAt = &end }, was: `{"expires_at":"never"}`, is: `{"expires_at":"` + stamp + `"}`},
		{change: func(d *keyring.Draft) { d.RequireSignature = true }, was: `{"require_signature":false}`, is: `{"require_signature":true}`},
		{change: func(d *keyring.Draft) { d.AllowInURL = true }, was: `{"allow_in_url":false}`, is: `{"allow_in_url":true}`},
		{
			change: func(d *keyring.Draft) { d.AllowedCIDRs = []string{"192.0.2.7/24", "2001:db8::1"} },
			was:    `{"allowed_cidrs":[]}`, is: `{"allowed_cidrs":["192.0.2.0/24","2001:db8::1/128"]}`,
		},
		{change: func(d *keyring.Draft) { d.OtherSources = []string{"returns"} }, was: `{"other_sources":[]}`, is: `{"other_sources":["returns"]}`},
		{
			change: func(d *keyring.Draft) { d.RateLimit, d.RateSeconds = &limit, 1 },
			was:    `{"rate_limit":"none"}`, is: `{"rate_limit":{"requests":60,"seconds":1}}`,
		},
		{change: func(d *keyring.Draft) { d.DailyQuota = &quota }, was: `{"daily_quota":"none"}`, is: `{"daily_quota":5000}`},
		{change: func(d *keyring.Draft) { d.RefPointer = "/data/id" }, was: `{"ref_pointer":""}`, is: `{"ref_pointer":"/data/id"}`},
		{change: func(d *keyring.Draft) { d.IdenticalBodies = "duplicate" }, was: `{"identical_bodies":"flag"}`, is: `{"identical_bodies":"duplicate"}`},
		{change: func(d *keyring.Draft) { d.Log = "nothing" }, was: `{"log":"full"}`, is: `{"log":"nothing"}`},
	} {
		draft := draftOf(key)
		tt.change(&draft)
		changed, err := w.keys.Edit(t.Context(), w.ada, key.ID, draft)
		if err != nil {
			t.Fatalf("%s: %v", tt.is, err)
		}
		if entry := w.lastEntry(t); entry.Action != audit.KeyEdited || entry.Before != tt.was || entry.After != tt.is {
			t.Errorf("the trail says %s %s → %s, want %s → %s", entry.Action, entry.Before, entry.After, tt.was, tt.is)
		}
		back := draftOf(key)
		back.Seen = changed.Edition()
		if _, err := w.keys.Edit(t.Context(), w.ada, key.ID, back); err != nil {
			t.Fatalf("back from %s: %v", tt.is, err)
		}
		if entry := w.lastEntry(t); entry.Before != tt.is || entry.After != tt.was {
			t.Errorf("the way back says %s → %s, want %s → %s", entry.Before, entry.After, tt.is, tt.was)
		}
	}
	if now, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, key.ID); err != nil || now.Edition() != key.Edition() {
		t.Errorf("there and back, the key is %+v, %v; want %+v", now, err, key)
	}
}

// TestTwoEditors: a form that shows a key as it no longer is changes nothing, and
// is told what differs. One that comes to the same as what is stored, as a double
// click does, is no clash.
func TestTwoEditors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key
	first, second := draftOf(key), draftOf(key)
	first.Note = "by Ada"
	limit := 5
	second.Note, second.RateLimit = "by Bo", &limit
	stored, err := w.keys.Edit(t.Context(), w.ada, key.ID, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys.Edit(t.Context(), w.ada, key.ID, first); err != nil {
		t.Errorf("the same form sent twice = %v", err)
	}
	entries := len(w.actions(t, w.ada))
	_, err = w.keys.Edit(t.Context(), w.ada, key.ID, second)
	since, ok := errors.AsType[*keyring.EditedSince](err)
	if !ok || since.Stored.Note != "by Ada" || since.Now["note"] != "by Ada" || since.Wanted["note"] != "by Bo" || since.Now["rate_limit"] != "none" {
		t.Fatalf("an old form = %v, %+v", err, since)
	}
	if now, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, key.ID); err != nil || now.Note != "by Ada" || now.RateLimit != nil || len(w.actions(t, w.ada)) != entries {
		t.Errorf("an old form left the key %+v, %v", now, err)
	}
	// What is no part of the form makes it no older.
	w.rotate(t, key.ID, keyring.Rotation{Overlap: day})
	if _, err := w.keys.Deactivate(t.Context(), w.ada, key.ID, ""); err != nil {
		t.Fatal(err)
	}
	w.Raw().MustExec(`UPDATE webhook_keys SET last_used_at = now()`)
	second.Seen = stored.Edition()
	if after, err := w.keys.Edit(t.Context(), w.ada, key.ID, second); err != nil || after.Note != "by Bo" {
		t.Errorf("the form sent once more, knowingly = %v", err)
	}
	// Of many at once, one is taken.
	results := make(chan error, 8)
	at, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cap(results) {
		draft := draftOf(at)
		draft.Note = string(rune('a' + i))
		go func() {
			_, err := w.keys.Edit(t.Context(), w.ada, key.ID, draft)
			results <- err
		}()
	}
	taken := 0
	for range cap(results) {
		if err := <-results; err == nil {
			taken++
		} else if _, ok := errors.AsType[*keyring.EditedSince](err); !ok {
			t.Error(err)
		}
	}
	if taken != 1 {
		t.Errorf("%d of 8 forms of one edition were taken, want 1", taken)
	}
}

// TestExpiryOfAnEdit: an end lies ahead, except the one that a key has.
func TestExpiryOfAnEdit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	past, far, soon := time.Now().Add(-time.Second), time.Now().AddDate(11, 0, 0), time.Now().Add(time.Hour)
	for name, end := range map[string]*time.Time{"past": &past, "far": &far} {
		_, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: name, ExpiresAt: end}, "")
		if f, _ := fault.Of(err); kindOf(err) != fault.Invalid || f.Field != "expires" {
			t.Errorf("a key with an end in the %s = %v, want a fault on expires", name, err)
		}
	}
	key := w.issueDraft(t, keyring.Draft{Name: "orders", ExpiresAt: &soon}).Key
	w.Raw().MustExec(`UPDATE webhook_keys SET expires_at = date_trunc('second', now() - interval '1 day')`)
	key, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	draft := draftOf(key)
	draft.Name = "renamed"
	if after, err := w.keys.Edit(t.Context(), w.ada, key.ID, draft); err != nil || after.StatusAt(time.Now()) != keyring.Expired {
		t.Errorf("renaming an expired key = %v", err)
	}
	draft.ExpiresAt, draft.Seen = &past, ""
	if _, err := w.keys.Edit(t.Context(), w.ada, key.ID, draft); kindOf(err) != fault.Invalid {
		t.Errorf("another end in the past = %v, want Invalid", err)
	}
	draft.ExpiresAt = nil
	if after, err := w.keys.Edit(t.Context(), w.ada, key.ID, draft); err != nil || after.ExpiresAt != nil || after.StatusAt(time.Now()) == keyring.Expired {
		t.Errorf("an expired key that never ends from now on = %+v, %v", after.ExpiresAt, err)
	}
	if draft.ExpiresAt = &past; kindOf(draft.CheckEdit(key)) != fault.Invalid || kindOf(draft.Check()) != fault.Invalid {
		t.Error("what is checked without writing differs")
	}
}

// TestOwners: an owner is a member. Who gives away a key that others made can't
// change it any more, and no auditor can.
func TestOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.ada.WorkspaceID
	bo, cy, auditor, stranger := w.newPerson(t, ws, "Bo", "member"), w.newPerson(t, ws, "Cy", "member"), w.newPerson(t, ws, "Ines", "auditor"), w.newOwner(t, "Eve")
	key := w.issueDraft(t, keyring.Draft{Name: "orders", OwnerID: &bo.UserID}).Key
	give := func(by audit.Actor, to *uuid.UUID) error {
		t.Helper()
		now, err := w.keys.Find(t.Context(), ws, key.ID)
		if err != nil {
			t.Fatal(err)
		}
		draft := draftOf(now)
		draft.OwnerID = to
		_, err = w.keys.Edit(t.Context(), by, key.ID, draft)
		return err
	}
	gone := uuid.New()
	for name, to := range map[string]*uuid.UUID{"somebody of another workspace": &stranger.UserID, "nobody at all": &gone} {
		if f, _ := fault.Of(give(bo, to)); f.Kind != fault.Invalid || f.Field != "owner" {
			t.Errorf("giving it to %s = %v, want a fault on owner", name, f)
		}
	}
	if err := give(bo, &cy.UserID); err != nil {
		t.Errorf("giving one's own key away = %v", err)
	}
	if err := give(bo, &bo.UserID); kindOf(err) != fault.Forbidden {
		t.Errorf("taking it back = %v, want Forbidden", err)
	}
	if err := give(cy, &auditor.UserID); err != nil {
		t.Errorf("an auditor may answer for a key: %v", err)
	}
	if err := give(auditor, &cy.UserID); kindOf(err) != fault.Forbidden {
		t.Errorf("an auditor changes the key that is theirs = %v, want Forbidden", err)
	}
	w.Raw().MustExec(`DELETE FROM memberships WHERE user_id = $1`, auditor.UserID)
	if err := give(w.ada, &auditor.UserID); err != nil {
		t.Errorf("an owner who left stays until another is chosen: %v", err)
	}
	if err := give(w.ada, nil); err != nil {
		t.Errorf("a key without an owner = %v", err)
	}
	if err := give(w.ada, &auditor.UserID); kindOf(err) != fault.Invalid {
		t.Errorf("giving it to who left = %v, want Invalid", err)
	}
	// A provider's key refuses what its scheme has no use for, in an edit too.
	github := w.issueDraft(t, keyring.Draft{Name: "hub", Scheme: signature.GitHub}).Key
	draft := draftOf(github)
	draft.RefPointer = "/id"
	if f, _ := fault.Of(draft.CheckEdit(github)); f.Field != "ref_pointer" {
		t.Errorf("a pointer for GitHub's = %v, want a fault on it", f)
	}
}

// TestNetworks: senders' addresses are IPv4 wherever they can be, and so are the
// networks that hold them.
func TestNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for line, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", " 192.0.2.7/24 ": "192.0.2.0/24", "0.0.0.0/0": "0.0.0.0/0", "2001:DB8::1": "2001:db8::1/128",
		"2001:db8:0:0::ffff/32": "2001:db8::/32", "::ffff:192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7/120": "192.0.2.0/24", "::ffff:0:0/96": "0.0.0.0/0", "::/0": "::/0",
		"::ffff:192.0.2.7/95": "", "192.0.2.0/33": "", "2001:db8::/129": "", "192.0.2": "", "192.0.2.07": "", "fe80::1%eth0": "", "fe80::/10%eth0": "", "example.com": "", "192.0.2.0/24 # office": "", "192.0.2.0/-1": "",
	} {
		issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: uuid.NewString(), AllowedCIDRs: []string{line, line}}, "")
		if want == "" {
			if f, _ := fault.Of(err); f.Field != "allowed_cidrs" {
				t.Errorf("%q = %v, %v, want a fault", line, issued.Key.AllowedCIDRs, err)
			}
			continue
		}
		if diff := cmp.Diff([]string{want}, []string(issued.Key.AllowedCIDRs)); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", line, err, diff)
		}
	}
}
