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

// A Design is one of those that are compared: a server of its own process.
type Design struct {
	Name   string // limit, ingest, naive
	PID    int
	Target Target
	Storage
}

// Storage is the PostgreSQL that a design writes to.
type Storage struct {
	Database int                                  // its process
	Rows     func(context.Context) (int64, error) // deliveries stored by the benchmark so far
	Bytes    func(context.Context) (int64, error) // on disk, tables and indexes
}

// Options bound a run.
type Options struct {
	Connections []int
	Seconds     float64 // of each round
	Rounds      int
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
	P99Ratio   float64 `json:"p99_ratio"`
}

// A Report is what a run found, by the number of connections.
type Report struct {
	Results map[string]Comparison `json:"results"`          // by API key
	Signed  map[string]Comparison `json:"signed,omitempty"` // each body signed; without the naive design
	Rows    int64                 `json:"rows"`             // stored in the run
	Answers int64                 `json:"answered"`         // with 200 by what stores
}

// Run measures the designs, and then those that are sent signed bodies, in
// alternating rounds. It fails if an answer was not an acceptance, or if the rows
// in the end are not the acceptances.
func Run(ctx context.Context, designs, signed []Design, o Options) (report Report, err error) {
	before, err := designs[0].Rows(ctx)
	if err != nil {
		return report, err
	}
	for _, part := range []struct {
		results *map[string]Comparison
		designs []Design
	}{{&report.Results, designs}, {&report.Signed, signed}} {
		if len(part.designs) == 0 {
			continue
		}
		*part.results = map[string]Comparison{}
		for _, connections := range o.Connections {
			rounds, answers, err := o.rounds(ctx, part.designs, connections)
			if err != nil {
				return report, err
			}
			report.Answers += answers
			(*part.results)[strconv.Itoa(connections)] = compare(rounds)
		}
	}
	after, err := designs[0].Rows(ctx)
	if err != nil {
		return report, err
	}
	if report.Rows = after - before; report.Rows != report.Answers {
		return report, fmt.Errorf("%d requests were answered 200, and %d rows are there", report.Answers, report.Rows)
	}
	return report, nil
}

// rounds measures designs in turns. answers counts what was accepted to be stored.
func (o Options) rounds(ctx context.Context, designs []Design, connections int) (rounds map[string][]Figures, answers int64, err error) {
	rounds = map[string][]Figures{}
	for round := range o.Rounds {
		for _, design := range designs {
			figures, accepted, err := measure(ctx, design, connections, o.Seconds)
			if err != nil {
				return nil, 0, fmt.Errorf("%s with %d connections: %w", design.Name, connections, err)
			}
			if design.Name != "limit" {
				answers += accepted
			}
			rounds[design.Name] = append(rounds[design.Name], figures)
			fmt.Fprintf(o.Progress, "%4d connections, round %d, %-6s %8.0f requests/s\n", connections, round+1, design.Name, figures.RPS)
		}
	}
	return rounds, answers, nil
}

func compare(rounds map[string][]Figures) Comparison {
	c := Comparison{Limit: median(rounds["limit"]), Ingest: median(rounds["ingest"]), Naive: median(rounds["naive"])}
	c.RatioLimit, c.CPURatio, c.P99Ratio = ratio(c.Ingest.RPS, c.Limit.RPS), ratio(c.Ingest.CPU, c.Limit.CPU), ratio(c.Ingest.P99, c.Limit.P99)
	c.RatioNaive = ratio(c.Ingest.RPS, c.Naive.RPS)
	return c
}

// ratio is 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// measure runs one round of one design.
func measure(ctx context.Context, design Design, connections int, length float64) (Figures, int64, error) {
	if _, err := send(ctx, design.Target, connections, 0); err != nil {
		return Figures{}, 0, err
	}
	rows, err := design.Rows(ctx)
	if err != nil {
		return Figures{}, 0, err
	}
	start, err := design.clocks(ctx)
	if err != nil {
		return Figures{}, 0, err
	}
	l, err := send(ctx, design.Target, connections, length)
	if err != nil {
		return Figures{}, 0, err
	}
	end, err := design.clocks(ctx)
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
	if now, err := design.Rows(ctx); err == nil && now > rows {
		f.Disk = float64(end.bytes-start.bytes) / float64(now-rows)
	}
	return f, l.accepted, nil
}

// clocks are the processor times and the size on disk at one moment.
type clocks struct {
	server, database, generator time.Duration
	bytes                       int64
}

func (d Design) clocks(ctx context.Context) (c clocks, err error) {
	if c.server, err = processorTime(d.PID); err != nil {
		return c, err
	}
	if c.database, err = treeTime(d.Database); err != nil {
		return c, err
	}
	if c.generator, err = processorTime(os.Getpid()); err != nil {
		return c, err
	}
	c.bytes, err = d.Bytes(ctx)
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

func middle[N cmp.Ordered](rounds []Figures, of func(Figures) N) (none N) {
	if len(rounds) == 0 {
		return none
	}
	var values []N
	for _, f := range rounds {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// Table writes a report for people.
func (r Report) Table(w io.Writer) {
	table(w, "by API key", r.Results)
	if len(r.Signed) > 0 {
		table(w, "signed", r.Signed)
	}
	fmt.Fprintf(w, "answered 200: %d, rows: %d\n", r.Answers, r.Rows)
}

func table(w io.Writer, how string, results map[string]Comparison) {
	fmt.Fprintf(w, "\n%s\n%-6s %-7s %11s %8s %8s %8s %9s %9s %10s %8s %10s\n", how,
		"conns", "design", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "server µs", "db µs", "generat. µs", "RSS MB", "disk B/ev")
	var numbers []int
	for text := range results {
		n, _ := strconv.Atoi(text)
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		c := results[strconv.Itoa(n)]
		for _, row := range []struct {
			name string
			f    Figures
		}{{"limit", c.Limit}, {"ingest", c.Ingest}, {"naive", c.Naive}} {
			if row.f.RPS == 0 {
				continue
			}
			fmt.Fprintf(w, "%-6d %-7s %11.0f %8.2f %8.2f %8.2f %9.0f %9.0f %10.0f %8.1f %10.0f\n", n, row.name,
				row.f.RPS, row.f.P50, row.f.P99, row.f.P999, row.f.Server, row.f.Database, row.f.Generator, float64(row.f.Memory)/1e6, row.f.Disk)
		}
		fmt.Fprintf(w, "%-6d ingest is %.1f %% of the limit and %.1f times naive; CPU a request %.1f times, p99 %.1f times the limit's\n",
			n, 100*c.RatioLimit, c.RatioNaive, c.CPURatio, c.P99Ratio)
	}
}
