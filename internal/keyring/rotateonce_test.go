package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/keyring"
)

// TestRotatedOnce: a form rotates once, however often it is sent.
func TestRotatedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	results := make(chan error, 20)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := w.keys.Rotate(context.WithoutCancel(t.Context()), w.ada, id, keyring.Rotation{Overlap: day, Nonce: "the form", Seen: 2})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	made := 0
	for err := range results {
		already, ok := errors.AsType[*keyring.AlreadyIssued](err)
		switch {
		case err == nil:
			made++
		case !ok || already.Rotated != keyring.Both || already.ShownTo != "Ada Okonkwo" || already.Key.ID != id:
			t.Errorf("a repeated form = %v, %+v", err, already)
		}
	}
	if made != 1 {
		t.Errorf("a form rotated %d times, want once", made)
	}
}

// TestManyRotations: of many at once, each in a form of its own, one is taken, for
// the others were told of another state; and commands leave two at most.
func TestManyRotations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.issueDraft(t, keyring.Draft{Name: "orders"}).Key.ID
	for _, seen := range []int{2, 0} {
		var mu sync.Mutex
		var wg sync.WaitGroup
		made, refused := 0, 0
		for range 20 {
			wg.Go(func() {
				_, err := w.keys.Rotate(context.WithoutCancel(t.Context()), w.ada, id, keyring.Rotation{Overlap: day, Nonce: uuid.NewString(), Seen: seen})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					made++
				case kindOf(err) == fault.Conflict:
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if want := map[int]int{2: 1, 0: 20}[seen]; made != want || made+refused != 20 {
			t.Errorf("having seen %d credentials: %d rotated and %d were refused, want %d to rotate", seen, made, refused, want)
		}
	}
	var works, current int
	err := w.Raw().QueryRow(`SELECT count(*) FILTER (WHERE coalesce(expires_at > now(), true)), count(*) FILTER (WHERE expires_at IS NULL)
		FROM webhook_key_credentials WHERE ended_at IS NULL`).Scan(&works, &current)
	if err != nil || works != 4 || current != 2 {
		t.Errorf("%d credentials work and %d are current, %v; want 4 and 2", works, current, err)
	}
}

// TestSavedAfterRotation: each that was shown credentials says so of the latest.
func TestSavedAfterRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued, err := w.keys.Issue(t.Context(), w.ada, keyring.Draft{Name: "orders"}, "first")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID); err != nil {
		t.Fatal(err)
	}
	w.rotate(t, issued.Key.ID, keyring.Rotation{Nonce: "second"})
	if err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID); err != nil {
		t.Errorf("having saved what a rotation showed = %v", err)
	}
	if err := w.keys.ConfirmSaved(t.Context(), w.ada, issued.Key.ID); kindOf(err) != fault.Conflict {
		t.Errorf("said twice = %v, want Conflict", err)
	}
	var before, after map[string]any
	var rows []string
	if err := w.Raw().Select(&rows, `SELECT before::text || '|' || after::text FROM audit_log WHERE action = 'key.rotated'`); err != nil || len(rows) != 1 {
		t.Fatalf("%d records of the rotation, %v", len(rows), err)
	}
	was, is, _ := strings.Cut(rows[0], "|")
	if json.Unmarshal([]byte(was), &before) != nil || json.Unmarshal([]byte(is), &after) != nil || before["api_key"] != issued.Key.Hint || after["overlap_ends"] != "now" {
		t.Errorf("the record says %s and %s", was, is)
	}
}
