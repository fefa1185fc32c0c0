package demo_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/demo"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

// TestFill: the demonstration's data obeys the rules of real data.
func TestFill(t *testing.T) {
	t.Parallel()
	db, box := pgtest.New(t), pgtest.Box(t)
	accounts, keys := account.NewStore(db.Console(), box, pgtest.Log(t)), keyring.NewStore(db.Console(), box)
	now := time.Now()
	login, err := demo.Fill(t.Context(), accounts, keys, db.Maintenance(), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := accounts.SignIn(t.Context(), audit.Actor{Address: "192.0.2.1"}, login.Email, login.Password, "test", ""); err != nil {
		t.Errorf("signing in as told: %v", err)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM webhook_keys`:         60,
		`SELECT count(*) FROM deliveries`:           50_000,
		`SELECT sum(requests) FROM delivery_counts`: 50_000,
		`SELECT count(*) FROM deliveries WHERE received_at > now() + interval '1 second' OR received_at < now() - interval '31 days'`:                                           0,
		`SELECT count(*) FROM deliveries WHERE outcome = 'accepted' AND NOT EXISTS (SELECT FROM signals AS s WHERE s.id = signal_id)`:                                           0,
		`SELECT count(*) FROM deliveries WHERE outcome = 'duplicate' AND NOT EXISTS (SELECT FROM signals AS s WHERE s.id = signal_id AND s.source_ref = deliveries.source_ref)`: 0,
		`SELECT count(*) FROM deliveries AS d JOIN webhook_keys AS k ON k.id = d.webhook_key_id WHERE d.received_at < k.created_at`:                                             0,
		`SELECT count(*) FROM (SELECT FROM deliveries GROUP BY date_trunc('day', received_at)) AS days HAVING count(*) < 30`:                                                    -1,
	} {
		var got int
		err := db.Raw().Get(&got, query)
		if want == -1 {
			if err == nil {
				t.Errorf("%s: the traffic covers %d days, want 30 or more", query, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", query, got, err, want)
		}
	}
	for query, least := range map[string]int{
		`SELECT count(DISTINCT webhook_key_id) FROM deliveries WHERE reason IN ('key_inactive', 'key_expired') AND received_at > now() - interval '7 days'`:                                            2,
		`SELECT count(*) FROM deliveries AS d JOIN webhook_key_credentials AS c USING (webhook_key_id) WHERE c.expires_at > now() AND d.received_at > c.superseded_at AND d.credential_generation = 1`: 1,
		`SELECT count(*) FROM webhook_keys WHERE owner_id IS NULL`:                                     2,
		`SELECT count(*) FROM webhook_keys WHERE last_used_at < now() - interval '90 days'`:            1,
		`SELECT count(*) FROM workspace_counts WHERE requests >= refused AND refused >= 0`:             24 * 29,
		`SELECT count(*) FROM webhook_keys WHERE expires_at < now() + interval '7 days' AND is_active`: 2,
	} {
		var got int
		if err := db.Raw().Get(&got, query); err != nil || got < least {
			t.Errorf("%s = %d, %v; want %d or more", query, got, err, least)
		}
	}
	states := map[keyring.Status]int{}
	var workspace uuid.UUID
	if err := db.Raw().Get(&workspace, `SELECT id FROM workspaces WHERE slug = 'harbour-pine'`); err != nil {
		t.Fatal(err)
	}
	list, err := keys.List(t.Context(), workspace)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range list {
		states[key.StatusAt(now)]++
	}
	for _, state := range []keyring.Status{keyring.Active, keyring.Expiring, keyring.NeverUsed, keyring.Inactive} {
		if states[state] == 0 {
			t.Errorf("no key is %s: %v", state, states)
		}
	}
}
