package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/bench"
	"keyhook/internal/keyring"
)

type benchReadCmd struct {
	jsonFlag
	PGBin    string  `name:"pg-bin" env:"KEYHOOK_PG_BIN" help:"Folder of the PostgreSQL programs."`
	Profiles string  `help:"Folder for a profile of the server's processor time." type:"existingdir"`
	Signals  int     `default:"1000000" help:"How many signals to read; 0 leaves that out."`
	Body     int     `default:"1024" help:"Bytes of each body."`
	Rate     int     `default:"1000" help:"Events a second while latencies are measured."`
	Streams  int     `default:"200" help:"Streams that are open beside ingestion."`
	Seconds  float64 `default:"5" help:"Length of a round."`
	Rounds   int     `default:"3" help:"Rounds with and without streams."`
}

// A readReport is what a run found.
type readReport struct {
	Read    bench.ReadFigures    `json:"read"`
	Latency bench.LatencyFigures `json:"latency"`
	Streams streamFigures        `json:"streams"`
}

// A streamFigures is what open streams cost ingestion. Loss is in per cent.
type streamFigures struct {
	Open    int     `json:"open"`
	Without float64 `json:"requests_per_second_without"`
	With    float64 `json:"requests_per_second_with"`
	Loss    float64 `json:"loss_percent"`
	Got     int     `json:"signals_on_streams"`

	CPUWithout float64 `json:"cpu_us_without,omitempty"` // a request
	CPUWith    float64 `json:"cpu_us_with,omitempty"`

	used func() (time.Duration, error) // processor time so far; nil: nobody asks
}

// Run measures reading.
func (c *benchReadCmd) Run(ctx context.Context, a app) error {
	if c.Signals < 0 || c.Signals > 10_000_000 || c.Body < 64 || c.Body > 1<<20 || c.Rate < 1 || c.Rate > 10_000 || c.Streams < 0 || c.Streams > 500 ||
		c.Seconds <= 0 || c.Seconds > 60 || c.Rounds < 0 || c.Rounds > 100 {
		return misuse("--signals is at most 10000000, --body 64 to 1048576, --rate at most 10000, --streams at most 500, --seconds at most 60, --rounds at most 100")
	}
	lab, err := newLaboratory(ctx, a, c.PGBin)
	if err != nil {
		return err
	}
	defer lab.close()
	lab.profiles = c.Profiles
	pid, base, err := lab.start(ctx, a, "read")
	if err != nil {
		return err
	}
	tokens, others, err := c.tokens(ctx, a, lab)
	if err != nil {
		return err
	}
	var report readReport
	if c.Signals > 0 {
		fmt.Fprintf(a.err, "making %d signals\n", c.Signals)
		if err := c.seed(ctx, lab); err != nil {
			return err
		}
		if report.Read, err = c.readAll(ctx, lab, bench.Place{URL: base, Token: tokens[0], Server: pid, Database: lab.db.owned.PID(), Self: os.Getpid()}); err != nil {
			return err
		}
	}
	target := bench.Target{URL: base + "/hooks/" + lab.key.Key.ID.String(), Headers: map[string]string{"X-API-Key": lab.key.APIKey.Reveal()}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 10 * time.Second}
	body := []byte(`{"x":"` + strings.Repeat("x", c.Body-8) + `"}`)
	report.Latency, err = bench.Latency(ctx, base, tokens[0], c.Rate, c.Seconds, func(ctx context.Context) (string, error) { return bench.Post(ctx, client, target, body) })
	if err != nil {
		return err
	}
	if report.Streams, err = c.compare(ctx, a, base, target, others); err != nil {
		return err
	}
	return c.print(a.out, report, report.Table)
}

// tokens makes one for the workspace that is written to, and four for one whose
// streams wait.
func (c *benchReadCmd) tokens(ctx context.Context, a app, lab *laboratory) (own, others []string, err error) {
	s, err := begin(ctx, a, configOf(lab), masterKeyOf(lab))
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	owner, err := s.accounts.Users(ctx)
	if err != nil {
		return nil, nil, err
	}
	quiet, err := s.accounts.CreateWorkspace(ctx, s.by, "Quiet", owner[0].ID)
	if err != nil {
		return nil, nil, err
	}
	issue := func(by audit.Actor, n int) (texts []string, err error) {
		for i := range n {
			issued, err := s.keys.IssueToken(ctx, by, keyring.TokenDraft{Name: fmt.Sprint("Bench ", i), Scopes: keyring.Scopes()}, "")
			if err != nil {
				return nil, err
			}
			texts = append(texts, issued.Text.Reveal())
		}
		return texts, nil
	}
	if own, err = issue(s.by.In(lab.key.Key.WorkspaceID), 1); err != nil {
		return nil, nil, err
	}
	others, err = issue(s.by.In(quiet.ID), 4)
	return own, others, err
}

// readAll reads all signals and compares what came with the rows: as many, each
// once, in the order of their places.
func (c *benchReadCmd) readAll(ctx context.Context, lab *laboratory, at bench.Place) (f bench.ReadFigures, err error) {
	const rows = `SELECT id FROM signals WHERE workspace_id = $1 ORDER BY epoch, commit_xid, id`
	f, got, err := bench.ReadAll(ctx, at, c.Signals)
	f.BodyBytes = c.Body
	if err != nil {
		return f, err
	}
	var want []uuid.UUID
	if err := lab.pool.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &want, rows, lab.key.Key.WorkspaceID) }); err != nil {
		return f, fmt.Errorf("list the signals: %w", err)
	}
	if len(got) != len(want) || len(want) != c.Signals {
		return f, fmt.Errorf("%d signals were read, and %d are there", len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			return f, fmt.Errorf("signal %d is %s, and %s was read", i+1, want[i], uuid.UUID(got[i]))
		}
	}
	return f, nil
}

// seed fills the workspace, as batches at a high rate would have: a hundred events
// to a transaction.
func (c *benchReadCmd) seed(ctx context.Context, lab *laboratory) error {
	const portion = 100
	const insert = `
		WITH new AS MATERIALIZED (
			SELECT n, (left(uuid_floor(clock_timestamp())::text, 14) || '7' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid AS id,
				convert_to('{"n":' || lpad(n::text, 10, '1') || ',"data":"' || repeat('x', $5::integer - 26) || '"}', 'UTF8') AS body
			FROM generate_series($3::integer, $4::integer) AS n),
		made AS (
			INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
			SELECT id, $1, $2, 'bench', 'seed-' || n, now(), (SELECT epoch FROM instance) FROM new ORDER BY n)
		INSERT INTO deliveries (id, workspace_id, webhook_key_id, credential_generation, auth_method, outcome, status, scheme, endpoint, address, content_type,
			headers, event_type, source, source_ref, signal_id, body, body_size, body_sha256, received_at)
		SELECT id, $1, $2, 1, 'api_key', 'accepted', 200, 'generic', '/hooks/{key id}', '127.0.0.1', 'application/json', '{"user-agent": "bench"}', 'order.created',
			'bench', 'seed-' || n, id, body, length(body), sha256(body), now()
		FROM new ORDER BY n`
	key := lab.key.Key
	for from := 1; from <= c.Signals; from += portion {
		err := lab.pool.InTx(ctx, func(tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, `SET LOCAL synchronous_commit = off`); err != nil { // they are made for this run alone
				return err
			}
			_, err := tx.ExecContext(ctx, insert, key.WorkspaceID, key.ID, from, min(from+portion-1, c.Signals), c.Body)
			return err
		})
		if err != nil {
			return fmt.Errorf("make signals: %w", err)
		}
	}
	return lab.pool.Vacuum(ctx)
}

// compare runs ingestion with and without open streams, in alternating rounds.
func (c *benchReadCmd) compare(ctx context.Context, a app, base string, target bench.Target, tokens []string) (f streamFigures, err error) {
	f.Open = c.Streams
	if c.Rounds == 0 || c.Streams == 0 {
		return f, nil
	}
	err = f.alternate(ctx, a, c.Rounds, func() (func() (int, error), error) { return bench.OpenStreams(ctx, base, tokens, c.Streams) },
		func() (float64, error) { return bench.IngestRate(ctx, target, 64, c.Seconds) })
	return f, err
}

// alternate measures a rate with and without what open opens, in turns.
func (f *streamFigures) alternate(ctx context.Context, a app, rounds int, open func() (end func() (int, error), err error), rate func() (float64, error)) (err error) {
	var with, without, cpuWith, cpuWithout []float64
	for round := range rounds {
		for _, opened := range []bool{round%2 == 0, round%2 != 0} {
			end := func() (int, error) { return 0, nil }
			if opened {
				if end, err = open(); err != nil {
					return err
				}
			}
			rps, cpu, err := f.timed(rate)
			if err != nil {
				return err
			}
			got, err := end()
			if err != nil {
				return err
			}
			f.Got += got
			fmt.Fprintf(a.err, "round %d, open %v: %.0f requests/s\n", round+1, opened, rps)
			if opened {
				with, cpuWith = append(with, rps), append(cpuWith, cpu)
			} else {
				without, cpuWithout = append(without, rps), append(cpuWithout, cpu)
			}
		}
	}
	f.With, f.Without = bench.Median(with), bench.Median(without)
	f.CPUWith, f.CPUWithout = bench.Median(cpuWith), bench.Median(cpuWithout)
	f.Loss = 100 * (1 - f.With/f.Without)
	return nil
}

// timed measures a rate and the processor time of a request, in microseconds.
func (f *streamFigures) timed(rate func() (float64, error)) (rps, cpu float64, err error) {
	if f.used == nil {
		rps, err = rate()
		return rps, 0, err
	}
	began := time.Now()
	before, err := f.used()
	if err != nil {
		return 0, 0, err
	}
	if rps, err = rate(); err != nil {
		return 0, 0, err
	}
	after, err := f.used()
	return rps, float64((after - before).Microseconds()) / (rps * time.Since(began).Seconds()), err
}

// Table writes a report for people.
func (r readReport) Table(w io.Writer) {
	fmt.Fprintf(w, "\nread %d signals with bodies of %d bytes in %.1f s: %.0f signals/s\n", r.Read.Signals, r.Read.BodyBytes, r.Read.Seconds, r.Read.PerSecond)
	fmt.Fprintf(w, "processor time a signal: database %.1f µs, server %.1f µs, reader %.1f µs\n", r.Read.Database, r.Read.Server, r.Read.Reader)
	fmt.Fprintf(w, "the server's resident memory: %.1f MB before, %.1f MB at most; after each tenth", float64(r.Read.MemoryFrom)/1e6, float64(r.Read.MemoryPeak)/1e6)
	for _, bytes := range r.Read.MemoryAfter {
		fmt.Fprintf(w, " %.1f", float64(bytes)/1e6)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "at %.0f events/s, from the answer to the sender: long poll p50 %.1f ms, p99 %.1f ms; stream p50 %.1f ms, p99 %.1f ms (%d events)\n",
		r.Latency.PerSecond, r.Latency.PollP50, r.Latency.PollP99, r.Latency.StreamP50, r.Latency.StreamP99, r.Latency.Events)
	fmt.Fprintf(w, "ingestion with 64 connections: %.0f requests/s, %.0f with %d streams open: %.1f %% less\n", r.Streams.Without, r.Streams.With, r.Streams.Open, r.Streams.Loss)
}
