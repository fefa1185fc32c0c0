package evidence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/keyring"
)

// TestPassport: how a key came to be, who was shown its credentials, its rotations
// with their overlaps, its months; and every entry about it, as it is in the chain.
func TestPassport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	issued, err := w.keys.Issue(ctx, w.ada, keyring.Draft{Name: "Billing", OwnerID: &w.ada.UserID}, "form")
	if err != nil {
		t.Fatal(err)
	}
	id := issued.Key.ID
	w.issue(w.ada, "Another")
	rotate := func(what keyring.What, overlap time.Duration) func() error {
		return func() error {
			_, err := w.keys.Rotate(ctx, w.ada, id, keyring.Rotation{What: what, Overlap: overlap})
			return err
		}
	}
	for i, change := range []func() error{
		func() error { return w.keys.ConfirmSaved(ctx, w.ada, id) },
		rotate(keyring.Both, time.Hour),
		func() error {
			return w.keys.MoveOverlapEnd(ctx, w.ada, id, keyring.Both, time.Now().Add(2*time.Hour))
		},
		func() error { return w.keys.EndOverlap(ctx, w.ada, id, keyring.Both) },
		rotate(keyring.APIKeyOnly, time.Hour),
		rotate(keyring.Both, time.Hour),
		func() error { return w.keys.UndoRotation(ctx, w.ada, id, keyring.Both) },
		rotate(keyring.SecretOnly, 0),
		rotate(keyring.APIKeyOnly, time.Hour),
		rotate(keyring.SecretOnly, time.Hour),
		func() error { _, err := w.keys.ReportLeaked(ctx, w.ada, id, 0); return err },
		func() error {
			_, err := w.keys.Rotate(ctx, w.ada, id, keyring.Rotation{Renew: true})
			return err
		},
		rotate(keyring.APIKeyOnly, 24*time.Hour),
	} {
		if err := change(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	w.raw.MustExec(`
		INSERT INTO delivery_days SELECT $1, d, o, r, $2, n, 0, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
		FROM (VALUES ('2026-01-31Z'::timestamptz, 'accepted', '', 3), ('2026-02-01Z', 'duplicate', '', 2), ('2026-02-28Z', 'refused', 'bad_signature', 5)) AS v (d, o, r, n)`, id, w.workspace.ID)
	w.raw.MustExec(`INSERT INTO key_addresses (webhook_key_id, address, accepted, refused, first_at, last_at) VALUES ($1, '192.0.2.7', 5, 5, '2026-01-31Z', '2026-02-28Z')`, id)
	if _, _, _, err := w.trail.Sign(ctx, w.signer, 0); err != nil {
		t.Fatal(err)
	}
	key, err := w.keys.Find(ctx, w.workspace.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.evidence.Passport(ctx, key, 5)
	if err != nil {
		t.Fatal(err)
	}
	var rotations []string
	for _, r := range p.Rotations {
		rotations = append(rotations, fmt.Sprint(r.What, " ", r.Planned != "", " ", r.Moved, " ", r.Ended))
	}
	want := []string{
		"both true 1 stopped", "api_key true 0 replaced", "both true 0 undone", "secret false 0 at once", "api_key true 0 leaked", "secret true 0 leaked",
		"both false 0 at once", "api_key true 0 ",
	}
	if diff := cmp.Diff(want, rotations); diff != "" {
		t.Errorf("rotations (-want +got):\n%s", diff)
	}
	if p.Rotations[0].OldAPIKey != issued.Key.Hint || p.Rotations[0].NewAPIKey == issued.Key.Hint || !p.Rotations[6].Renewed {
		t.Errorf("the first and the renewed rotation are %+v and %+v", p.Rotations[0], p.Rotations[6])
	}
	if len(p.Shown) != 9 || p.Shown[0].To.Name != "Ada Okonkwo" || p.Shown[0].SavedAt == nil || p.Shown[1].SavedAt != nil || p.Shown[0].APIKey != issued.Key.Hint {
		t.Errorf("shown to %+v", p.Shown)
	}
	months := []evidence.Month{{"2026-01", 3, 0, 0, map[string]int64{}}, {"2026-02", 0, 2, 5, map[string]int64{"bad_signature": 5}}}
	if diff := cmp.Diff(months, p.Months); diff != "" || p.FirstUsedOn == nil || *p.FirstUsedOn != "2026-01-31" || len(p.Addresses) != 1 {
		t.Errorf("months (-want +got):\n%s first used %v, addresses %v", diff, p.FirstUsedOn, p.Addresses)
	}
	if len(p.Latest) != 5 || p.Latest[4].Action != audit.CredentialsShown || p.Created.By.ID != w.ada.UserID.String() || p.Created.Address != "192.0.2.1" {
		t.Errorf("the latest entries are %v, made %+v", p.Latest, p.Created)
	}
	if point := p.Trail.Checkpoint; point == nil || len(point.Heads) != 1 || point.Heads[0].Chain != p.Trail.Chain || !bytes.Equal(point.Heads[0].Hash, p.Trail.Hash) {
		t.Errorf("the trail stood at %+v", p.Trail)
	}

	var out bytes.Buffer
	if err := w.evidence.ExportPassport(ctx, w.ada, key, &out); err != nil {
		t.Fatal(err)
	}
	var file struct {
		evidence.Passport
		Changes []audit.Entry `json:"changes"`
	}
	if err := json.Unmarshal(out.Bytes(), &file); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	for _, e := range file.Changes {
		if e.TargetID != id.String() || !bytes.Equal(e.Sum(), e.Hash) {
			t.Errorf("entry %d is not about the key as it is in the chain", e.Seq)
		}
	}
	if last := file.Changes[len(file.Changes)-1]; len(file.Changes) != p.Changes+1 || last.Action != audit.PassportExported || !bytes.Equal(last.Hash, file.Trail.Hash) {
		t.Errorf("%d changes of %d, the last is %s", len(file.Changes), p.Changes+1, last.Action)
	}
	for _, secret := range []string{issued.APIKey.Reveal(), issued.Secret.Reveal()} {
		if bytes.Contains(out.Bytes(), []byte(secret)) {
			t.Error("the passport holds a credential")
		}
	}
}
