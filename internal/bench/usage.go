package bench

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Limits of the console, in milliseconds at the 95th percentile.
const (
	limitOne   = 50 // the page of one field, and of a key
	limitTwo   = 150
	limitChart = 100
	maxRatio   = 2 // of the medians, the search by the raw SQL of the same question
)

// rawTime bounds what the raw SQL of one sort may take: without the index of
// addresses it can be seconds each.
const rawTime = 5 * time.Second

// A UsageFigure is how long one sort of page took: the page, its chart, which comes
// behind it unless it is quick, and the search alone beside the raw SQL of the same
// question. All are in milliseconds.
type UsageFigure struct {
	Name      string  `json:"name"`
	Requests  int     `json:"requests"`
	P50       float64 `json:"p50_ms"`
	P95       float64 `json:"p95_ms"`
	Slowest   string  `json:"slowest"` // its address
	Limit     float64 `json:"limit_ms,omitempty"`
	ChartP50  float64 `json:"chart_p50_ms,omitempty"`
	ChartP95  float64 `json:"chart_p95_ms,omitempty"`
	SearchP50 float64 `json:"search_p50_ms,omitempty"`
	SearchP95 float64 `json:"search_p95_ms,omitempty"`
	RawP50    float64 `json:"raw_p50_ms,omitempty"`
	RawP95    float64 `json:"raw_p95_ms,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`   // SearchP50 by RawP50
	Stopped   int     `json:"stopped,omitempty"` // of the pages, how many told that they looked no further
}

// over says what of f is over its limit.
func (f UsageFigure) over() (over []string) {
	if f.Limit > 0 && f.P95 > f.Limit {
		over = append(over, "page over: "+f.Slowest)
	}
	if f.ChartP95 > limitChart {
		over = append(over, "chart over")
	}
	if f.Ratio > maxRatio {
		over = append(over, "ratio over")
	}
	if f.Stopped > 0 {
		over = append(over, fmt.Sprintf("%d looked no further", f.Stopped))
	}
	return over
}

// Usage are all of them.
type Usage struct {
	Deliveries int64         `json:"deliveries"`
	Bytes      int64         `json:"bytes"`
	Figures    []UsageFigure `json:"figures"`
}

// Print writes u for people.
func (u Usage) Print(w io.Writer) {
	fmt.Fprintf(w, "%d deliveries, %.1f GB; milliseconds\n%-29s %7s %7s %6s | chart p50 %7s | search p50 %6s | SQL p50 %6s | ratio\n",
		u.Deliveries, float64(u.Bytes)/1e9, "", "p50", "p95", "limit", "p95", "p95", "p95")
	for _, f := range u.Figures {
		fmt.Fprintf(w, "%-29s %7.1f %7.1f %6.0f | %9.1f %7.1f | %10.1f %6.1f | %7.1f %6.1f | %5.2f  %s\n",
			f.Name, f.P50, f.P95, f.Limit, f.ChartP50, f.ChartP95, f.SearchP50, f.SearchP95, f.RawP50, f.RawP95, f.Ratio, strings.Join(f.over(), "; "))
	}
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
		f, err := c.filtered(ctx, name, fields)
		f.Limit = limit
		u.Figures = append(u.Figures, f)
		fmt.Fprintf(progress, "%s: page %.1f, chart %.1f, search %.1f, SQL %.1f ms\n", name, f.P95, f.ChartP95, f.SearchP50, f.RawP50)
		return err
	}
	if err := add("no filter", limitOne); err != nil {
		return u, err
	}
	for _, field := range usageFields {
		if err := add(field.name, limitOne, field); err != nil {
			return u, err
		}
	}
	for i, a := range usageFields {
		for _, b := range usageFields[:i] {
			if err := add(b.name+" and "+a.name, limitTwo, b, a); err != nil {
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
		{"histogram of 7 days", limitChart, func(int) string { return "/deliveries/chart?range=7d" }},
		{"histogram of 7 days of a key", limitChart, func(i int) string { return "/deliveries/chart?range=7d&key=" + c.Keys[i%len(c.Keys)].String() }},
		{"histogram of 7 days, a reason", limitChart, func(i int) string {
			return "/deliveries/chart?range=7d&reason=" + []string{"signature_wrong", "key_expired", "rate_limited"}[i%3]
		}},
		{"key page", limitOne, func(i int) string { return "/keys/" + c.Keys[i%len(c.Keys)].String() }},
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

// filtered asks for the first page of a filter, with other values each time, for its
// chart, and then the store and the database for its rows, in turns.
func (c *Console) filtered(ctx context.Context, name string, fields []usageField) (UsageFigure, error) {
	rows := slices.DeleteFunc(slices.Clone(c.listed), func(s sample) bool {
		return slices.ContainsFunc(fields, func(f usageField) bool { return f.value(s) == "" })
	})
	if len(rows) == 0 {
		return UsageFigure{}, fmt.Errorf("no delivery has %s", name)
	}
	row := func(i int) sample { return rows[(i*7)%len(rows)] }
	query := func(i int) string {
		values := url.Values{}
		for _, field := range fields {
			values.Set(field.name, field.value(row(i)))
		}
		return values.Encode()
	}
	f, err := c.timed(ctx, name, func(i int) string { return "/deliveries?" + query(i) })
	if err != nil {
		return f, err
	}
	chart, err := c.timed(ctx, name, func(i int) string { return "/deliveries/chart?" + query(i) })
	if err != nil {
		return f, err
	}
	f.ChartP50, f.ChartP95 = chart.P50, chart.P95
	times, spent := map[bool][]float64{}, time.Duration(0)
	for i := 0; i < 2*c.Requests && (i%2 == 1 || spent < rawTime); i++ {
		searches := i%2 == i/2%2 // whoever is second finds the rows in memory
		ask := c.askRaw
		if searches {
			ask = c.search
		}
		took, err := ask(ctx, row(i/2), fields)
		if err != nil {
			return f, err
		}
		if times[searches] = append(times[searches], milliseconds(took)); !searches {
			spent += took
		}
	}
	f.SearchP50, f.SearchP95 = quantiles(times[true])
	f.RawP50, f.RawP95 = quantiles(times[false])
	f.Ratio = f.SearchP50 / f.RawP50
	return f, nil
}

// quantiles returns the median and the 95th percentile.
func quantiles(times []float64) (p50, p95 float64) {
	slices.Sort(times)
	return times[len(times)/2], times[min(len(times)-1, len(times)*95/100)]
}
