package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/postgres"
)

// A Console is asked for pages as a member does, and the database for the same by
// raw SQL.
type Console struct {
	Client    *http.Client
	Workspace uuid.UUID
	Keys      []uuid.UUID
	Requests  int // of each sort

	base   string
	server *http.Server
	raw    *postgres.DB
	listed []sample // values to filter by
}

// Serve serves the console until it is closed.
func Serve(handler http.Handler, raw *postgres.DB) (*Console, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Console{base: "http://" + listener.Addr().String(), server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}, raw: raw}
	go c.server.Serve(listener)
	return c, nil
}

// Close ends the server.
func (c *Console) Close() error { return c.server.Close() }

// SignIn sends the form.
func (c *Console) SignIn(ctx context.Context, form url.Values) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/sign-in", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.Client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("sign in: %s", response.Status)
	}
	_, _, err = c.get(ctx, "/keys")
	return err
}

// get asks for a page of the workspace and returns how long it took.
func (c *Console) get(ctx context.Context, path string) (took time.Duration, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/w/bench"+path, nil)
	if err != nil {
		return 0, "", err
	}
	began := time.Now()
	response, err := c.Client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	took = time.Since(began)
	if err == nil && (response.StatusCode != http.StatusOK || response.Request.URL.Path != strings.Split("/w/bench"+path, "?")[0]) {
		err = fmt.Errorf("%s: %s at %s", path, response.Status, response.Request.URL.Path)
	}
	return took, string(text), err
}

// A UsageFigure is how long one sort of page took, and the raw SQL of its question.
type UsageFigure struct {
	Name     string  `json:"name"`
	Requests int     `json:"requests"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	Slowest  string  `json:"slowest"` // its address
	Limit    float64 `json:"limit_ms,omitempty"`
	RawP50   float64 `json:"raw_p50_ms,omitempty"`
	RawP95   float64 `json:"raw_p95_ms,omitempty"`
	Stopped  int     `json:"stopped,omitempty"` // of the pages, how many told that they looked no further
}

// Usage are all of them.
type Usage struct {
	Deliveries int64         `json:"deliveries"`
	Bytes      int64         `json:"bytes"`
	Figures    []UsageFigure `json:"figures"`
}

// Print writes u for people.
func (u Usage) Print(w io.Writer) {
	fmt.Fprintf(w, "%d deliveries, %.1f GB\n%-32s %8s %8s %8s %8s %8s\n", u.Deliveries, float64(u.Bytes)/1e9, "ms", "p50", "p95", "limit", "SQL p50", "SQL p95")
	for _, f := range u.Figures {
		verdict := ""
		if f.Limit > 0 && f.P95 > f.Limit {
			verdict = "  over: " + f.Slowest
		}
		if f.Stopped > 0 {
			verdict += fmt.Sprintf("  %d looked no further", f.Stopped)
		}
		fmt.Fprintf(w, "%-32s %8.1f %8.1f %8.0f %8.1f %8.1f%s\n", f.Name, f.P50, f.P95, f.Limit, f.RawP50, f.RawP95, verdict)
	}
}

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

// A usageField is a field of the filter: what stands in the address, and its raw SQL.
type usageField struct {
	name, sql string
	value     func(s sample) string
}

var usageFields = []usageField{
	{"key", "webhook_key_id = $%d::uuid", func(s sample) string { return s.Key.String() }},
	{"outcome", "outcome = $%d", func(s sample) string { return s.Outcome }},
	{"reason", "reason = $%d", func(s sample) string { return s.Reason }},
	{"scheme", "scheme = $%d", func(s sample) string { return s.Scheme }},
	{"auth", "auth_method = $%d", func(s sample) string { return s.Method }},
	{"generation", "credential_generation = $%d::integer", func(s sample) string { return fmt.Sprint(s.Generation) }},
	{"address", "address = $%d", func(s sample) string { return s.Address }},
	{"source", "source = $%d", func(s sample) string { return s.Source }},
	{"ref", "source_ref = $%d", func(s sample) string { return s.Ref }},
	{"range", "id >= uuid_floor(now() - $%d::interval)", func(s sample) string { return []string{"1h", "24h", "7d", "30d"}[len(s.Address)%4] }},
}

// Measure asks for every sort of page.
func (c *Console) Measure(ctx context.Context, progress io.Writer) (u Usage, err error) {
	if err := c.pick(ctx); err != nil {
		return u, fmt.Errorf("choose what to look for: %w", err)
	}
	err = c.raw.Read(ctx, func(tx *sqlx.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT sum(requests), pg_database_size(current_database()) FROM delivery_counts`).Scan(&u.Deliveries, &u.Bytes)
	})
	if err != nil {
		return u, err
	}
	add := func(name string, limit float64, fields ...usageField) error {
		f, err := c.filtered(ctx, name, fields...)
		f.Limit = limit
		u.Figures = append(u.Figures, f)
		fmt.Fprintf(progress, "%s: p50 %.1f, p95 %.1f ms; SQL %.1f, %.1f\n", name, f.P50, f.P95, f.RawP50, f.RawP95)
		return err
	}
	if err := add("no filter", 50); err != nil {
		return u, err
	}
	for _, field := range usageFields {
		if err := add(field.name, 50, field); err != nil {
			return u, err
		}
	}
	for i, a := range usageFields {
		for _, b := range usageFields[:i] {
			if err := add(b.name+" and "+a.name, 150, b, a); err != nil {
				return u, err
			}
		}
	}
	return u, c.pages(ctx, &u, progress)
}

// pages measures those that filter nothing by a field.
func (c *Console) pages(ctx context.Context, u *Usage, progress io.Writer) error {
	for _, sort := range []struct {
		name  string
		limit float64
		path  func(i int) string
	}{
		{"histogram of 7 days", 100, func(int) string { return "/deliveries?range=7d" }},
		{"histogram of 7 days of a key", 100, func(i int) string { return "/deliveries?range=7d&key=" + c.Keys[i%len(c.Keys)].String() }},
		{"key page", 50, func(i int) string { return "/keys/" + c.Keys[i%len(c.Keys)].String() }},
		{"text, there", 0, func(i int) string { return "/deliveries?q=" + url.QueryEscape(c.listed[i].Agent) }},
		{"text, nowhere", 0, func(i int) string { return fmt.Sprint("/deliveries?q=nowhere-to-be-found-", i) }},
	} {
		f, err := c.timed(ctx, sort.name, sort.path)
		if err != nil {
			return err
		}
		f.Limit = sort.limit
		u.Figures = append(u.Figures, f)
		fmt.Fprintf(progress, "%s: p50 %.1f, p95 %.1f ms\n", f.Name, f.P50, f.P95)
	}
	return nil
}

// timed asks for as many pages as it should.
func (c *Console) timed(ctx context.Context, name string, path func(i int) string) (f UsageFigure, err error) {
	f = UsageFigure{Name: name, Requests: c.Requests}
	var times []float64
	slowest := 0.0
	for i := range c.Requests {
		took, body, err := c.get(ctx, path(i))
		if err != nil {
			return f, err
		}
		if strings.Contains(body, "as far as one page looks") {
			f.Stopped++
		}
		times = append(times, milliseconds(took))
		if ms := milliseconds(took); ms > slowest {
			slowest, f.Slowest = ms, path(i)
		}
	}
	f.P50, f.P95 = quantiles(times)
	return f, nil
}

// filtered asks for the first page of a filter, with other values each time, and
// then the database for its 51 rows.
func (c *Console) filtered(ctx context.Context, name string, fields ...usageField) (UsageFigure, error) {
	rows := slices.DeleteFunc(slices.Clone(c.listed), func(s sample) bool {
		return slices.ContainsFunc(fields, func(f usageField) bool { return f.value(s) == "" })
	})
	if len(rows) == 0 {
		return UsageFigure{}, fmt.Errorf("no delivery has %s", name)
	}
	row := func(i int) sample { return rows[(i*7)%len(rows)] }
	f, err := c.timed(ctx, name, func(i int) string {
		query := url.Values{}
		for _, field := range fields {
			query.Set(field.name, field.value(row(i)))
		}
		return "/deliveries?" + query.Encode()
	})
	if err != nil {
		return f, err
	}
	var times []float64
	for i := range c.Requests {
		took, err := c.askRaw(ctx, row(i), fields)
		if err != nil {
			return f, err
		}
		times = append(times, milliseconds(took))
	}
	f.RawP50, f.RawP95 = quantiles(times)
	return f, nil
}

// askRaw is the question as somebody would write it by hand.
func (c *Console) askRaw(ctx context.Context, s sample, fields []usageField) (took time.Duration, err error) {
	where, args := "workspace_id = $1", []any{c.Workspace}
	for _, field := range fields {
		args = append(args, field.value(s))
		where += " AND " + fmt.Sprintf(field.sql, len(args))
	}
	query := `SELECT * FROM deliveries WHERE ` + where + ` ORDER BY id DESC LIMIT 51`
	err = c.raw.Read(ctx, func(tx *sqlx.Tx) error {
		began := time.Now()
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		took = time.Since(began)
		return rows.Err()
	})
	return took, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantiles returns the median and the 95th percentile.
func quantiles(times []float64) (p50, p95 float64) {
	slices.Sort(times)
	return times[len(times)/2], times[min(len(times)-1, len(times)*95/100)]
}
