package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// OpenStreams opens streams and keeps reading them until the returned function is
// called, which says how many signals they got together.
func OpenStreams(ctx context.Context, base string, tokens []string, n int) (end func() (signals int, err error), err error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	return openEvents(ctx, client, n, "data: ", func(i int, request *http.Request) (path string) {
		request.Header.Set("Authorization", "Bearer "+tokens[i%len(tokens)])
		return base + "/api/v1/signals/stream?after=latest"
	})
}

// openEvents opens so many streams of events and reads them. path fills a request in
// and returns where it goes; lines that begin with mark are counted.
func openEvents(ctx context.Context, client *http.Client, n int, mark string, path func(i int, request *http.Request) string) (end func() (marks int, err error), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	var lock sync.Mutex
	got := 0
	var lost error
	for i := range n {
		response, err := openOne(ctx, client, i, path)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("open stream %d: %w", i, err)
		}
		reading.Go(func() {
			defer response.Body.Close()
			lines := bufio.NewScanner(response.Body)
			lines.Buffer(nil, 4<<20)
			for lines.Scan() {
				if bytes.HasPrefix(lines.Bytes(), []byte(mark)) {
					lock.Lock()
					got++
					lock.Unlock()
				}
			}
			if ctx.Err() == nil {
				lock.Lock()
				lost = fmt.Errorf("a stream ended: %w", lines.Err())
				lock.Unlock()
			}
		})
	}
	return func() (int, error) {
		lock.Lock()
		err := lost
		lock.Unlock()
		cancel()
		reading.Wait()
		return got, err
	}, nil
}

func openOne(ctx context.Context, client *http.Client, i int, path func(int, *http.Request) string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost", nil)
	if err != nil {
		return nil, err
	}
	if request.URL, err = url.Parse(path(i, request)); err != nil {
		return nil, err
	}
	request.Host = request.URL.Host
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		response.Body.Close()
		return nil, fmt.Errorf("%s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	return response, nil
}

// IngestRate sends to a target with a number of connections for a time and returns
// the accepted requests a second.
func IngestRate(ctx context.Context, target Target, connections int, seconds float64) (float64, error) {
	l, err := send(ctx, target, connections, seconds)
	return l.rps(), err
}

// ProcessorTime is what a server and its database have used so far.
func ProcessorTime(server, database int) (time.Duration, error) {
	own, err := processorTime(server)
	if err != nil {
		return 0, err
	}
	its, err := treeTime(database)
	return own + its, err
}

// Post sends one request and returns the id of the signal that it made.
func Post(ctx context.Context, client *http.Client, target Target, body []byte) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	for name, value := range target.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		SignalID string `json:"signalId"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the answer is %s: %w", response.Status, err)
	}
	return answer.SignalID, nil
}

// Median returns the middle of some figures.
func Median(figures []float64) float64 {
	sorted := slices.Clone(figures)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
