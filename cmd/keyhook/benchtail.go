package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"keyhook/internal/bench"
)

type benchTailCmd struct {
	jsonFlag
	PGBin    string  `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Profiles string  `help:"Folder for a profile of the server's processor time." type:"existingdir"`
	Tails    int     `default:"100" help:"Live tails that are open beside ingestion."`
	Filters  int     `default:"10" help:"How many filters they have."`
	Seconds  float64 `default:"20" help:"Length of a round, which begins with the opening of the tails."`
	Rounds   int     `default:"2" help:"Rounds with and without tails."`
}

// tailFilters are what the tails show: some all, some next to nothing, most of them
// what must be compared row by row.
var tailFilters = []string{
	"", "outcome=accepted", "outcome=refused", "scheme=generic", "auth=api_key", "generation=1", "address=127.0.0.1", "scheme=stripe", "outcome=duplicate", "generation=2",
}

// Run measures ingestion with and without open live tails, in turns.
func (c *benchTailCmd) Run(ctx context.Context, a app) error {
	if c.Tails < 1 || c.Tails > 250 || c.Filters < 1 || c.Filters > len(tailFilters) || c.Seconds <= 0 || c.Seconds > 60 || c.Rounds < 1 || c.Rounds > 100 {
		return misuse("--tails is at most 250, --filters at most %d, --seconds at most 60, --rounds at most 100", len(tailFilters))
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	lab.profiles = c.Profiles
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return err
	}
	err = addOwner(ctx, s)
	s.close()
	if err != nil {
		return err
	}
	pid, base, err := lab.start(ctx, a, "console")
	if err != nil {
		return err
	}
	console := bench.At(base)
	if err := signInTo(ctx, console); err != nil {
		return err
	}
	target := bench.Target{URL: base + "/hooks/" + lab.key.Key.ID.String(), Headers: map[string]string{"X-API-Key": lab.key.APIKey.Reveal()}}
	report := tailReport{Filters: c.Filters, streamFigures: streamFigures{Open: c.Tails}}
	report.used = func() (time.Duration, error) { return bench.ProcessorTime(pid, lab.db.owned.PID()) }
	err = report.alternate(ctx, a, c.Rounds, func() (func() (int, error), error) { return console.OpenTails(ctx, c.Tails, tailFilters[:c.Filters]) },
		func() (float64, error) { return bench.IngestRate(ctx, target, 64, c.Seconds) })
	if err != nil {
		return err
	}
	return c.print(a.out, report, report.Table)
}

// A tailReport is what open live tails cost ingestion.
type tailReport struct {
	Filters int `json:"filters"`
	streamFigures
}

// Table writes a report for people.
func (r tailReport) Table(w io.Writer) {
	fmt.Fprintf(w, "ingestion with 64 connections: %.0f requests/s, %.0f with %d live tails open, of %d filters: %.1f %% less; %d batches of rows were sent\n",
		r.Without, r.With, r.Open, r.Filters, r.Loss, r.Got)
	fmt.Fprintf(w, "processor time of server and database: %.1f µs a request, %.1f with the tails: they take %.0f ms a second\n",
		r.CPUWithout, r.CPUWith, (r.CPUWith-r.CPUWithout)*r.With/1000)
}
