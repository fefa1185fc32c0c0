package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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
	return inTurns(requests, func(which int) (*http.Request, error) {
		target := []Target{a, b}[which]
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader([]byte(`{"verbatim":"x"}`)))
		if err != nil {
			return nil, err
		}
		for name, value := range target.Headers {
			request.Header.Set(name, value)
		}
		return request, nil
	})
}

// CompareSignIns signs in with wrong passwords in turns, at the console at base: with
// an e-mail address that nobody has, and with one of a user. Each comes from an address
// of its own, or most of them would not be looked at.
func CompareSignIns(ctx context.Context, base, email string, requests int) (Timing, error) {
	n := 0
	return inTurns(requests, func(which int) (*http.Request, error) {
		n++
		form := url.Values{"email": {[]string{"nobody-" + email, email}[which]}, "password": {"not the password of anybody"}}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/sign-in", strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String())
		return request, nil
	})
}

func inTurns(requests int, ask func(which int) (*http.Request, error)) (Timing, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	var times [2][]float64
	for i := range requests {
		for j := range 2 {
			which := (i + j) % 2 // who goes first alternates
			request, err := ask(which)
			if err != nil {
				return Timing{}, err
			}
			took, err := refusal(client, request)
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

func refusal(client *http.Client, request *http.Request) (micros float64, err error) {
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

// Timings are what strangers could tell things apart by.
type Timings struct {
	Timing        // of refused webhooks
	SignIn Timing `json:"sign_in"`
}

// Print writes timings for people.
func (t Timings) Print(w io.Writer) {
	t.Timing.print(w, "refused for an unknown workspace:", "refused for a wrong signature:")
	t.SignIn.print(w, "sign-in of an unknown address:", "sign-in with a wrong password:")
}

func (t Timing) print(w io.Writer, a, b string) {
	fmt.Fprintf(w, "%-33s median %.0f µs\n%-33s median %.0f µs\ndifference %.0f µs, Welch's t %.2f over %d requests each: indistinguishable %v\n",
		a, t.MedianA, b, t.MedianB, t.Difference, t.T, t.Requests, t.Indistinguishable)
}
