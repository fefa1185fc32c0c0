package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"
)

// A Design is one of the three that are compared: a server of its own process.
type Design struct {
	Name   string // limit, ingest, naive
	PID    int
	Target Target
}

// Options bound a run.
type Options struct {
	Connections []int
	Seconds     float64 // of each round
	Rounds      int
	Database    int                                  // process of the PostgreSQL
	Rows        func(context.Context) (int64, error) // deliveries stored so far
	Bytes       func(context.Context) (int64, error) // on disk, tables and indexes
	Progress    io.Writer
}

// Figures are the medians of one design's rounds. Times are in the units that
// their names say.
type Figures struct {
	RPS       float64 `json:"rps"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
	CPU       float64 `json:"cpu_us"` // of server and database, a request
	Server    float64 `json:"server_cpu_us"`
	Database  float64 `json:"database_cpu_us"`
	Generator float64 `json:"generator_cpu_us"`
	Memory    int64   `json:"resident_bytes"`
	Disk      float64 `json:"disk_bytes_per_event"`
}

// A Comparison is the three designs with a number of connections.
type Comparison struct {
	Limit      Figures `json:"limit"`
	Ingest     Figures `json:"ingest"`
	Naive      Figures `json:"naive"`
	RatioLimit float64 `json:"ratio_limit"` // ingest's requests/s by the limit's
	RatioNaive float64 `json:"ratio_naive"` // and by the naive design's
	CPURatio   float64 `json:"cpu_ratio"`   // ingest's CPU a request by the limit's
}

// A Report is what a run found, by the number of connections.
type Report struct {
	Results map[string]Comparison `json:"results"`
	Rows    int64                 `json:"rows"`     // stored in the run
	Answers int64                 `json:"answered"` // with 200 by what stores
}

// Run measures the designs in alternating rounds. It fails if an answer was not
// an acceptance, or if the rows in the end are not the acceptances.
func Run(ctx context.Context, designs []Design, o Options) (Report, error) {
	report := Report{Results: map[string]Comparison{}}
	before, err := o.Rows(ctx)
	if err != nil {
		return report, err
	}
	for _, connections := range o.Connections {
		rounds := map[string][]Figures{}
		for round := range o.Rounds {
			for _, design := range designs {
				figures, accepted, err := measure(ctx, design, connections, o)
				if err != nil {
					return report, fmt.Errorf("%s with %d connections: %w", design.Name, connections, err)
				}
				if design.Name != "limit" {
					report.Answers += accepted
				}
				rounds[design.Name] = append(rounds[design.Name], figures)
				fmt.Fprintf(o.Progress, "%4d connections, round %d, %-6s %8.0f requests/s\n", connections, round+1, design.Name, figures.RPS)
			}
		}
		c := Comparison{Limit: median(rounds["limit"]), Ingest: median(rounds["ingest"]), Naive: median(rounds["naive"])}
		c.RatioLimit, c.RatioNaive, c.CPURatio = c.Ingest.RPS/c.Limit.RPS, c.Ingest.RPS/c.Naive.RPS, c.Ingest.CPU/c.Limit.CPU
		report.Results[strconv.Itoa(connections)] = c
	}
	after, err := o.Rows(ctx)
	if err != nil {
		return report, err
	}
	if report.Rows = after - before; report.Rows != report.Answers {
		return report, fmt.Errorf("%d requests were answered 200, and %d rows are there", report.Answers, report.Rows)
	}
	return report, nil
}

// measure runs one round of one design.
func measure(ctx context.Context, design Design, connections int, o Options) (Figures, int64, error) {
	if _, err := send(ctx, design.Target, connections, 0); err != nil {
		return Figures{}, 0, err
	}
	rows, err := o.Rows(ctx)
	if err != nil {
		return Figures{}, 0, err
	}
	start, err := o.clocks(ctx, design)
	if err != nil {
		return Figures{}, 0, err
	}
	l, err := send(ctx, design.Target, connections, o.Seconds)
	if err != nil {
		return Figures{}, 0, err
	}
	end, err := o.clocks(ctx, design)
	if err != nil {
		return Figures{}, 0, err
	}
	memory, err := residentMemory(design.PID)
	if err != nil {
		return Figures{}, 0, err
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(1, l.accepted)) }
	f := Figures{
		RPS: l.rps(), P50: ms(l.quantile(.5)), P99: ms(l.quantile(.99)), P999: ms(l.quantile(.999)),
		Server: each(end.server - start.server), Database: each(end.database - start.database), Generator: each(end.generator - start.generator),
		Memory: memory,
	}
	f.CPU = f.Server + f.Database
	if now, err := o.Rows(ctx); err == nil && now > rows {
		f.Disk = float64(end.bytes-start.bytes) / float64(now-rows)
	}
	return f, l.accepted, nil
}

// clocks are the processor times and the size on disk at one moment.
type clocks struct {
	server, database, generator time.Duration
	bytes                       int64
}

func (o Options) clocks(ctx context.Context, design Design) (c clocks, err error) {
	if c.server, err = processorTime(design.PID); err != nil {
		return c, err
	}
	if c.database, err = treeTime(o.Database); err != nil {
		return c, err
	}
	if c.generator, err = processorTime(os.Getpid()); err != nil {
		return c, err
	}
	c.bytes, err = o.Bytes(ctx)
	return c, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// median takes each figure's median over the rounds.
func median(rounds []Figures) Figures {
	return Figures{
		RPS: middle(rounds, func(f Figures) float64 { return f.RPS }),
		P50: middle(rounds, func(f Figures) float64 { return f.P50 }), P99: middle(rounds, func(f Figures) float64 { return f.P99 }),
		P999: middle(rounds, func(f Figures) float64 { return f.P999 }), CPU: middle(rounds, func(f Figures) float64 { return f.CPU }),
		Server:   middle(rounds, func(f Figures) float64 { return f.Server }),
		Database: middle(rounds, func(f Figures) float64 { return f.Database }), Generator: middle(rounds, func(f Figures) float64 { return f.Generator }),
		Memory: middle(rounds, func(f Figures) int64 { return f.Memory }), Disk: middle(rounds, func(f Figures) float64 { return f.Disk }),
	}
}

func middle[N cmp.Ordered](rounds []Figures, of func(Figures) N) N {
	var values []N
	for _, f := range rounds {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// Table writes a report for people.
func (r Report) Table(w io.Writer) {
	fmt.Fprintf(w, "\n%-6s %-7s %11s %8s %8s %8s %9s %9s %10s %8s %10s\n", "conns", "design", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "server µs", "db µs", "generat. µs", "RSS MB", "disk B/ev")
	var numbers []int
	for text := range r.Results {
		n, _ := strconv.Atoi(text)
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		c := r.Results[strconv.Itoa(n)]
		for _, row := range []struct {
			name string
			f    Figures
		}{{"limit", c.Limit}, {"ingest", c.Ingest}, {"naive", c.Naive}} {
			fmt.Fprintf(w, "%-6d %-7s %11.0f %8.2f %8.2f %8.2f %9.0f %9.0f %10.0f %8.1f %10.0f\n", n, row.name,
				row.f.RPS, row.f.P50, row.f.P99, row.f.P999, row.f.Server, row.f.Database, row.f.Generator, float64(row.f.Memory)/1e6, row.f.Disk)
		}
		fmt.Fprintf(w, "%-6d ingest is %.1f %% of the limit and %.1f times naive; its CPU a request is %.1f times the limit's\n", n, 100*c.RatioLimit, c.RatioNaive, c.CPURatio)
	}
	fmt.Fprintf(w, "answered 200: %d, rows: %d\n", r.Answers, r.Rows)
}
