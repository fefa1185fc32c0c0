package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"
)

// A Timing compares how long two sorts of refused requests take, so that nobody
// can tell from it what exists.
type Timing struct {
	Requests          int     `json:"requests"` // of each sort
	MedianA           float64 `json:"median_a_us"`
	MedianB           float64 `json:"median_b_us"`
	Difference        float64 `json:"difference_us"`
	T                 float64 `json:"welch_t"`
	Indistinguishable bool    `json:"indistinguishable"` // medians within 5 % or 50 µs, and |t| under 4.5
}

// CompareRefusals sends two sorts of requests in turns, each of which must be
// answered 401.
func CompareRefusals(ctx context.Context, a, b Target, requests int) (Timing, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	var times [2][]float64
	for i := range requests {
		for j := range 2 {
			which := (i + j) % 2 // who goes first alternates
			took, err := refusal(ctx, client, []Target{a, b}[which])
			if err != nil {
				return Timing{}, err
			}
			times[which] = append(times[which], took)
		}
	}
	t := Timing{Requests: requests, MedianA: medianOf(times[0]), MedianB: medianOf(times[1])}
	t.Difference = math.Abs(t.MedianA - t.MedianB)
	t.T = welch(times[0], times[1])
	t.Indistinguishable = t.Difference <= max(50, .05*t.MedianA) && math.Abs(t.T) < 4.5
	return t, nil
}

func refusal(ctx context.Context, client *http.Client, target Target) (micros float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader([]byte(`{"verbatim":"x"}`)))
	if err != nil {
		return 0, err
	}
	for name, value := range target.Headers {
		request.Header.Set(name, value)
	}
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		return 0, fmt.Errorf("the answer is %s, and 401 was expected", response.Status)
	}
	return float64(time.Since(began).Nanoseconds()) / 1000, err
}

func medianOf(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// welch is the t statistic of two samples with variances of their own. The tenth
// of the slowest is left out of each: what the machine did meanwhile.
func welch(a, b []float64) float64 {
	meanA, varA, nA := moments(a)
	meanB, varB, nB := moments(b)
	return (meanA - meanB) / math.Sqrt(varA/nA+varB/nB)
}

func moments(values []float64) (mean, variance, n float64) {
	values = slices.Clone(values)
	slices.Sort(values)
	values = values[:len(values)*9/10]
	n = float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		variance += (v - mean) * (v - mean) / (n - 1)
	}
	return mean, variance, n
}

// Print writes a timing for people.
func (t Timing) Print(w io.Writer) {
	fmt.Fprintf(w, "refused for an unknown workspace: median %.0f µs\nrefused for a wrong signature:    median %.0f µs\n"+
		"difference %.0f µs, Welch's t %.2f over %d requests each: indistinguishable %v\n", t.MedianA, t.MedianB, t.Difference, t.T, t.Requests, t.Indistinguishable)
}
