package keyring_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
)

// TestVersions: each change of a key or its credentials raises its version; that
// of its last uses does not.
func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.issue(t, w.ada, "billing")
	version := func() (n int64) {
		if err := w.Raw().Get(&n, `SELECT version FROM webhook_keys WHERE id = $1`, issued.Key.ID); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var columns []string
	err := w.Raw().Select(&columns, `SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'webhook_keys'::regclass AND attnum > 0 AND NOT attisdropped`)
	if err != nil || len(columns) < 20 {
		t.Fatalf("%d columns, %v", len(columns), err)
	}
	values := map[string]string{ // others can't be changed without more
		"name": "'new'", "source": "'new'", "note": "'new'", "labels": "'{new}'", "is_active": "false", "owner_id": "(SELECT max(id::text)::uuid FROM users WHERE id IS DISTINCT FROM webhook_keys.owner_id)", "expires_at": "now()",
		"require_signature": "true", "allow_in_url": "true", "allowed_cidrs": "'{10.0.0.0/8}'", "other_sources": "'{new}'", "rate_limit": "7",
		"rate_seconds": "1", "daily_quota": "7", "ref_pointer": "'/new'", "identical_bodies": "'duplicate'", "scheme": "'other'", "created_by": "NULL", "log": "'nothing'",
	}
	fixed := map[string]bool{"id": true, "workspace_id": true, "created_at": true, "version": true}
	for _, column := range columns {
		before := version()
		switch value, known := values[column]; {
		case known:
			w.Raw().MustExec(`UPDATE webhook_keys SET ` + column + ` = ` + value)
			if version() != before+1 {
				t.Errorf("a change of %s leaves the version at %d", column, before)
			}
		case column == "last_used_at" || column == "last_refused_at":
			w.Raw().MustExec(`UPDATE webhook_keys SET ` + column + ` = now()`)
			if version() != before {
				t.Errorf("a change of %s moves the version", column)
			}
		case !fixed[column]:
			t.Errorf("say what becomes of the version when %s changes", column)
		}
	}
	for _, change := range []string{
		`UPDATE webhook_key_credentials SET ended_at = now() WHERE kind = 'api_key'`,
		`UPDATE webhook_key_credentials SET expires_at = now() WHERE kind = 'api_key'`,
		`DELETE FROM webhook_key_credentials WHERE kind = 'api_key'`,
	} {
		before := version()
		w.Raw().MustExec(change)
		if version() <= before {
			t.Errorf("%s leaves the version at %d", change, before)
		}
	}
}

// TestCacheHears: what changed is looked up again, also after the connection that
// listens was cut.
func TestCacheHears(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.issue(t, w.ada, "billing")
	cache := keyring.NewCache(keyring.NewStore(w.Ingestion(), w.box))
	ctx, stop := context.WithCancel(t.Context())
	missed := make(chan bool, 10)
	var listening sync.WaitGroup
	listening.Go(func() {
		err := postgres.Listen(ctx, w.URL, keyring.ChangesChannel, cache.Hear, func() { cache.ForgetAll(); missed <- true })
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); listening.Wait() })
	<-missed
	remember := func() *keyring.View {
		for range 2 { // the first one may have to look
			view := cache.View(false)
			if _, err := view.ByAPIKey(t.Context(), issued.APIKey.Reveal()); err != nil {
				t.Fatal(err)
			}
			if view.Remembered() {
				return view
			}
		}
		t.Fatal("nothing is remembered")
		return nil
	}
	forgotten := func(after string) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); cache.Len() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %s the key is still remembered", after)
			}
		}
	}
	remember()
	if _, err := w.keys.Deactivate(t.Context(), w.ada, issued.Key.ID, ""); err != nil {
		t.Fatal(err)
	}
	forgotten("a deactivation")
	view := cache.View(false)
	if found, err := view.ByAPIKey(t.Context(), issued.APIKey.Reveal()); err != nil || found.State != keyring.KeyInactive {
		t.Errorf("looked up anew = %s, %v", found.State, err)
	}
	remember()
	w.Raw().MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'`)
	<-missed
	forgotten("a cut connection")
}

// TestCacheIsBounded: rounds carry many look-ups, and what is not there is not
// remembered.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.issue(t, w.ada, "billing")
	pool := w.Ingestion()
	before := pool.Stats().WaitCount
	cache := keyring.NewCache(keyring.NewStore(pool, w.box))
	var asking sync.WaitGroup
	for n := range 500 {
		asking.Go(func() {
			view := cache.View(false)
			if n%10 == 0 {
				if key, _, err := view.ByID(t.Context(), issued.Key.ID); err != nil || key.ID != issued.Key.ID {
					t.Errorf("the key among many look-ups = %v", err)
				}
				return
			}
			if _, err := view.ByAPIKey(t.Context(), keyring.NewAPIKey().Reveal()); err == nil {
				t.Error("a key was found that is not there")
			}
			if _, _, err := view.Generic(t.Context(), uuid.New(), uuid.Nil); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if cache.Len() != 1 {
		t.Errorf("%d keys are remembered, want 1", cache.Len())
	}
	if n := pool.Stats().WaitCount - before; n > 0 {
		t.Errorf("%d look-ups waited for a connection: they did not share rounds", n)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.View(true).ByAPIKey(late, "x"); err == nil {
		t.Error("a look-up outlives its request")
	}
}
