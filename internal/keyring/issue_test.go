package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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

// actions lists what a workspace's trail holds, in order.
func (w *world) actions(t *testing.T, by audit.Actor) (list []audit.Action) {
	t.Helper()
	entries, err := audit.NewStore(w.Console()).All(t.Context(), by.Chain(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var previous audit.Entry
	for _, entry := range entries {
		if !entry.Follows(previous) {
			t.Errorf("entry %d does not follow", entry.Seq)
		}
		previous = entry
		list = append(list, entry.Action)
	}
	return list
}

func (w *world) issue(t *testing.T, by audit.Actor, name string) keyring.Issued {
	t.Helper()
	issued, err := w.keys.Issue(t.Context(), by, keyring.Draft{Name: name}, "")
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func TestIssue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	expires := time.Now().Add(90 * 24 * time.Hour)
	limit := 600
	draft := keyring.Draft{
		Name: "  Shopify  EU\u00a0Größe ", Labels: []string{"shop", " shop ", "eu"}, Note: "line\nline", OwnerID: &w.ada.UserID, ExpiresAt: &expires,
		AllowedCIDRs: []string{"192.0.2.7", "", "2001:db8::1/64"}, OtherSources: []string{"pos"}, RateLimit: &limit, RefPointer: "/data/id",
	}
	issued, err := w.keys.Issue(t.Context(), w.ada, draft, "")
	if err != nil {
		t.Fatal(err)
	}
	key := issued.Key
	if key.Name != "Shopify EU Größe" || key.Source != "shopify-eu-grosse" || !key.Active || key.CreatedByName != "Ada Okonkwo" || key.OwnerName != "Ada Okonkwo" {
		t.Errorf("Issue made %+v", key)
	}
	if diff := cmp.Diff([]string{"192.0.2.7/32", "2001:db8::/64"}, []string(key.AllowedCIDRs)); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if _, err := keyring.ParseAPIKey(issued.APIKey.Reveal()); err != nil || !strings.HasPrefix(issued.Secret.Reveal(), "whsec_") {
		t.Errorf("credentials have the wrong form: %v", err)
	}
	if want := issued.APIKey.Reveal()[:8] + "…" + issued.APIKey.Reveal()[38:]; key.Hint != want {
		t.Errorf("hint = %s, want %s", key.Hint, want)
	}
	if diff := cmp.Diff([]audit.Action{audit.KeyCreated, audit.CredentialsShown}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
	var trail string
	if err := w.Raw().Get(&trail, `SELECT string_agg(before || after, '') FROM audit_log`); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(trail, issued.APIKey.Reveal()) || strings.Contains(trail, issued.Secret.Reveal()) {
		t.Error("the audit trail holds a credential")
	}
	if again := w.issue(t, w.ada, "Shopify EU: Grosse"); again.Key.Source != "shopify-eu-grosse-2" {
		t.Errorf("a second key of a like name has the source %s", again.Key.Source)
	}
}

func TestIssueFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := w.newPerson(t, uuid.Nil, "Mallory", "")
	w.issue(t, w.ada, "taken")
	far := time.Now().AddDate(40, 0, 0)
	zero, huge := 0, 2_000_000_000
	labels := make([]string, 10_000)
	for i := range labels {
		labels[i] = fmt.Sprint("label-", i)
	}
	for name, tt := range map[string]struct {
		draft keyring.Draft
		field string
		kind  fault.Kind
	}{
		"no name":          {keyring.Draft{Name: " \t"}, "name", fault.Invalid},
		"long name":        {keyring.Draft{Name: strings.Repeat("é", keyring.MaxName+1)}, "name", fault.Invalid},
		"NUL":              {keyring.Draft{Name: "a\x00b"}, "name", fault.Invalid},
		"format in a name": {keyring.Draft{Name: "a\u200bb"}, "name", fault.Invalid},
		"format in labels": {keyring.Draft{Name: "x", Labels: []string{"ok", "a\u202eb"}}, "labels", fault.Invalid},
		"bad UTF-8":        {keyring.Draft{Name: "a\xffb"}, "name", fault.Invalid},
		"taken":            {keyring.Draft{Name: "taken"}, "name", fault.Conflict},
		"source in use":    {keyring.Draft{Name: "x", Source: "taken"}, "source", fault.Conflict},
		"origin's source":  {keyring.Draft{Name: "x", Source: "webhook"}, "source", fault.Invalid},
		"bad source":       {keyring.Draft{Name: "x", Source: "Not A Slug"}, "source", fault.Invalid},
		"bad other source": {keyring.Draft{Name: "x", OtherSources: []string{"ok", "é"}}, "other_sources", fault.Invalid},
		"bad network":      {keyring.Draft{Name: "x", AllowedCIDRs: []string{"10.0.0.0/33"}}, "allowed_cidrs", fault.Invalid},
		"huge network":     {keyring.Draft{Name: "x", AllowedCIDRs: []string{strings.Repeat("1", 1<<16)}}, "allowed_cidrs", fault.Invalid},
		"many labels":      {keyring.Draft{Name: "x", Labels: labels}, "labels", fault.Invalid},
		"no requests":      {keyring.Draft{Name: "x", RateLimit: &zero}, "rate_limit", fault.Invalid},
		"odd span":         {keyring.Draft{Name: "x", RateSeconds: 7}, "rate_limit", fault.Invalid},
		"huge quota":       {keyring.Draft{Name: "x", DailyQuota: &huge}, "daily_quota", fault.Invalid},
		"bad pointer":      {keyring.Draft{Name: "x", RefPointer: "data/id"}, "ref_pointer", fault.Invalid},
		"bad escape":       {keyring.Draft{Name: "x", RefPointer: "/a~2b"}, "ref_pointer", fault.Invalid},
		"log":              {keyring.Draft{Name: "x", Log: "some"}, "log", fault.Invalid},
		"bodies":           {keyring.Draft{Name: "x", IdenticalBodies: "drop"}, "identical_bodies", fault.Invalid},
		"far expiry":       {keyring.Draft{Name: "x", ExpiresAt: &far}, "expires", fault.Invalid},
		"foreign owner":    {keyring.Draft{Name: "x", OwnerID: &stranger.UserID}, "owner", fault.Invalid},
		"long note":        {keyring.Draft{Name: "x", Note: strings.Repeat("n", keyring.MaxNote+1)}, "note", fault.Invalid},
	} {
		_, err := w.keys.Issue(t.Context(), w.ada, tt.draft, "")
		if f, _ := fault.Of(err); f.Kind != tt.kind || f.Field != tt.field {
			t.Errorf("%s: Issue = %v, want fault %v on %s", name, err, tt.kind, tt.field)
		}
	}
	_, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{RateSeconds: 7, RefPointer: "x"}, "")
	if f, _ := fault.Of(err); len(f.Fields()) != 3 {
		t.Errorf("three wrong fields: %v, want all of them blamed", f.Fields())
	}
	if got := len(w.actions(t, w.ada)); got != 2 {
		t.Errorf("the trail has %d entries, want those of the one key that was made", got)
	}
}

func TestOneFormMakesOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var lock sync.Mutex
	var made, already int
	var senders sync.WaitGroup
	for range 50 {
		senders.Go(func() {
			issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "double click"}, "nonce-1")
			lock.Lock()
			defer lock.Unlock()
			if before, ok := errors.AsType[*keyring.AlreadyIssued](err); ok {
				already++
				if before.ShownTo != "Ada Okonkwo" || before.Key.Name != "double click" {
					t.Errorf("the others are told %+v", before)
				}
			} else if err == nil && issued.APIKey.Reveal() != "" {
				made++
			} else {
				t.Errorf("Issue = %v", err)
			}
		})
	}
	senders.Wait()
	if made != 1 || already != 49 {
		t.Errorf("%d keys were made and %d were told so, want 1 and 49", made, already)
	}
	if keys, err := w.keys.List(t.Context(), w.ada.WorkspaceID); err != nil || len(keys) != 1 {
		t.Errorf("the workspace has %d keys, %v; want 1", len(keys), err)
	}
	_, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "double click"}, "nonce-2")
	if f, _ := fault.Of(err); f.Kind != fault.Conflict {
		t.Errorf("the same name from another form = %v, want a conflict", err)
	}
}

func TestCredentialsPrintNothing(t *testing.T) {
	t.Parallel()
	secret := keyring.NewSecret()
	encoded, err := json.Marshal(map[string]any{"secret": secret, "in": keyring.Issued{Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", secret, "all", keyring.Issued{Secret: secret})
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", secret, secret, secret, secret, secret, secret, secret) +
		fmt.Sprintf("%v %+v %#v", keyring.Issued{Secret: secret}, &keyring.Issued{Secret: secret}, keyring.Found{Secret: secret}) +
		string(encoded) + logged.String()
	text := secret.Reveal()
	for _, form := range []string{text, fmt.Sprintf("%x", text)} {
		if strings.Contains(printed, form) {
			t.Errorf("a credential shows in %s", printed)
		}
	}
}

func TestForeignWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mallory := w.newOwner(t, "Mallory")
	key := w.issue(t, w.ada, "billing").Key
	ctx := context.Background()
	for name, act := range map[string]func(uuid.UUID) error{
		"Find": func(id uuid.UUID) error { _, err := w.keys.Find(ctx, mallory.WorkspaceID, id); return err },
		"Edit": func(id uuid.UUID) error {
			_, err := w.keys.Edit(ctx, mallory, id, keyring.Draft{Name: "mine"})
			return err
		},
		"Deactivate":   func(id uuid.UUID) error { _, err := w.keys.Deactivate(ctx, mallory, id, ""); return err },
		"Reactivate":   func(id uuid.UUID) error { _, err := w.keys.Reactivate(ctx, mallory, id); return err },
		"ConfirmSaved": func(id uuid.UUID) error { return w.keys.ConfirmSaved(ctx, mallory, id) },
	} {
		foreign, random := act(key.ID), act(uuid.New())
		if f, _ := fault.Of(foreign); f.Kind != fault.NotFound || foreign.Error() != random.Error() {
			t.Errorf("%s of another workspace's key = %v, of a random one %v; want the same NotFound", name, foreign, random)
		}
	}
	if got := w.actions(t, mallory); len(got) != 0 {
		t.Errorf("Mallory's trail has %v", got)
	}
	if key, err := w.keys.Find(ctx, w.ada.WorkspaceID, key.ID); err != nil || !key.Active || key.Name != "billing" {
		t.Errorf("the key was changed: %+v, %v", key, err)
	}
}
