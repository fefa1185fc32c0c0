package bench

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func server(t *testing.T, answer func(n int64) (int, string)) (Target, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		status, body := answer(n.Add(1))
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return Target{URL: s.URL}, &n
}

// TestRunChecks: a wrong answer, or rows that are not the answers, end a run.
func TestRunChecks(t *testing.T) {
	t.Parallel()
	good := func(int64) (int, string) { return 200, `{"duplicate":false}` }
	options := Options{Connections: []int{2}, Seconds: .05, Rounds: 1, Progress: io.Discard}
	var rows func(context.Context) (int64, error)
	design := func(name string, target Target) Design {
		return Design{Name: name, PID: os.Getpid(), Target: target, Storage: Storage{
			Database: os.Getpid(), Rows: func(ctx context.Context) (int64, error) { return rows(ctx) },
			Bytes: func(context.Context) (int64, error) { return 0, nil },
		}}
	}
	limit, _ := server(t, good)
	stored, n := server(t, good)
	exact := func(context.Context) (int64, error) { return n.Load(), nil }

	rows = exact
	all := []Design{design("limit", limit), design("ingest", stored), design("naive", stored)}
	report, err := Run(t.Context(), all, all[:2], options)
	if err != nil || report.Rows == 0 || report.Rows != report.Answers || report.Results["2"].Ingest.RPS == 0 || report.Signed["2"].Ingest.RPS == 0 {
		t.Errorf("Run = %+v, %v", report, err)
	}
	short := func(context.Context) (int64, error) { return n.Load() / 2, nil }
	rows = short
	if _, err := Run(t.Context(), all, nil, options); err == nil || !strings.Contains(err.Error(), "rows are there") {
		t.Errorf("rows that are not the answers: %v", err)
	}
	for name, answer := range map[string]string{"a duplicate": `{"duplicate":true}`, "an empty answer": ``} {
		bad, _ := server(t, func(int64) (int, string) { return 200, answer })
		rows = exact
		if _, err := Run(t.Context(), []Design{design("ingest", bad)}, nil, options); err == nil {
			t.Errorf("%s ends no run", name)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var l load
	for i := range 1000 {
		l.latencies = append(l.latencies, time.Duration(i)*time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{.5: 500, .99: 990, .999: 999, 1: 999} {
		if got := l.quantile(q); got != want*time.Millisecond {
			t.Errorf("quantile(%v) = %s, want %d ms", q, got, want)
		}
	}
}

// TestWelch tells apart what differs and not what does not.
func TestWelch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(mean float64) (values []float64) {
		for range 2000 {
			values = append(values, mean+100*random.NormFloat64())
		}
		return values
	}
	if got := math.Abs(welch(draw(1000), draw(1000))); got > 4.5 {
		t.Errorf("t of two alike = %.2f, want under 4.5", got)
	}
	if got := math.Abs(welch(draw(1000), draw(1050))); got < 4.5 {
		t.Errorf("t of two that differ = %.2f, want over 4.5", got)
	}
}
