package keyring_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

const stripeSecret = "whsec_abcdefghijklmnopqrstuvwxyz0123456789"

func TestPasteSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	eve := w.newOwner(t, "Eve")
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "billing", Scheme: signature.Stripe}, "")
	if err != nil {
		t.Fatal(err)
	}
	if issued.Shows() || issued.APIKey.Reveal() != "" || issued.Secret.Reveal() != "" || !issued.Key.LacksSecret() || issued.Key.Hint != "" {
		t.Errorf("a provider's key comes with credentials: %+v", issued)
	}
	if _, _, err := w.keys.PasteSecret(t.Context(), eve, issued.Key.ID, stripeSecret); kindOf(err) != fault.NotFound {
		t.Errorf("another workspace's key = %v, want NotFound", err)
	}
	member := w.newPerson(t, w.ada.WorkspaceID, "Mem", "member")
	if _, _, err := w.keys.PasteSecret(t.Context(), member, issued.Key.ID, stripeSecret); kindOf(err) != fault.Forbidden {
		t.Errorf("another member's key = %v, want Forbidden", err)
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", 1025), "sixteen characters\nand a line", "sixteen\x00characters"} {
		if _, _, err := w.keys.PasteSecret(t.Context(), w.ada, issued.Key.ID, bad); kindOf(err) != fault.Invalid {
			t.Errorf("the secret %.20q = %v, want Invalid", bad, err)
		}
	}
	key, warnings, err := w.keys.PasteSecret(t.Context(), w.ada, issued.Key.ID, stripeSecret)
	if err != nil || len(warnings) != 0 || key.LacksSecret() || key.Version <= issued.Key.Version {
		t.Errorf("PasteSecret = %+v, %v, %v; want a fingerprint, a higher version and no warning", key, warnings, err)
	}
	if _, _, err := w.keys.PasteSecret(t.Context(), w.ada, issued.Key.ID, stripeSecret); kindOf(err) != fault.Conflict {
		t.Errorf("a second secret = %v, want Conflict", err)
	}
	if diff := cmp.Diff([]audit.Action{audit.KeyCreated, audit.SecretPasted}, w.actions(t, w.ada)); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	var text string
	if err := w.Raw().Get(&text, `SELECT string_agg(audit_log::text, ' ') FROM audit_log`); err != nil || strings.Contains(text, stripeSecret) {
		t.Errorf("the audit log holds the secret: %v", err)
	}
}

// TestPastedTwice: of many at once one secret is taken.
func TestPastedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "billing", Scheme: signature.Stripe}, "")
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int32
	var pasting sync.WaitGroup
	for range 16 {
		pasting.Go(func() {
			_, _, err := w.keys.PasteSecret(t.Context(), w.ada, issued.Key.ID, stripeSecret)
			if err == nil {
				taken.Add(1)
			} else if kindOf(err) != fault.Conflict {
				t.Errorf("PasteSecret = %v, want a Conflict", err)
			}
		})
	}
	pasting.Wait()
	var n int
	if err := w.Raw().Get(&n, `SELECT count(*) FROM webhook_key_credentials`); err != nil || n != 1 || taken.Load() != 1 {
		t.Errorf("%d taken, %d stored, want 1 and 1 (%v)", taken.Load(), n, err)
	}
}

// TestWarnings: a secret of another form, or another key's, is taken with a
// warning that does not tell whose.
func TestWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	eve := w.newOwner(t, "Eve")
	made, err := w.keys.IssueWith(t.Context(), eve, keyring.Draft{Name: "eve's own", Scheme: signature.Stripe}, stripeSecret, "")
	if err != nil || len(made.Warnings) != 0 || made.Shows() {
		t.Fatalf("IssueWith = %+v, %v", made, err)
	}
	for secret, want := range map[string][]keyring.Warning{
		"sk_live_" + strings.Repeat("a", 32): {keyring.UnusualForm},
		stripeSecret:                         {keyring.SharedSecret},
		"whsec_" + strings.Repeat("0", 32):   nil,
	} {
		issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: secret[:12], Scheme: signature.Stripe}, "")
		if err != nil {
			t.Fatal(err)
		}
		key, got, err := w.keys.PasteSecret(t.Context(), w.ada, issued.Key.ID, secret)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%.10s (-want +got): %v\n%s", secret, err, diff)
		}
		for _, warning := range got {
			if text := warning.Explain(key); text == "" || strings.Contains(text, "Eve") || strings.Contains(text, "eve's") || strings.Contains(text, secret) {
				t.Errorf("%s is explained as %q", warning, text)
			}
		}
	}
	both, err := w.keys.IssueWith(t.Context(), w.ada, keyring.Draft{Name: "both", Scheme: signature.Slack}, stripeSecret, "")
	if diff := cmp.Diff([]keyring.Warning{keyring.UnusualForm, keyring.SharedSecret}, both.Warnings); err != nil || diff != "" {
		t.Errorf("IssueWith (-want +got): %v\n%s", err, diff)
	}
	if _, err := w.keys.IssueWith(t.Context(), w.ada, keyring.Draft{Name: "x", Scheme: signature.Standard}, "no base64 at all, you see", ""); kindOf(err) != fault.Invalid {
		t.Errorf("a secret that can't be decoded = %v, want Invalid", err)
	}
}

// TestSchemeRules: a key is not given what its scheme has no use for.
func TestSchemeRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for field, draft := range map[string]keyring.Draft{
		"scheme":            {Name: "k", Scheme: "twilio"},
		"require_signature": {Name: "k", Scheme: signature.Basic, RequireSignature: true},
		"allow_in_url":      {Name: "k", Scheme: signature.GitHub, AllowInURL: true},
		"ref_pointer":       {Name: "k", Scheme: signature.Stripe, RefPointer: "/id"},
	} {
		_, err := w.keys.Issue(t.Context(), w.ada, draft, "")
		if f, _ := fault.Of(err); f.Kind != fault.Invalid || f.Field != field {
			t.Errorf("Issue(%+v) = %v, want Invalid on %s", draft, err, field)
		}
	}
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "hub", Scheme: signature.GitHub}, "")
	if err != nil || !issued.Shows() || issued.APIKey.Reveal() != "" {
		t.Fatalf("Issue = %+v, %v; want a secret and no API key", issued, err)
	}
	_, err = w.keys.Edit(t.Context(), w.ada, issued.Key.ID, keyring.Draft{Name: "hub", AllowInURL: true})
	if f, _ := fault.Of(err); f.Kind != fault.Invalid || f.Field != "allow_in_url" {
		t.Errorf("Edit = %v, want Invalid on allow_in_url", err)
	}
	if _, err := w.keys.Edit(t.Context(), w.ada, issued.Key.ID, keyring.Draft{Name: "hub 2"}); err != nil {
		t.Errorf("Edit = %v", err)
	}
	if key, err := w.keys.Find(t.Context(), w.ada.WorkspaceID, issued.Key.ID); err != nil || key.Scheme != signature.GitHub {
		t.Errorf("an edit made the scheme %s (%v)", key.Scheme, err)
	}
}

func kindOf(err error) fault.Kind {
	f, _ := fault.Of(err) // of another error: no kind
	return f.Kind
}
