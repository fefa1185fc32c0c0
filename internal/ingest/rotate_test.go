package ingest_test

import (
	"sync"
	"testing"
	"time"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// TestRotatedEverywhere: senders on two instances, some with the old credentials
// and some with the new, are never refused inside the overlap; once it was ended
// the old ones are refused by both, and the new ones never.
func TestRotatedEverywhere(t *testing.T) {
	t.Parallel()
	one := newStage(t)
	two := newStageBeside(one)
	key := one.issue(keyring.Draft{Name: "one"})
	for round := range 20 {
		stop := make(chan struct{})
		var old, senders sync.WaitGroup
		send := func(group *sync.WaitGroup, instance *stage, headers func() []string) {
			group.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if got := instance.post(hook(key), "x", headers()...); got.status != 200 {
						t.Errorf("round %d: inside the overlap %d %s", round, got.status, got.text)
						return
					}
				}
			})
		}
		with := func(of keyring.Issued) (byKey, bySignature func() []string) {
			return func() []string { return []string{"X-API-Key", of.APIKey.Reveal()} },
				func() []string { return []string{"X-Webhook-Signature", sign(t, of.Secret.Reveal(), "x")} }
		}
		byKey, bySignature := with(key)
		send(&old, one, byKey)
		send(&old, two, bySignature)
		done, err := one.keys.Rotate(t.Context(), one.by, key.Key.ID, keyring.Rotation{Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		newByKey, newBySignature := with(done.Issued)
		send(&senders, two, newByKey)
		send(&senders, one, newBySignature)
		for range 3 { // in turns with the senders
			for _, instance := range []*stage{one, two} {
				for _, headers := range [][]string{byKey(), bySignature(), newByKey(), newBySignature()} {
					if got := instance.post(hook(key), "x", headers...); got.status != 200 {
						t.Errorf("round %d: inside the overlap %d %s", round, got.status, got.text)
					}
				}
			}
		}
		close(stop)
		old.Wait()
		senders.Wait()
		if round%2 == 0 {
			err = one.keys.EndOverlap(t.Context(), one.by, key.Key.ID, keyring.Both)
		} else { // as if the time had come; nobody is told
			one.exec(`UPDATE webhook_key_credentials SET expires_at = statement_timestamp() WHERE ended_at IS NULL AND expires_at IS NOT NULL`)
		}
		if err != nil {
			t.Fatal(err)
		}
		reason := map[bool]string{true: "credential_ended", false: "credential_expired"}[round%2 == 0]
		for _, instance := range []*stage{one, two} {
			for _, headers := range [][]string{byKey(), bySignature()} {
				if got := instance.post(hook(key), "x", headers...); got.status != 401 || one.reason(got) != reason {
					t.Errorf("round %d: after the end %d %s, want 401 for %s", round, got.status, one.reason(got), reason)
				}
			}
			for _, headers := range [][]string{newByKey(), newBySignature()} {
				if got := instance.post(hook(key), "x", headers...); got.status != 200 {
					t.Errorf("round %d: the new one after the end %d %s", round, got.status, got.text)
				}
			}
		}
		key = done.Issued
		if t.Failed() {
			return
		}
	}
}

// TestOldCounted: what comes with an old credential is told from all else, also
// where only one kind was rotated or both come at once.
func TestOldCounted(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	byKey := func(of keyring.Issued) []string { return []string{"X-API-Key", of.APIKey.Reveal()} }
	bySignature := []string{"X-Webhook-Signature", sign(t, key.Secret.Reveal(), "x")}
	post := func(headers ...string) {
		t.Helper()
		if got := s.post(hook(key), "x", headers...); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.text)
		}
	}
	post(byKey(key)...) // before: not counted
	done, err := s.keys.Rotate(t.Context(), s.by, key.Key.ID, keyring.Rotation{What: keyring.APIKeyOnly, Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	post(byKey(key)...)
	post(append(byKey(key), bySignature...)...)
	post(bySignature...)
	post(byKey(done.Issued)...)
	post(append(byKey(done.Issued), bySignature...)...)
	post(append(byKey(done.Issued), bySignature...)...)
	for _, rolled := range []bool{false, true} {
		if rolled {
			s.mustRollUp()
		}
		there, err := s.keys.OverlapsOf(t.Context(), s.workspace, key.Key.ID)
		if err != nil || len(there.Overlaps) != 1 {
			t.Fatalf("OverlapsOf = %+v, %v", there, err)
		}
		o := there.Overlaps[0]
		use, err := s.events.UseSince(t.Context(), s.workspace, key.Key.ID, inbox.Rotation{At: o.Since, Old: o.CountedAs, New: o.New, Before: o.Before})
		if err != nil || use.Old != 2 || use.New != 3 || len(use.Senders) != 1 || use.Senders[0].Requests != 2 || use.LastOldAt == nil || use.Safe || use.Quiet {
			t.Errorf("rolled up %v: UseSince = %+v, %v; want 2 old ones and 3 new ones", rolled, use, err)
		}
	}
	if err := s.keys.UndoRotation(t.Context(), s.by, key.Key.ID, keyring.APIKeyOnly); err == nil {
		t.Error("a rotation is undone though the new API key is used")
	}
}

// TestUndoneUnderUse: however a first use of the new API key races with the
// undoing, it is undone only if no use came before, and afterwards it is refused.
func TestUndoneUnderUse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := s.issue(keyring.Draft{Name: "one"})
	for round := range 30 {
		done, err := s.keys.Rotate(t.Context(), s.by, key.Key.ID, keyring.Rotation{Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		used := make(chan int, 1)
		go func() { used <- s.post(hook(key), "x", "X-API-Key", done.APIKey.Reveal()).status }()
		early := 0
		if round%3 == 0 {
			early = <-used // before
		}
		undone := s.keys.UndoRotation(t.Context(), s.by, key.Key.ID, keyring.Both) == nil
		if undone && early == 200 {
			t.Errorf("round %d: undone after a use", round)
		}
		if early == 0 {
			<-used
		}
		after := s.post(hook(key), "x", "X-API-Key", done.APIKey.Reveal()).status
		old := s.post(hook(key), "x", "X-API-Key", key.APIKey.Reveal()).status
		if old != 200 || undone == (after == 200) {
			t.Errorf("round %d: undone %v: the new one = %d, the old one = %d", round, undone, after, old)
		}
		if !undone {
			key = done.Issued
		}
	}
}
