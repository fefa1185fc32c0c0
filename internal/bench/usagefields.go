package bench

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// A sample is one row whose values are filtered by: what people look for is there.
type sample struct {
	Key        uuid.UUID `db:"webhook_key_id"`
	Outcome    string    `db:"outcome"`
	Reason     string    `db:"reason"`
	Scheme     string    `db:"scheme"`
	Method     string    `db:"auth_method"`
	Generation int       `db:"credential_generation"`
	Address    string    `db:"address"`
	Source     string    `db:"source"`
	Ref        string    `db:"source_ref"`
	Agent      string    `db:"user_agent"`
}

// pick reads rows from all over the month: two thirds as they come, the others of
// those that were not accepted.
func (c *Console) pick(ctx context.Context) error {
	const query = `
		(SELECT webhook_key_id, outcome, reason, scheme, auth_method, credential_generation, address, source, source_ref, user_agent
			FROM deliveries TABLESAMPLE SYSTEM (0.02) REPEATABLE (7) ORDER BY md5(id::text) LIMIT $1)
		UNION ALL
		(SELECT webhook_key_id, outcome, reason, scheme, auth_method, credential_generation, address, source, source_ref, user_agent
			FROM deliveries TABLESAMPLE SYSTEM (0.2) REPEATABLE (7) WHERE outcome = 'refused' ORDER BY md5(id::text) LIMIT $1)`
	return c.raw.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &c.listed, query, c.Requests) })
}

// A usageField is a field of the filter: what stands in the address, its raw SQL, and
// how the store is asked for it.
type usageField struct {
	name, sql string
	value     func(s sample) string
	set       func(f *inbox.DeliveryFilter, value string) error
}

var usageFields = []usageField{
	{"key", "d.webhook_key_id = $%d::uuid", func(s sample) string { return s.Key.String() }, func(f *inbox.DeliveryFilter, v string) (err error) {
		f.Key, err = uuid.Parse(v)
		return err
	}},
	{"outcome", "d.outcome = $%d", func(s sample) string { return s.Outcome }, text(func(f *inbox.DeliveryFilter) *inbox.Outcome { return &f.Outcome })},
	{"reason", "d.reason = $%d", func(s sample) string { return s.Reason }, text(func(f *inbox.DeliveryFilter) *inbox.Reason { return &f.Reason })},
	{"scheme", "d.scheme = $%d", func(s sample) string { return s.Scheme }, text(func(f *inbox.DeliveryFilter) *string { return &f.Scheme })},
	{"auth", "d.auth_method = $%d", func(s sample) string { return s.Method }, text(func(f *inbox.DeliveryFilter) *inbox.Method { return &f.Method })},
	{"generation", "d.credential_generation = $%d::integer", func(s sample) string { return fmt.Sprint(s.Generation) }, func(f *inbox.DeliveryFilter, v string) error {
		_, err := fmt.Sscan(v, &f.Generation)
		return err
	}},
	{"address", "d.address = $%d", func(s sample) string { return s.Address }, func(f *inbox.DeliveryFilter, v string) error {
		address, err := netip.ParseAddr(v)
		f.Address = netip.PrefixFrom(address, address.BitLen())
		return err
	}},
	{"source", "d.source = $%d", func(s sample) string { return s.Source }, text(func(f *inbox.DeliveryFilter) *string { return &f.Source })},
	{"ref", "d.source_ref = $%d", func(s sample) string { return s.Ref }, text(func(f *inbox.DeliveryFilter) *string { return &f.SourceRef })},
	{"range", "d.id >= uuid_floor(now() - $%d::interval)", func(s sample) string { return []string{"1h", "24h", "7d", "30d"}[len(s.Address)%4] }, func(f *inbox.DeliveryFilter, v string) error {
		var n int
		var unit string
		if _, err := fmt.Sscanf(v, "%d%s", &n, &unit); err != nil {
			return err
		}
		f.From = time.Now().Add(-time.Duration(n) * map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour}[unit])
		return nil
	}},
}

// text sets a field that is a text.
func text[T ~string](field func(*inbox.DeliveryFilter) *T) func(*inbox.DeliveryFilter, string) error {
	return func(f *inbox.DeliveryFilter, value string) error {
		*field(f) = T(value)
		return nil
	}
}

// onPage is how many rows a page has, and one more, which tells that there are more.
const onPage = 50

// search asks the store for what a page lists.
func (c *Console) search(ctx context.Context, s sample, fields []usageField) (time.Duration, error) {
	search := inbox.Search{Limit: onPage}
	for _, field := range fields {
		if err := field.set(&search.DeliveryFilter, field.value(s)); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	_, err := c.Events.Deliveries(ctx, c.Workspace, search)
	return time.Since(began), err
}

// askRaw is the same question as somebody would write it by hand: what the list
// shows of 51 rows, with the names of their keys.
func (c *Console) askRaw(ctx context.Context, s sample, fields []usageField) (time.Duration, error) {
	where, args := "d.workspace_id = $1", []any{c.Workspace}
	for _, field := range fields {
		args = append(args, field.value(s))
		where += " AND " + fmt.Sprintf(field.sql, len(args))
	}
	query := fmt.Sprintf(`
		SELECT d.id, d.received_at, d.outcome, d.reason, d.event_type, d.source_ref, d.signal_id, d.same_body_as, d.conflict, d.address, d.took_us,
			d.body_size, d.webhook_key_id, coalesce(k.name, '') AS name
		FROM deliveries AS d LEFT JOIN webhook_keys AS k ON k.id = d.webhook_key_id
		WHERE %s ORDER BY d.id DESC LIMIT %d`, where, onPage+1)
	var rows []struct {
		inbox.Delivery
		Name string `db:"name"`
	}
	began := time.Now()
	err := c.raw.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, query, args...) })
	return time.Since(began), err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
