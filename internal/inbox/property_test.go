package inbox_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

// The property test drives random sequences of making and deleting workspaces,
// users, keys and signals against a model and the real database. After every
// step nothing is orphaned, nothing of another workspace is touched, a deleted
// user's keys stay and work, and the audit trail is what it was, and more.

// A modelKey is what must be true of a key.
type modelKey struct {
	workspace uuid.UUID
	creator   uuid.UUID // Nil once deleted
	active    bool
	apiKey    string
}

// A model is what must be in the database.
type model struct {
	users      map[uuid.UUID]bool
	workspaces map[uuid.UUID]string             // slug
	members    map[uuid.UUID]map[uuid.UUID]bool // workspace → users
	keys       map[uuid.UUID]*modelKey
	signals    map[uuid.UUID]map[uuid.UUID]int // workspace → key → how many
	deliveries map[uuid.UUID]int               // workspace → how many
}

// A machine runs steps on the program and the model alike.
type machine struct {
	*model
	accounts *account.Store
	keyring  *keyring.Store
	hooks    *ingest.Handler
	raw      *sqlx.DB
	rows     *sqlx.Stmt // describes every row
	n        int

	base   int64             // of the instance's chain, before the sequence
	chains []string          // of the workspaces that the sequence made
	trail  map[string]string // entries so far, by chain and number
}

var command = audit.Actor{Kind: audit.CLI, Label: "test@host"}

// TestNothingIsOrphaned runs 100 sequences of 30 steps; -rapid.checks asks for more.
func TestNothingIsOrphaned(t *testing.T) {
	t.Parallel()
	db, box, log := pgtest.New(t), pgtest.Box(t), slog.New(slog.NewTextHandler(io.Discard, nil))
	console, ingestion := db.Console(), db.Ingestion()
	metrics := ingest.NewMetrics(prometheus.NewRegistry())
	writer := ingest.NewWriter(ingestion, box, metrics, log)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { writer.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	m := &machine{
		accounts: account.NewStore(console, box, log), keyring: keyring.NewStore(console, box), raw: db.Raw(),
		hooks: ingest.NewHandler(ingest.Config{MaxBody: 1 << 20}, keyring.NewCache(keyring.NewStore(ingestion, box)), writer, metrics, log),
	}
	m.raw.SetMaxOpenConns(1) // has the plan
	m.raw.MustExec(`SET plan_cache_mode = force_generic_plan`)
	rows, err := m.raw.Preparex(allRows)
	if err != nil {
		t.Fatal(err)
	}
	m.rows = rows
	rapid.Check(t, m.sequence)

	// What no sequence looked at again is vouched for by the chain.
	trail := audit.NewStore(console)
	var previous audit.Entry
	for {
		entries, err := trail.All(t.Context(), "instance", previous.Seq, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if !entry.Follows(previous) {
				t.Fatalf("entry %d of the instance's chain does not follow", entry.Seq)
			}
			previous = entry
		}
		if len(entries) == 0 {
			return
		}
	}
}

// sequence begins with an empty database, but for the trail of those before it.
func (m *machine) sequence(r *rapid.T) {
	for _, statement := range []string{`DELETE FROM workspaces`, `DELETE FROM users`, `DELETE FROM deliveries`, `DELETE FROM signals`} {
		_, err := m.raw.Exec(statement)
		m.must(r, err)
	}
	m.model = &model{
		users: map[uuid.UUID]bool{}, workspaces: map[uuid.UUID]string{}, members: map[uuid.UUID]map[uuid.UUID]bool{},
		keys: map[uuid.UUID]*modelKey{}, signals: map[uuid.UUID]map[uuid.UUID]int{}, deliveries: map[uuid.UUID]int{},
	}
	m.trail, m.chains = nil, nil
	m.must(r, m.raw.Get(&m.base, `SELECT coalesce(max(seq), 0) FROM audit_log WHERE chain = 'instance'`))
	m.addUser(r)
	m.addWorkspace(r)
	for range 30 {
		steps := []func(*rapid.T){m.addUser, m.addWorkspace, m.addMember, m.addKey, m.addKey, m.receive, m.receive, m.receive, m.toggle, m.deleteUser, m.deleteWorkspace}
		steps[rapid.IntRange(0, len(steps)-1).Draw(r, "step")](r)
		m.check(r)
	}
}

func (m *machine) must(r *rapid.T, err error) {
	if err != nil {
		r.Fatalf("%v", err)
	}
}

func (m *machine) name(prefix string) string {
	m.n++
	return fmt.Sprintf("%s-%d", prefix, m.n)
}

// pick draws one of some ids, or none if there are none.
func pick[V any](r *rapid.T, from map[uuid.UUID]V, label string) (uuid.UUID, bool) {
	if len(from) == 0 {
		return uuid.Nil, false
	}
	ids := slices.SortedFunc(maps.Keys(from), func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	return ids[rapid.IntRange(0, len(ids)-1).Draw(r, label)], true
}

func (m *machine) addUser(r *rapid.T) {
	name := m.name("user")
	user, _, err := m.accounts.CreateUser(context.Background(), command, name+"@example.com", name, "")
	m.must(r, err)
	m.users[user.ID] = true
}

func (m *machine) addWorkspace(r *rapid.T) {
	owner, ok := pick(r, m.users, "owner")
	if !ok {
		return
	}
	w, err := m.accounts.CreateWorkspace(context.Background(), command, m.name("workspace"), owner)
	m.must(r, err)
	m.chains = append(m.chains, w.ID.String())
	m.workspaces[w.ID], m.members[w.ID], m.signals[w.ID] = w.Slug, map[uuid.UUID]bool{owner: true}, map[uuid.UUID]int{}
}

func (m *machine) addMember(r *rapid.T) {
	w, ok := pick(r, m.workspaces, "workspace")
	u, ok2 := pick(r, m.users, "user")
	if !ok || !ok2 || m.members[w][u] {
		return
	}
	var email string
	m.must(r, m.raw.Get(&email, `SELECT email FROM users WHERE id = $1`, u))
	m.must(r, m.accounts.AddMember(context.Background(), command, m.workspaces[w], email, account.Owner))
	m.members[w][u] = true
}

func (m *machine) addKey(r *rapid.T) {
	w, ok := pick(r, m.workspaces, "workspace")
	if !ok {
		return
	}
	creator, ok := pick(r, m.members[w], "creator")
	if !ok {
		return
	}
	by := audit.Actor{WorkspaceID: w, Kind: audit.User, UserID: creator, Label: "x", Role: "owner"}
	issued, err := m.keyring.Issue(context.Background(), by, keyring.Draft{Name: m.name("key"), OwnerID: &creator}, "")
	m.must(r, err)
	m.keys[issued.Key.ID] = &modelKey{workspace: w, creator: creator, active: true, apiKey: issued.APIKey.Reveal()}
}

// receive sends a webhook with a random key, which must work if and only if the
// key is active, whoever made it and whether they are still there.
func (m *machine) receive(r *rapid.T) {
	id, ok := pick(r, m.keys, "key")
	if !ok {
		return
	}
	key := m.keys[id]
	request := httptest.NewRequest("POST", "/hooks/"+id.String(), strings.NewReader(`{"a":1}`))
	request.Header.Set("X-API-Key", key.apiKey)
	request.Header.Set("Idempotency-Key", m.name("ref"))
	answer := httptest.NewRecorder()
	m.hooks.ServeHTTP(answer, request)
	want := map[bool]int{true: 200, false: 401}[key.active]
	if answer.Code != want {
		r.Fatalf("a request with a key (active %v, maker gone %v) = %d %s, want %d", key.active, key.creator == uuid.Nil, answer.Code, answer.Body, want)
	}
	m.deliveries[key.workspace]++
	if key.active {
		m.signals[key.workspace][id]++
	}
}

func (m *machine) toggle(r *rapid.T) {
	id, ok := pick(r, m.keys, "key")
	if !ok {
		return
	}
	key := m.keys[id]
	ctx, by := context.Background(), command.In(key.workspace)
	_, err := m.keyring.Reactivate(ctx, by, id)
	if key.active {
		_, err = m.keyring.Deactivate(ctx, by, id, "")
	}
	m.must(r, err)
	key.active = !key.active
}

// deleteUser deletes somebody who is no workspace's last owner.
func (m *machine) deleteUser(r *rapid.T) {
	id, ok := pick(r, m.users, "user")
	if !ok {
		return
	}
	last := false
	for _, members := range m.members {
		last = last || members[id] && len(members) == 1
	}
	err := m.accounts.DeleteUser(context.Background(), command, id)
	if last != (err != nil) {
		r.Fatalf("DeleteUser = %v, last owner %v", err, last)
	}
	if last {
		return
	}
	delete(m.users, id)
	for _, members := range m.members {
		delete(members, id)
	}
	for _, key := range m.keys {
		if key.creator == id {
			key.creator = uuid.Nil
		}
	}
}

func (m *machine) deleteWorkspace(r *rapid.T) {
	if id, ok := pick(r, m.workspaces, "workspace"); ok {
		m.removeWorkspace(r, id)
	}
}

func (m *machine) removeWorkspace(r *rapid.T, id uuid.UUID) {
	m.must(r, m.accounts.DeleteWorkspace(context.Background(), command, m.workspaces[id]))
	m.must(r, m.accounts.EraseDeleted(context.Background()))
	delete(m.workspaces, id)
	delete(m.members, id)
	delete(m.signals, id)
	delete(m.deliveries, id)
	maps.DeleteFunc(m.keys, func(_ uuid.UUID, key *modelKey) bool { return key.workspace == id })
}

// check compares the database with the model.
func (m *machine) check(r *rapid.T) {
	want := []string{}
	for id := range m.users {
		want = append(want, "user "+id.String())
	}
	for id := range m.workspaces {
		want = append(want, "workspace "+id.String())
		for user := range m.members[id] {
			want = append(want, fmt.Sprintf("member %s %s", id, user))
		}
		for key, n := range m.signals[id] {
			want = append(want, fmt.Sprintf("signals %s %s %d", id, key, n))
		}
		if n := m.deliveries[id]; n > 0 {
			want = append(want, fmt.Sprintf("deliveries %s %d", id, n))
		}
	}
	for id, key := range m.keys {
		creator := ""
		if key.creator != uuid.Nil {
			creator = key.creator.String()
		}
		want = append(want, fmt.Sprintf("key %s %s %s %v, credentials 2", id, key.workspace, creator, key.active))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, m.read(r)); diff != "" {
		r.Fatalf("the database differs from the model (-model +database):\n%s", diff)
	}
	trail := m.readTrail(r)
	for place, entry := range m.trail {
		if trail[place] != entry {
			r.Fatalf("the audit entry %s was changed from %q to %q", place, entry, trail[place])
		}
	}
	m.trail = trail
}

// read describes every row that a model can know of, and every orphan as one that
// it can't.
func (m *machine) read(r *rapid.T) []string {
	rows := []string{}
	m.must(r, m.rows.Select(&rows))
	slices.Sort(rows)
	return rows
}

// allRows is planned once: to plan it takes several times as long as to run it.
const allRows = `
		SELECT 'user ' || id FROM users
		UNION ALL SELECT 'workspace ' || id FROM workspaces
		UNION ALL SELECT 'member ' || workspace_id || ' ' || user_id FROM memberships
		UNION ALL SELECT 'key ' || k.id || ' ' || workspace_id || ' ' || coalesce(created_by::text, '') || ' ' || is_active ||
			', credentials ' || (SELECT count(*) FROM webhook_key_credentials AS c WHERE c.webhook_key_id = k.id) FROM webhook_keys AS k
		UNION ALL SELECT 'signals ' || workspace_id || ' ' || coalesce(webhook_key_id::text, 'none') || ' ' || count(*) FROM signals GROUP BY workspace_id, webhook_key_id
		UNION ALL SELECT 'deliveries ' || workspace_id || ' ' || count(*) FROM deliveries WHERE workspace_id IS NOT NULL GROUP BY workspace_id
		UNION ALL SELECT 'orphaned signal ' || s.id FROM signals AS s WHERE NOT EXISTS (SELECT FROM workspaces AS w WHERE w.id = s.workspace_id)
			OR NOT EXISTS (SELECT FROM deliveries AS d WHERE d.id = s.id)
		UNION ALL SELECT 'orphaned delivery ' || d.id FROM deliveries AS d WHERE d.workspace_id IS NULL
			OR NOT EXISTS (SELECT FROM workspaces AS w WHERE w.id = d.workspace_id)
			OR d.webhook_key_id IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_keys AS k WHERE k.id = d.webhook_key_id)
		UNION ALL SELECT 'orphaned refusal ' || delivery_id FROM refused_requests AS q WHERE NOT EXISTS (SELECT FROM deliveries AS d WHERE d.id = q.delivery_id)
		UNION ALL SELECT 'orphaned count ' || webhook_key_id FROM delivery_totals AS c WHERE NOT EXISTS (SELECT FROM webhook_keys AS k WHERE k.id = c.webhook_key_id)
		UNION ALL SELECT 'counted ' || d.requests || ' of ' || d.rows FROM (
			SELECT (SELECT coalesce(sum(requests), 0) FROM delivery_totals) AS requests, (SELECT count(*) FROM deliveries) AS rows) AS d WHERE requests <> rows
		ORDER BY 1`

func (m *machine) readTrail(r *rapid.T) map[string]string {
	const query = `
		SELECT chain || ' ' || seq AS place, concat_ws('|', at, actor_kind, actor_id, actor_label, action, target_kind, target_id, target_label,
			address, request_id, before, after, encode(prev_hash, 'hex'), encode(hash, 'hex')) AS entry
		FROM audit_log WHERE chain = ANY ($1) OR chain = 'instance' AND seq > $2`
	var rows []struct{ Place, Entry string }
	m.must(r, m.raw.Select(&rows, query, pq.Array(m.chains), m.base))
	trail := map[string]string{}
	for _, row := range rows {
		trail[row.Place] = row.Entry
	}
	return trail
}
