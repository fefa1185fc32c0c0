package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

// gauges are the notices' metrics by name and label.
func gauges(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "keyhook_")
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetGauge().GetValue()
		}
	}
	return values
}

// TestNotices: the metrics count keys that end, ghost use and overlaps that end in
// all workspaces, and name none of them.
func TestNotices(t *testing.T) {
	t.Parallel()
	db, box := pgtest.New(t), pgtest.Box(t)
	keys, events := keyring.NewStore(db.Console(), box), inbox.NewStore(db.Console(), box)
	registry := prometheus.NewRegistry()
	n := newNotices(keys, events, registry)
	if err := n.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	calm := gauges(t, registry)
	for name, value := range calm {
		if value != 0 && name != "notices_timestamp_seconds" {
			t.Errorf("with no key %s = %v", name, value)
		}
	}

	raw := db.Raw()
	make := func(workspace uuid.UUID, name, set string) keyring.Key {
		t.Helper()
		by := audit.Actor{WorkspaceID: workspace, Kind: audit.CLI, Label: "test"}
		issued, err := keys.Issue(t.Context(), by, keyring.Draft{Name: name}, "")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "Turning") {
			if _, err := keys.Rotate(t.Context(), by, issued.Key.ID, keyring.Rotation{Overlap: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		if set != "" {
			raw.MustExec(`UPDATE webhook_keys SET `+set+` WHERE id = $1`, issued.Key.ID)
		}
		return issued.Key
	}
	used := func(key keyring.Key, generation int, reason inbox.Reason) {
		t.Helper()
		a := inbox.Arrival{
			ID: uuid.Must(uuid.NewV7()), WorkspaceID: key.WorkspaceID, KeyID: key.ID, Generation: generation, Method: inbox.ByAPIKey, Reason: reason, Status: 401,
			Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "192.0.2.1", ReceivedAt: time.Now().UTC().Add(time.Second).Truncate(time.Microsecond), Began: time.Now(),
		}
		err := db.Ingestion().InTx(context.Background(), func(tx *sqlx.Tx) error {
			_, err := inbox.NewAppender(box).Append(context.Background(), tx, []inbox.Arrival{a})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		workspace := uuid.Must(uuid.NewV7())
		raw.MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'Acme', $2)`, workspace, workspace.String())
		make(workspace, "Tomorrow", "expires_at = now() + interval '20 hours'")
		make(workspace, "This week", "expires_at = now() + interval '6 days'")
		make(workspace, "This month", "expires_at = now() + interval '29 days'")
		make(workspace, "Later", "expires_at = now() + interval '31 days'")
		make(workspace, "Tomorrow, but off", "expires_at = now() + interval '20 hours', is_active = false")
		ended := make(workspace, "Ended", "expires_at = now() - interval '1 day'")
		used(ended, 1, inbox.KeyExpired)
		used(ended, 1, inbox.KeyExpired)
		used(make(workspace, "Works again", ""), 1, inbox.KeyInactive)
		used(make(workspace, "Proved nothing", "is_active = false"), 0, inbox.KeyInactive)
		used(make(workspace, "Turning, in use", ""), 1, inbox.AddressForbidden)
		make(workspace, "Turning, not in use", "")
	}
	if err := n.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := gauges(t, registry)
	for name, want := range map[string]float64{
		"keys_expiring 1": 2, "keys_expiring 7": 4, "keys_expiring 30": 6, "keys_ghost_use key_expired": 2, "keys_ghost_use key_inactive": 0,
		"keys_ghost_use credential_leaked": 0, "overlaps_ending yes": 2, "overlaps_ending no": 2,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s = %v (there: %v), want %v", name, value, there, want)
		}
	}
	if at := got["notices_timestamp_seconds"]; time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("looked up last at %v", at)
	}
	if len(got) != len(calm) {
		t.Errorf("the metrics went from %d to %d with the keys: %v", len(calm), len(got), got)
	}
}
